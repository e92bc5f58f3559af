//! A login is a new session: whoever held the token before it gains nothing.

use super::{KEPT, NEW};
use crate::http_laws::run::{Row, get, row};
use crate::http_laws::script::Act::{Insert, Login, LoginAfresh};
use crate::http_laws::script::Ask;

/// The token from before the login.
const PLANTED: &str = "__Host-session=<0>";

pub(crate) fn a_login_gives_a_new_id_and_a_new_token_and_keeps_the_data() -> Row {
    row([
        get([Insert("cart", "tea")]).gives(200, "cart=tea", NEW),
        get([]).gives(200, "#0 cart=tea", KEPT),
        get([Login("ann")]).gives(200, "#0 cart=tea", NEW),
        get([]).gives(200, "#1 @ann cart=tea", KEPT),
    ])
}

pub(crate) fn a_login_leaves_the_data_behind_when_asked() -> Row {
    row([
        get([Insert("cart", "tea")]).gives(200, "cart=tea", NEW),
        get([LoginAfresh("ann"), Insert("new", "yes")]).gives(200, "#0 cart=tea new=yes", NEW),
        get([]).gives(200, "#1 @ann new=yes", KEPT),
    ])
}

pub(crate) fn a_token_from_before_the_login_opens_nothing_and_stays_untouched() -> Row {
    row([
        get([Insert("cart", "tea")]).gives(200, "cart=tea", NEW),
        get([Login("ann")]).gives(200, "#0 cart=tea", NEW),
        get([]).header("cookie", PLANTED).gives(200, "nobody", KEPT),
        get([Insert("cart", "poison")]).header("cookie", PLANTED).gives(409, "", KEPT),
        get([]).by(Ask::SignedIn).header("cookie", PLANTED).gives(401, "Unauthorized", KEPT),
        get([]).gives(200, "#1 @ann cart=tea", KEPT),
    ])
}

pub(crate) fn a_change_of_owner_is_a_new_session() -> Row {
    row([
        get([Login("ann")]).gives(200, "nobody", NEW),
        get([]).gives(200, "#0 @ann", KEPT),
        get([Login("bob")]).gives(200, "#0 @ann", NEW),
        get([]).gives(200, "#1 @bob", KEPT),
        get([]).by(Ask::SignedIn).header("cookie", PLANTED).gives(401, "Unauthorized", KEPT),
    ])
}
