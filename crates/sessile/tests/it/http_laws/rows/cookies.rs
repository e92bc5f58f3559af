//! How the token travels: what each choice of the configuration makes of the headers.

use std::time::Duration;

use sessile::{Config, CookieConfig, Prefix, SameSite, Transport};

use super::{GONE, KEPT, NEW, NO_STORE, VARIES};
use crate::http_laws::run::{Row, get, row};
use crate::http_laws::script::Act::{Insert, Invalidate, Login, Remember};
use crate::http_laws::script::Ask;

/// A session that begins and ends, by what the browser hears of it.
fn begins_and_ends(configure: fn(&mut Config), sets: &str, removes: &str) -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", &[VARIES, NO_STORE, sets]),
        get([]).gives(200, "#0 a=b", KEPT),
        get([Invalidate]).gives(200, "nobody", &[VARIES, NO_STORE, removes]),
        get([]).gives(200, "nobody", KEPT).calls_the_store(0),
    ])
    .with(configure)
}

pub(crate) fn the_cookie_of_a_development_host_is_plain() -> Row {
    begins_and_ends(
        |config| config.cookie = CookieConfig::plain_http("id"),
        "set-cookie: id=<new>; Path=/; HttpOnly; SameSite=Lax",
        "set-cookie: id=; Path=/; HttpOnly; Max-Age=0; SameSite=Lax",
    )
}

pub(crate) fn a_cookie_of_a_domain_and_a_path_is_removed_there_too() -> Row {
    begins_and_ends(
        |config| {
            config.cookie.prefix = Prefix::Secure;
            config.cookie.domain = Some("example.org".into());
            config.cookie.path = "/shop".into();
            config.cookie.same_site = SameSite::Strict;
        },
        "set-cookie: __Secure-session=<new>; Path=/shop; HttpOnly; Domain=example.org; Secure; \
         SameSite=Strict",
        "set-cookie: __Secure-session=; Path=/shop; HttpOnly; Domain=example.org; Max-Age=0; \
         Secure; SameSite=Strict",
    )
}

pub(crate) fn a_cookie_for_embedded_pages_is_partitioned() -> Row {
    begins_and_ends(
        |config| {
            config.cookie.same_site = SameSite::None;
            config.cookie.partitioned = true;
        },
        "set-cookie: __Host-session=<new>; Path=/; HttpOnly; Secure; SameSite=None; Partitioned",
        "set-cookie: __Host-session=; Path=/; HttpOnly; Max-Age=0; Secure; SameSite=None; \
         Partitioned",
    )
}

pub(crate) fn a_remembered_login_sets_a_cookie_that_lasts_400_days_at_most() -> Row {
    const DAY: Duration = Duration::from_secs(86_400);
    const LASTS_30: &str = "set-cookie: __Host-session=<new>; Path=/; HttpOnly; Max-Age=2592000; \
                            Secure; SameSite=Lax";
    const LASTS_400: &str = "set-cookie: __Host-session=<new>; Path=/; HttpOnly; \
                             Max-Age=34560000; Secure; SameSite=Lax";
    row([
        get([Remember("ann", 30)]).gives(200, "nobody", &[VARIES, NO_STORE, LASTS_30]),
        get([]).later(29 * DAY).gives(200, "#0 @ann", KEPT),
        get([]).later(DAY).gives(200, "nobody", KEPT),
        get([Remember("ann", 500)]).gives(200, "nobody", &[VARIES, NO_STORE, LASTS_400]),
    ])
}

pub(crate) fn a_renamed_cookie_is_read_by_its_old_name_and_removed_by_both() -> Row {
    const OLD: &str = "set-cookie: old=; Path=/; HttpOnly; Max-Age=0; Secure; SameSite=Lax";
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Insert("a", "c")]).header("cookie", "old=<0>").gives(200, "#0 a=c", KEPT),
        get([Login("ann")]).header("cookie", "old=<0>").gives(200, "#0 a=c", NEW),
        get([])
            .header("cookie", "old=<0>; __Host-session=<1>")
            .gives(200, "#1 @ann a=c", KEPT)
            .calls_the_store(1),
        get([Invalidate]).header("cookie", "old=<0>; __Host-session=<1>").gives(
            200,
            "nobody",
            &[GONE, &[OLD]].concat(),
        ),
    ])
    .with(|config| config.cookie.also_read = vec!["old".into()])
}

pub(crate) fn a_logout_removes_no_cookie_that_was_not_sent() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([Invalidate]).gives(200, "nobody", GONE),
    ])
    .with(|config| config.cookie.also_read = vec!["old".into()])
}

pub(crate) fn a_token_may_travel_in_headers_and_then_in_no_cookie() -> Row {
    const VARIES: &str = "vary: Authorization";
    const PRIVATE: &[&str] = &[VARIES, NO_STORE];
    row([
        get([Insert("a", "b")]).gives(200, "a=b", &[VARIES, NO_STORE, "session-token: <new>"]),
        get([]).header("authorization", "Bearer <0>").gives(200, "#0 a=b", PRIVATE),
        get([])
            .header("cookie", "__Host-session=<0>")
            .gives(200, "nobody", PRIVATE)
            .calls_the_store(0),
        get([Invalidate]).header("authorization", "bearer <0>").gives(
            200,
            "nobody",
            &[VARIES, NO_STORE, "session-token: "],
        ),
        get([]).header("authorization", "Bearer <0>").gives(200, "nobody", PRIVATE),
    ])
    .with(|config| config.transport = Transport::Header)
}

pub(crate) fn a_forged_token_costs_no_look_up_where_tokens_are_signed() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([]).gives(200, "#0 a=b", KEPT),
        get([])
            .header("cookie", "__Host-session=<unknown>")
            .gives(200, "nobody", KEPT)
            .calls_the_store(0),
        get([])
            .header("cookie", "__Host-session=<0>A")
            .gives(200, "nobody", KEPT)
            .calls_the_store(0),
    ])
    .with(|config| config.token_keys = vec!["A".repeat(43).parse().unwrap()])
}

pub(crate) fn a_logout_clears_what_the_site_stored_when_asked() -> Row {
    const CLEARS: &str = r#"clear-site-data: "cache", "cookies", "storage""#;
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([]).by(Ask::SignedIn).gives(200, "ann", KEPT),
        get([Invalidate]).gives(200, "nobody", &[GONE, &[CLEARS]].concat()),
    ])
    .with(|config| config.clear_site_data = true)
}
