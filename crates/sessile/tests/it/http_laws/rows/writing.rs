//! What is written, and what the browser hears of it.

use sessile::Caching;

use super::{KEPT, NEW, NO_STORE, SETS, VARIES};
use crate::http_laws::run::{Row, get, row};
use crate::http_laws::script::Act::{Clear, Commit, Count, Header, Insert, Remove, Status};
use crate::http_laws::script::Ask;

pub(crate) fn a_write_sets_the_cookie_and_forbids_caching() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW).calls_the_store(1),
        get([]).gives(200, "#0 a=b", KEPT).calls_the_store(1),
    ])
}

pub(crate) fn a_write_to_a_session_that_is_there_sets_no_cookie() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Insert("a", "c")]).gives(200, "#0 a=c", KEPT).calls_the_store(2),
        get([Remove("a")]).gives(200, "#0", KEPT),
        get([Insert("a", "d"), Insert("e", "f")]).gives(200, "#0 a=d e=f", KEPT),
        get([Clear]).gives(200, "#0", KEPT),
        get([]).gives(200, "#0", KEPT),
    ])
}

pub(crate) fn counting_goes_on_from_request_to_request() -> Row {
    row([
        get([Count("n")]).gives(200, "n=1", NEW),
        get([Count("n")]).gives(200, "#0 n=2", KEPT),
        get([Count("n")]).by(Ask::Exclusive).gives(200, "#0 n=3", KEPT),
        get([]).by(Ask::Read).gives(200, "#0 n=3", KEPT),
    ])
}

pub(crate) fn removing_from_nothing_sets_no_cookie() -> Row {
    row([
        get([Remove("a")]).gives(200, "nobody", KEPT).calls_the_store(0),
        get([Clear]).gives(200, "nobody", KEPT).calls_the_store(0),
        get([Insert("a", "b"), Remove("a")]).gives(200, "nobody", KEPT).calls_the_store(0),
    ])
}

pub(crate) fn an_answer_that_refuses_is_still_one() -> Row {
    row([
        get([Insert("a", "b"), Status(404)]).gives(404, "a=b", NEW),
        get([Insert("a", "c"), Status(303)]).gives(303, "#0 a=c", KEPT),
        get([]).gives(200, "#0 a=c", KEPT),
    ])
}

pub(crate) fn headers_of_the_handler_stay_but_for_caching_a_cookie() -> Row {
    const PUBLIC: &str = "cache-control: public";
    let cached = Header("cache-control", "public");
    let own = [Header("vary", "Accept"), Header("set-cookie", "theme=dark; Path=/")];
    let theme = "set-cookie: theme=dark; Path=/";
    row([
        get([cached]).by(Ask::Nothing).gives(200, "", &[PUBLIC]),
        get([cached]).gives(200, "nobody", &[VARIES, PUBLIC]),
        get([cached, Insert("a", "b")]).gives(200, "a=b", &[VARIES, SETS, NO_STORE]),
        get([cached, Insert("a", "c")]).gives(200, "#0 a=c", &[VARIES, PUBLIC]),
        get(own).gives(200, "#0 a=c", &[VARIES, "vary: Accept", theme]),
    ])
    .with(|config| config.caching = Caching::ByHandler)
}

pub(crate) fn what_was_committed_early_stays_and_sets_its_cookie() -> Row {
    row([
        get([Insert("a", "b"), Commit, Insert("c", "d"), Status(500)]).gives(
            500,
            "#0 a=b c=d",
            NEW,
        ),
        get([]).gives(200, "#0 a=b", KEPT),
    ])
}

pub(crate) fn what_is_too_large_is_refused_and_nothing_is_kept() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Insert("c", "d"), Insert("a", "longer than eight bytes")]).gives(
            500,
            "Internal Server Error",
            KEPT,
        ),
        get([]).gives(200, "#0 a=b", KEPT),
    ])
    .with(|config| config.data_bytes_max = 16)
}
