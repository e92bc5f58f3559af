//! What goes wrong leaves no half: neither of the session, nor of a lock, nor of an answer.

use std::time::Duration;

use sessile::OnOutage;

use super::{KEPT, LATER, NEW};
use crate::http_laws::run::{Row, get, row};
use crate::http_laws::script::Act::{
    Count, Header, Insert, Invalidate, Login, Lower, Panic, Rotate, Status, Wait,
};
use crate::http_laws::script::Ask;

pub(crate) fn a_5xx_keeps_its_answer_and_writes_nothing() -> Row {
    row([
        get([Insert("a", "b"), Status(500)]).gives(500, "a=b", KEPT).calls_the_store(0),
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Insert("a", "c"), Status(503)]).gives(503, "#0 a=c", KEPT).calls_the_store(1),
        get([Login("ann"), Status(500)]).gives(500, "#0 a=b", KEPT),
        get([Rotate, Status(502)]).gives(502, "#0 a=b", KEPT),
        get([]).gives(200, "#0 a=b", KEPT),
    ])
}

pub(crate) fn a_5xx_still_takes_authority_away() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([Rotate]).gives(200, "#0 @ann", NEW),
        get([Lower(0), Insert("a", "b"), Status(500)]).gives(500, "#0 @ann a=b", KEPT),
        get([]).header("cookie", "__Host-session=<0>").gives(200, "nobody", KEPT),
        get([]).gives(200, "#0 @ann", KEPT),
    ])
}

pub(crate) fn a_failed_load_answers_503_and_is_followed_by_no_save() -> Row {
    let unavailable = "Service Unavailable";
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Insert("a", "c")]).without("load").gives(503, unavailable, LATER).calls_the_store(1),
        get([]).by(Ask::Existing).without("load").gives(503, unavailable, LATER).calls_the_store(1),
        get([]).gives(200, "#0 a=b", KEPT),
    ])
}

pub(crate) fn a_failed_commit_replaces_the_answer() -> Row {
    let own = Header("x-mine", "yes");
    row([
        get([Insert("a", "b"), own]).without("create").gives(503, "", LATER),
        get([Insert("a", "b"), own]).gives(200, "a=b", &[NEW, &["x-mine: yes"]].concat()),
        get([Insert("a", "c"), own]).without("update").gives(503, "", LATER),
        get([Rotate]).without("update").gives(503, "", LATER),
        get([Login("ann")]).without("update").gives(503, "", LATER),
        get([Invalidate]).without("delete").gives(503, "", LATER),
        get([]).gives(200, "#0 a=b", KEPT),
    ])
}

pub(crate) fn an_outage_reads_as_nobody_when_asked_and_refuses_to_write() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([]).without("load").gives(200, "nobody", KEPT),
        get([Insert("a", "c")]).without("load").gives(503, "", LATER),
        get([]).gives(200, "#0 a=b", KEPT),
    ])
    .with(|config| config.on_outage = OnOutage::ReadAsNobody)
}

pub(crate) fn a_panicking_handler_writes_nothing_and_holds_no_lock() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Insert("a", "c"), Panic]).panics(),
        get([Insert("a", "c"), Invalidate, Panic]).by(Ask::Exclusive).panics(),
        get([Count("n")]).by(Ask::Exclusive).gives(200, "#0 a=b n=1", KEPT),
    ])
}

pub(crate) fn a_client_that_leaves_writes_nothing_and_frees_its_lock() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Insert("a", "c"), Login("ann"), Wait]).loses_its_client(),
        get([Insert("a", "c"), Wait]).by(Ask::Exclusive).loses_its_client(),
        get([Count("n")]).by(Ask::Exclusive).gives(200, "#0 a=b n=1", KEPT),
    ])
}

pub(crate) fn a_lock_that_is_not_free_in_time_answers_503() -> Row {
    row([
        get([Insert("a", "b")]).gives(200, "a=b", NEW),
        get([Count("n"), Wait])
            .by(Ask::Exclusive)
            .meanwhile([
                get([Count("n")]).by(Ask::Exclusive).gives(503, "Service Unavailable", LATER),
                get([Insert("c", "d")]).gives(200, "#0 a=b c=d", KEPT),
            ])
            .gives(200, "#0 a=b n=1", KEPT),
        get([]).gives(200, "#0 a=b c=d n=1", KEPT),
    ])
    .with(|config| config.lock_wait = Duration::from_millis(20))
}
