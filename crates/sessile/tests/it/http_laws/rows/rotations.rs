//! A rotation replaces the secret and nothing else.

use super::{KEPT, NEW};
use crate::engine::harness::secs;
use crate::http_laws::run::{Row, get, row};
use crate::http_laws::script::Act::{Insert, Login, Rotate, StepUp};
use crate::http_laws::script::Ask;

/// The token from before the rotation.
const EARLIER: &str = "__Host-session=<0>";

pub(crate) fn a_rotation_sets_a_new_token_of_the_same_session() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Rotate]).gives(200, "#0 a=b", NEW),
        get([]).gives(200, "#0 a=b", KEPT),
    ])
}

pub(crate) fn the_token_before_it_reads_and_writes_for_its_grace_and_then_opens_nothing() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Rotate]).gives(200, "#0 a=b", NEW),
        get([Insert("c", "d")]).header("cookie", EARLIER).later(secs(59)).gives(
            200,
            "#0 a=b c=d",
            KEPT,
        ),
        get([]).header("cookie", EARLIER).later(secs(1)).gives(200, "nobody", KEPT),
        get([]).gives(200, "#0 a=b c=d", KEPT),
    ])
}

pub(crate) fn the_token_before_it_may_neither_log_in_nor_lock() -> Row {
    let refused = "Conflict";
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Rotate]).gives(200, "#0 a=b", NEW),
        get([Login("mallory")]).header("cookie", EARLIER).gives(409, refused, KEPT),
        get([]).by(Ask::Exclusive).header("cookie", EARLIER).gives(409, refused, KEPT),
        get([Rotate]).header("cookie", EARLIER).gives(200, "#0 a=b", KEPT),
        get([]).gives(200, "#0 a=b", KEPT),
    ])
}

pub(crate) fn a_step_up_takes_all_authority_from_the_token_before_it() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([StepUp(2)]).gives(200, "#0 @ann", NEW),
        get([]).header("cookie", EARLIER).gives(200, "nobody", KEPT),
        get([]).gives(200, "#0 @ann", KEPT),
    ])
}

pub(crate) fn a_timer_rotates_on_a_navigation_of_somebody_signed_in_and_never_else() -> Row {
    let hour = secs(3_600);
    let navigate =
        || get([]).header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        navigate().later(hour).gives(200, "#0 a=b", KEPT),
        get([Login("ann")]).gives(200, "#0 a=b", NEW),
        get([]).later(hour).gives(200, "#1 @ann a=b", KEPT),
        navigate().gives(200, "#1 @ann a=b", NEW),
        navigate().gives(200, "#1 @ann a=b", KEPT),
    ])
    .with(|config| {
        config.rotate_every = Some(secs(3_600));
        config.idle_timeout = secs(10 * 3_600);
    })
}
