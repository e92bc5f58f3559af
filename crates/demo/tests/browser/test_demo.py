"""What a person sees: the demo in real browsers, each test named as the sentence it proves."""

import base64
import re

import pytest

PAGES = ["/", "/devices", "/devices/confirm", "/inside", "/signed-out", "/no-such-page"]


def test_each_visit_counts(browser, store):
    browser.open()
    assert browser.visits() == 1
    browser.reload()
    browser.click("Home")
    assert browser.visits() == 3
    facts = browser.text(".facts")
    for part in ("Session ", " old", "without use", "at the latest", store.said, "last save took"):
        assert part in facts, facts
    assert re.search(r"\b[0-9a-f]{32}\b", facts), facts


def test_what_is_known_of_the_session_is_one_plain_line(browser):
    browser.open()
    browser.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    lines = browser.computed(
        "new Set([...document.querySelectorAll('.facts li')].map(it => it.offsetTop)).size"
    )
    assert lines == 1
    width = browser.computed("document.documentElement.scrollWidth")
    assert width <= 1280, f"{width} pixels wide"


@pytest.mark.needs(outlives=True)
def test_a_killed_server_forgets_nothing(browser):
    browser.open()
    browser.reload()
    browser.click("+ Coral")
    browser.click("+ Oyster")
    browser.click("Pull the plug")
    said = browser.text("#revived")
    found = re.fullmatch(
        r"process (\d+) was killed, (\d+) answers: your 2 visits and 2 items are here", said
    )
    assert found and found[1] != found[2], said
    browser.picture("plug")
    browser.click("Pull the plug")
    assert f"process {found[2]} was killed" in browser.text("#revived")


@pytest.mark.needs(outlives=False)
def test_memory_says_what_it_forgets_and_then_does(browser):
    browser.open()
    browser.reload()
    assert "end with it" in browser.text("#forgets")
    browser.click("Pull the plug")
    assert browser.visits() == 1 and not browser.texts("#revived")
    browser.click("Inside")
    assert "and nowhere else" in browser.text("section[aria-labelledby='place']")


def test_forty_at_once_all_count(browser):
    browser.open()
    browser.click("Send 40 at once")
    ours, theirs = browser.texts(".verdict")
    assert "0 lost" in ours and re.search(r"counted\s+40\s", ours), ours
    assert re.search(r"distinct answers\s+40\s", ours), ours
    assert "simulation" in theirs and not re.search(r"\b0 lost", theirs), theirs
    assert browser.visits() == 41
    browser.picture("forty-at-once")
    browser.reload()
    assert browser.visits() == 42 and not browser.texts(".verdict")


def test_two_tabs_that_add_both_keep_what_they_added(browser):
    browser.open()
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.open()
    browser.click("+ Mussel")
    browser.driver.switch_to.window(first)
    browser.click("+ Sponge")
    assert browser.basket() == {"Mussel": "1", "Sponge": "1"}
    browser.click("Empty the basket")
    assert browser.basket() == {}


def test_a_message_is_said_once(browser):
    browser.open()
    browser.click("+ Anemone")
    assert browser.texts(".flash") == ["One more anemone in your basket."]
    browser.reload()
    assert browser.texts(".flash") == []
    assert browser.basket() == {"Anemone": "1"}


def test_a_device_that_was_ended_is_signed_out_at_its_next_click(browsers):
    here, there = browsers(), browsers()
    for browser in (here, there):
        browser.open()
        browser.sign_in("ann")
        assert "signed in as ann" in browser.text(".flash")
    here.click("Devices")
    assert len(here.texts(".list h2")) == 2
    assert len(here.texts(".list .tag")) == 1, "only this browser is marked"
    assert "signed in just now" in here.text(".list")
    here.picture("devices")

    here.click("End")
    assert here.text(".flash") == "That session is ended."
    assert len(here.texts(".list h2")) == 1

    there.click("Inside")
    assert there.text("h1") == "You are signed out here"
    there.picture("signed-out-here")
    there.sign_in("ann")
    assert "signed in as ann" in there.text(".flash"), "no loop"
    there.click("Devices")
    there.click("End all others")
    assert there.text("h1") == "Confirm that it is you"
    there.picture("confirm")
    there.type_into("password", "anything")
    assert there.text(".flash") == "1 other session ended."
    here.click("Home")
    assert here.text("h1") == "You are signed out here"
    here.click("Go on without signing in")
    assert here.visits() == 1, "said once, then a fresh start"


def test_a_confirmation_is_good_for_the_next_minutes(browsers):
    here, there = browsers(), browsers()
    here.open()
    here.sign_in("dora")
    here.open("/devices/confirm")
    here.type_into("password", "anything")
    assert here.text(".flash") == "0 other sessions ended."
    there.open()
    there.sign_in("dora")
    here.click("Devices")
    here.click("End all others")
    assert here.text(".flash") == "1 other session ended.", "not asked again"


def test_a_remembered_browser_has_a_cookie_that_outlives_it(browser):
    browser.open()
    browser.sign_in("finn")
    assert browser.cookie_days() == [], "both end with the browser"
    browser.click("Sign out")
    browser.sign_in("finn", remember=True)
    days = browser.cookie_days()
    assert len(days) == 2 and all(29.9 < left < 30.1 for left in days), days
    browser.click("Home")
    assert "without use" not in browser.text(".facts")
    browser.click("Devices")
    assert browser.texts(".list .tag") == ["this browser", "remembered"]
    browser.picture("remembered")


def test_what_was_counted_is_there_for_prometheus(browser):
    browser.open()
    browser.sign_in("gwen")
    browser.click("/metrics")
    metrics = browser.text()
    assert re.search(r'^sessile_events_total{event="logged_in"} [1-9]', metrics, re.M), metrics
    assert re.search(r'^sessile_store_seconds_count{operation="load",outcome="found"}', metrics, re.M)
    assert "gwen" not in metrics


@pytest.mark.needs(outlives=True)
def test_a_signed_in_browser_keeps_its_session_over_a_restart(browser, demo):
    browser.open()
    browser.click("+ Barnacle")
    browser.sign_in("ben")
    before = browser.visits()
    demo.stop()
    demo.start()
    browser.reload()
    assert browser.text(".who b") == "ben"
    assert browser.visits() == before + 1 and browser.basket() == {"Barnacle": "1"}


def test_the_back_button_shows_nothing_after_signing_out(browser):
    browser.open()
    browser.sign_in("cleo")
    browser.click("Devices")
    browser.click("Sign out")
    assert browser.text("h1") == "You are signed out"
    browser.back()
    assert browser.text("h1") == "Sign in to see this page" and "cleo" not in browser.text()
    assert browser.texts("form[action='/sign-in']")
    browser.back()
    assert "cleo" not in browser.text() and browser.texts("form[action='/sign-in']")


@pytest.mark.needs(outlives=True)
def test_the_record_lies_where_the_page_says_and_holds_no_secret(browser, store):
    browser.open()
    browser.reload()
    browser.click("Inside")
    if store.name == "file":
        slots = browser.texts(".pair > .verdict")
        assert [bool(re.search(r"version \d", slot)) for slot in slots] == [True, True], slots
        place = browser.text("section[aria-labelledby='file'] code")
    else:
        assert not browser.texts(".pair > .verdict"), "there are no slots but in files"
        place = browser.text("#question")
    lies = store.look(place)
    assert b"visits" in lies
    (cookie,) = [it["value"] for it in browser.driver.get_cookies() if "signed-in" not in it["name"]]
    secret = base64.urlsafe_b64decode(cookie + "=")[16:]
    assert len(secret) == 16 and secret not in lies and cookie.encode() not in lies
    browser.picture("place")


def test_what_is_stored_opens_nothing(browser):
    browser.open()
    browser.reload()
    browser.click("Inside")
    assert "visits" in browser.text("section[aria-labelledby='keys']")
    browser.click("Try them as cookies")
    thief = browser.text("section[aria-labelledby='thief']")
    assert thief.count("refused") == 2 and thief.count('200 {"data":{}}') == 2, thief
    assert "A cookie with a wrong secret was refused" in browser.text(
        "section[aria-labelledby='events']"
    )
    browser.picture("inside")


def test_no_page_is_wider_than_a_small_telephone(browser):
    browser.open()
    browser.sign_in("a-name-of-sixty-characters-without-a-single-place-to-break-it")
    browser.click("+ Coral")
    browser.click("Send 40 at once")
    browser.resize(320)
    browser.picture("320-forty-at-once")
    assert_fits(browser, "/ after 40 at once")
    for path in PAGES:
        browser.open(path)
        assert_fits(browser, path)
        browser.picture(f"320{path.replace('/', '-')}")


def assert_fits(browser, what):
    width = browser.computed("document.documentElement.scrollWidth")
    assert width <= 320, f"{what} is {width} pixels wide"


def test_dark_is_dark_and_light_is_light(browser):
    for item in ("+ Coral", "+ Oyster", "+ Coral"):
        browser.open()
        browser.click(item)
    for scheme, dark in (("dark", True), ("light", False)):
        browser.prefer(scheme)
        browser.open()
        ground = browser.computed("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in re.findall(r"\d+", ground)[:3]) / 3
        assert (brightness < 80) == dark, f"{scheme}: {ground}"
        browser.picture(f"home-{scheme}")


def test_the_keyboard_reaches_everything_in_reading_order(browser):
    browser.open()
    reached = []
    for _ in range(17):
        browser.driver.switch_to.active_element.send_keys("\ue004")
        reached.append(browser.driver.switch_to.active_element.text or "field")
        outline = browser.computed("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"{reached[-1]} shows no focus"
    assert reached == (
        ["Skip to the content", "sessile", "Home", "Devices", "Inside", "Pull the plug"]
        + ["Send 40 at once", "+ Anemone", "+ Barnacle", "+ Coral", "+ Mussel", "+ Oyster"]
        + ["+ Sponge", "field", "field", "Sign in", "/metrics"]
    )


def test_the_policy_lets_nothing_foreign_in_and_nothing_is_missing(browser):
    for path in PAGES:
        browser.open(path)
        assert browser.computed("document.styleSheets.length") == 1, path
    said = [entry["message"] for entry in browser.driver.get_log("browser")]
    refused = [entry for entry in said if "Content Security Policy" in entry]
    assert not refused, refused
