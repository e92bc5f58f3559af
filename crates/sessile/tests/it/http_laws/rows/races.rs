//! Requests of one browser side by side: nobody's write is lost, and nobody waits.

use super::{KEPT, NEW};
use crate::http_laws::run::{Row, get, row};
use crate::http_laws::script::Act::{Count, Insert, Login, Remove, Rotate, Wait};

pub(crate) fn different_keys_written_side_by_side_all_survive() -> Row {
    row([
        get([Insert("a", "1")]).gives(200, "a=1", NEW),
        get([Insert("b", "2"), Wait])
            .meanwhile([
                get([Insert("c", "3")]).gives(200, "#0 a=1 c=3", KEPT),
                get([Remove("a")]).gives(200, "#0 c=3", KEPT),
            ])
            .gives(200, "#0 a=1 b=2", KEPT),
        get([]).gives(200, "#0 b=2 c=3", KEPT),
    ])
}

pub(crate) fn counts_side_by_side_all_count() -> Row {
    row([
        get([Count("n")]).gives(200, "n=1", NEW),
        get([Count("n"), Wait])
            .meanwhile([get([Count("n"), Wait])
                .meanwhile([get([Count("n")]).gives(200, "#0 n=2", KEPT)])
                .gives(200, "#0 n=2", KEPT)])
            .gives(200, "#0 n=2", KEPT),
        get([]).gives(200, "#0 n=4", KEPT),
    ])
}

pub(crate) fn an_insert_over_anothers_word_is_refused_when_asked() -> Row {
    row([
        get([Insert("a", "1")]).gives(200, "a=1", NEW),
        get([Insert("a", "2"), Wait])
            .meanwhile([get([Insert("a", "3")]).gives(200, "#0 a=3", KEPT)])
            .gives(409, "", KEPT),
        get([]).gives(200, "#0 a=3", KEPT),
    ])
    .with(|config| config.refuse_overwrites = true)
}

pub(crate) fn requests_around_a_rotation_all_succeed() -> Row {
    row([
        get([Insert("a", "1")]).gives(200, "a=1", NEW),
        get([Insert("b", "2"), Wait]).meanwhile([get([Rotate]).gives(200, "#0 a=1", NEW)]).gives(
            200,
            "#0 a=1 b=2",
            KEPT,
        ),
        get([]).gives(200, "#0 a=1 b=2", KEPT),
    ])
}

pub(crate) fn of_two_rotations_side_by_side_one_sets_the_cookie() -> Row {
    row([
        get([Insert("a", "1")]).gives(200, "a=1", NEW),
        get([Rotate, Wait])
            .meanwhile([get([Rotate]).gives(200, "#0 a=1", NEW)])
            .gives(200, "#0 a=1", KEPT),
        get([]).gives(200, "#0 a=1", KEPT),
    ])
}

pub(crate) fn a_late_write_with_the_token_of_before_the_login_is_refused() -> Row {
    row([
        get([Insert("cart", "tea")]).gives(200, "cart=tea", NEW),
        get([Insert("cart", "late"), Wait])
            .meanwhile([get([Login("ann")]).gives(200, "#0 cart=tea", NEW)])
            .gives(409, "", KEPT),
        get([]).gives(200, "#1 @ann cart=tea", KEPT),
    ])
}
