//! A logout is final, and only the request that logs out removes its cookie.

use super::{GONE, KEPT, NEW};
use crate::http_laws::run::{Row, get, row};
use crate::http_laws::script::Act::{Insert, Invalidate, Login, Rotate, Status, Wait};
use crate::http_laws::script::Ask;

pub(crate) fn a_logout_removes_the_cookie_and_ends_the_session() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([Invalidate]).gives(200, "nobody", GONE),
        get([]).gives(200, "nobody", KEPT).calls_the_store(0),
        get([]).header("cookie", "__Host-session=<0>").gives(200, "nobody", KEPT),
        get([]).by(Ask::SignedIn).header("cookie", "__Host-session=<0>").gives(
            401,
            "Unauthorized",
            KEPT,
        ),
    ])
}

pub(crate) fn a_logout_of_nobody_removes_what_was_presented_and_nothing_else() -> Row {
    row([
        get([Invalidate]).gives(200, "nobody", KEPT),
        get([Invalidate]).header("cookie", "__Host-session=<unknown>").gives(200, "nobody", GONE),
        get([Invalidate]).header("cookie", "__Host-session=junk").gives(200, "nobody", GONE),
    ])
}

pub(crate) fn a_session_that_begins_after_a_logout_sets_one_cookie() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([Invalidate, Insert("a", "b")]).gives(200, "a=b", NEW),
        get([]).gives(200, "#0 a=b", KEPT),
        get([]).header("cookie", "__Host-session=<0>").gives(200, "nobody", KEPT),
    ])
}

pub(crate) fn a_logout_is_carried_out_whatever_the_status() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([Insert("a", "b"), Invalidate, Status(500)]).gives(500, "nobody", GONE),
        get([]).header("cookie", "__Host-session=<0>").gives(200, "nobody", KEPT),
    ])
}

pub(crate) fn a_logout_wins_against_a_write_in_flight() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([Insert("a", "late"), Wait])
            .meanwhile([get([Invalidate]).gives(200, "nobody", GONE)])
            .gives(409, "", KEPT),
        get([]).header("cookie", "__Host-session=<0>").gives(200, "nobody", KEPT),
    ])
}

pub(crate) fn a_logout_wins_against_a_rotation_in_flight() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([Rotate, Wait])
            .meanwhile([get([Invalidate]).gives(200, "nobody", GONE)])
            .gives(409, "", KEPT),
        get([]).header("cookie", "__Host-session=<0>").gives(200, "nobody", KEPT),
    ])
}

pub(crate) fn a_logout_passes_an_exclusive_request() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([Insert("a", "late"), Wait])
            .by(Ask::Exclusive)
            .meanwhile([get([Invalidate]).gives(200, "nobody", GONE)])
            .gives(409, "", KEPT),
        get([]).header("cookie", "__Host-session=<0>").gives(200, "nobody", KEPT),
    ])
}

pub(crate) fn the_token_before_a_rotation_may_log_out() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([Rotate]).gives(200, "#0 @ann", NEW),
        get([Invalidate]).header("cookie", "__Host-session=<0>").gives(200, "nobody", GONE),
        get([]).header("cookie", "__Host-session=<1>").gives(200, "nobody", KEPT),
    ])
}
