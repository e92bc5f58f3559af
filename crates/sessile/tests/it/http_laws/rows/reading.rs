//! Who asks for a session, and what asking alone costs.

use std::time::Duration;

use super::{GONE, KEPT, NEW};
use crate::engine::harness::secs;
use crate::http_laws::run::{Row, get, row};
use crate::http_laws::script::Act::{Count, Insert, Invalidate, Login};
use crate::http_laws::script::Ask;

pub(crate) fn a_handler_that_does_not_ask_adds_no_header() -> Row {
    row([
        get([]).by(Ask::Nothing).gives(200, "", &[]).calls_the_store(0),
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([]).by(Ask::Nothing).gives(200, "", &[]).calls_the_store(0),
    ])
}

pub(crate) fn a_handler_that_asks_varies_by_cookie() -> Row {
    row([
        get([]).gives(200, "nobody", KEPT).calls_the_store(0),
        get([]).by(Ask::Read).gives(200, "nobody", KEPT).calls_the_store(0),
        get([]).by(Ask::Exclusive).gives(200, "nobody", KEPT).calls_the_store(0),
    ])
}

pub(crate) fn an_optional_session_is_never_created() -> Row {
    row([
        get([Insert("a", "b")]).by(Ask::Existing).gives(200, "nobody", KEPT).calls_the_store(0),
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Count("n")]).by(Ask::Existing).gives(200, "#0 a=b n=1", KEPT),
    ])
}

pub(crate) fn who_is_not_signed_in_gets_401() -> Row {
    row([
        get([]).by(Ask::SignedIn).gives(401, "Unauthorized", KEPT),
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([]).by(Ask::SignedIn).gives(401, "Unauthorized", KEPT),
        get([Login("ann")]).gives(200, "#0 a=b", NEW),
        get([]).by(Ask::SignedIn).gives(200, "ann", KEPT),
        get([Invalidate]).gives(200, "nobody", GONE),
        get([]).by(Ask::SignedIn).gives(401, "Unauthorized", KEPT),
    ])
}

pub(crate) fn a_token_that_nobody_issued_is_neither_adopted_nor_removed() -> Row {
    let foreign = "__Host-session=<unknown>";
    row([
        get([]).header("cookie", foreign).gives(200, "nobody", KEPT).calls_the_store(1),
        get([Insert("a", "b")]).header("cookie", foreign).gives(200, "a=b", NEW),
        get([]).gives(200, "#0 a=b", KEPT),
    ])
}

pub(crate) fn a_cookie_that_is_no_token_costs_no_look_up() -> Row {
    let junk = |value| get([]).header("cookie", value).gives(200, "nobody", KEPT);
    row([
        junk("__Host-session=").calls_the_store(0),
        junk("__Host-session=junk").calls_the_store(0),
        junk("__Host-session=\"<unknown>\"").calls_the_store(0),
        junk("__Host-session=<unknown>A").calls_the_store(0),
        junk("__host-session=<unknown>").calls_the_store(0),
        junk("session=<unknown>").calls_the_store(0),
    ])
}

pub(crate) fn of_several_cookies_two_are_looked_up() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([])
            .header("cookie", "__Host-session=<unknown>; theme=dark; __Host-session=<0>")
            .gives(200, "#0 a=b", KEPT)
            .calls_the_store(2),
        get([])
            .header("cookie", "__Host-session=<0>; __Host-session=<unknown>")
            .gives(200, "#0 a=b", KEPT)
            .calls_the_store(1),
        get([])
            .header("cookie", "__Host-session=<unknown>")
            .header("cookie", "__Host-session=<0>")
            .gives(200, "#0 a=b", KEPT)
            .calls_the_store(2),
    ])
}

pub(crate) fn a_session_ends_to_the_millisecond() -> Row {
    const MILLISECOND: Duration = Duration::from_millis(1);
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([]).later(secs(30 * 60).saturating_sub(MILLISECOND)).gives(200, "#0 a=b", KEPT),
        get([]).later(secs(30 * 60)).gives(200, "nobody", KEPT),
        get([Insert("a", "c")]).gives(200, "a=c", NEW),
        get([]).gives(200, "#1 a=c", KEPT),
    ])
}
