"""A demo server and real browsers for the tests in this directory.

SESSILE_DEMO            the program to test, such as target/release/sessile-demo
SESSILE_SCREENSHOTS     a directory to put a picture of every page into, which takes the package
                        pillow; none are taken without it
CHROMIUM, CHROMEDRIVER  where they are, if not at /usr/bin

Every test runs on every store of `stores.py`, but for those that are about some of them only. Where
a tool or a store's server is missing, the tests are skipped and say so; under CI=true they fail
instead.
"""

import base64
import io
import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from stores import STORES

try:
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.wait import WebDriverWait
except ImportError:
    webdriver = None

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--window-size=1000,1100"
).split()


def missing():
    """What the tests lack, in words; None when all is there."""
    if webdriver is None:
        return "the Python package selenium is missing (pip install selenium)"
    for tool in (chromium(), chromedriver()):
        if not shutil.which(tool):
            return f"{tool} is missing (apt-get install chromium chromium-driver)"
    demo = os.environ.get("SESSILE_DEMO")
    if not demo:
        return "SESSILE_DEMO does not name the demo's program"
    return None if shutil.which(demo) else f"SESSILE_DEMO names no program: {demo}"


def chromium():
    return os.environ.get("CHROMIUM", "/usr/bin/chromium")


def chromedriver():
    return os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver")


@pytest.fixture(scope="session", autouse=True)
def tools():
    skip_if(missing())


def skip_if(reason):
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI promises all of it, but {reason}")
    if reason:
        pytest.skip(reason)


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(outlives): only on stores of which this is true")


def pytest_generate_tests(metafunc):
    """Runs a test on every store that it does not rule out."""
    needs = metafunc.definition.get_closest_marker("needs")
    wanted = needs.kwargs if needs else {}
    names = [
        name
        for name, store in STORES.items()
        if all(getattr(store, what) == value for what, value in wanted.items())
    ]
    metafunc.parametrize("store", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def store(request):
    kind = STORES[request.param]
    if kind.variable and not os.environ.get(kind.variable):
        skip_if(f"{kind.variable} names no server for the store {request.param}")
    with tempfile.TemporaryDirectory(prefix="sessile-demo-") as folder:
        store = kind(folder)
        store.name = request.param
        yield store
        store.clear()


class Demo:
    """One demo under its parent."""

    def __init__(self, store):
        self.store = store
        self.address = "127.0.0.1:0"
        self.start()

    def start(self):
        command = [os.environ["SESSILE_DEMO"], "--supervised", "--listen", self.address]
        command += ["--store", self.store.url()]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = ""
        for line in self.process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"http://(\S+)", said)
        assert found, f"the demo did not start: {said or self.process.wait()}"
        self.address = found[1]

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=20) == 0, "the demo did not end cleanly"
        self.process.stdout.close()


@pytest.fixture(scope="session")
def demo(store):
    demo = Demo(store)
    yield demo
    demo.stop()


class Browser:
    """A browser with cookies of its own, and the words the tests speak to it."""

    def __init__(self):
        self.demo = None
        self.profile = tempfile.mkdtemp(prefix="sessile-browser-")
        options = Options()
        options.binary_location = chromium()
        for flag in [*FLAGS, f"--user-data-dir={self.profile}"]:
            options.add_argument(flag)
        self.driver = webdriver.Chrome(options=options, service=Service(chromedriver()))
        self.driver.set_page_load_timeout(30)

    def forget(self):
        """Makes it as good as new: a browser takes longer to start than most tests."""
        first, *more = self.driver.window_handles
        for window in more:
            self.driver.switch_to.window(window)
            self.driver.close()
        self.driver.switch_to.window(first)
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        self.driver.get("about:blank")
        for what in ("clearBrowserCookies", "clearBrowserCache"):
            self.driver.execute_cdp_cmd(f"Network.{what}", {})
        self.driver.get_log("browser")

    def close(self):
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def open(self, path="/"):
        self.driver.get(f"http://{self.demo.address}{path}")

    def reload(self):
        self.driver.refresh()

    def back(self):
        self.driver.back()

    def click(self, text):
        """Clicks the button or link of this text."""
        path = f"//button[normalize-space()='{text}'] | //a[normalize-space()='{text}']"
        with self.next_page():
            self.driver.find_element(By.XPATH, path).click()

    def sign_in(self, name, remember=False):
        if remember:
            self.driver.find_element(By.NAME, "remember").click()
        self.type_into("name", name)

    def type_into(self, field, text):
        """Types into the field of this ID, and sends its form."""
        field = self.driver.find_element(By.ID, field)
        field.send_keys(text)
        with self.next_page():
            field.send_keys(Keys.ENTER)

    def cookie_days(self):
        """How many days each cookie is kept that outlives the browser."""
        ends = [cookie.get("expiry") for cookie in self.driver.get_cookies()]
        return [(end - time.time()) / 86_400 for end in ends if end]

    @contextmanager
    def next_page(self):
        """Waits until the page is another than before, and whole."""
        before = self.page()
        yield
        # Between two pages the driver answers with all kinds of errors.
        wait = WebDriverWait(self.driver, 20, 0.05, ignored_exceptions=[WebDriverException])
        wait.until(lambda _: self.page() != before)
        wait.until(lambda _: self.computed("document.readyState") == "complete")

    def page(self):
        return self.driver.find_element(By.TAG_NAME, "html").id

    def text(self, selector="body"):
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def texts(self, selector):
        return [found.text for found in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def visits(self):
        return int(self.text("#visits"))

    def basket(self):
        return dict(row.split() for row in self.texts("#contents > li"))

    def computed(self, script):
        return self.driver.execute_script(f"return {script}")

    def resize(self, width):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def picture(self, name):
        """Keeps a picture of the whole page, if pictures are asked for."""
        directory = os.environ.get("SESSILE_SCREENSHOTS")
        if not directory:
            return
        from PIL import Image

        if self.demo.store.name != "file":
            directory = Path(directory) / self.demo.store.name
        Path(directory).mkdir(parents=True, exist_ok=True)
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = {"captureBeyondViewport": True, "clip": clip, "format": "png"}
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", shot)["data"]
        # A page has few colours: a palette of 64 takes a third of the space.
        picture = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").quantize(64)
        picture.save(Path(directory) / f"{name}.png", optimize=True)


@pytest.fixture(scope="session")
def pool():
    """Browsers that nobody uses at the moment."""
    idle = []
    yield idle
    for browser in idle:
        browser.close()


@pytest.fixture
def browsers(demo, pool):
    """Hands out as many browsers as a test asks for, each without a past."""
    taken = []

    def another():
        browser = pool.pop() if pool else Browser()
        browser.forget()
        browser.demo = demo
        taken.append(browser)
        return browser

    yield another
    pool.extend(taken)


@pytest.fixture
def browser(browsers):
    return browsers()
