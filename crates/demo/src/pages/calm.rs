//! Pages for what did not work: calm, short, and without a word of what is inside.

use axum::http::StatusCode;
use maud::{Markup, html};

use super::Frame;

/// What to say of a failure.
struct Words {
    title: &'static str,
    explanation: &'static str,
}

const NOT_SAVED: Words = Words {
    title: "Not saved, nothing was changed",
    explanation: "The disk or the store behind this page does not take changes at the moment. \
                  Your session is as it was before: nothing is half done. Please try again.",
};

fn words(status: StatusCode) -> Words {
    let (title, explanation) = match status {
        StatusCode::BAD_REQUEST
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("That form was not understood", "Nothing was changed.")
        }
        StatusCode::FORBIDDEN => (
            "Not from another site",
            "A form on another site sent this browser here. It was refused, and nothing was \
             changed.",
        ),
        StatusCode::NOT_FOUND => {
            ("There is no such page", "Perhaps the address has a typing error.")
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            ("That is not a page", "It is where a form goes. Nothing was changed.")
        }
        StatusCode::CONFLICT => (
            "Your session ended meanwhile",
            "It was ended elsewhere while this request was under way, so the change was refused. \
             Nothing was changed.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ("That is too much", "Nothing was changed."),
        _ if status.is_server_error() => return NOT_SAVED,
        _ => ("That did not work", "Nothing was changed."),
    };
    Words { title, explanation }
}

/// The page for a response of this status.
pub(crate) fn page(status: StatusCode) -> Markup {
    let Words { title, explanation } = words(status);
    Frame::bare(title).around(&html! {
        div.intro {
            h1 { (title) }
            p.lead.muted { (explanation) }
        }
        p { a.button href="/" { (way_back(status)) } }
    })
}

/// What was in the basket is what somebody wants to see whose last item was not saved.
fn way_back(status: StatusCode) -> &'static str {
    if status.is_server_error() { "Back to your basket" } else { "To the front page" }
}

/// The banner over a page that could be shown, although its visit could not be saved.
pub(crate) fn banner() -> Markup {
    html! {
        section.card.trouble role="alert" {
            h2 { (NOT_SAVED.title) }
            p { (NOT_SAVED.explanation) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_of_the_store_says_that_nothing_was_changed() {
        for status in [500, 503, 507] {
            let page = page(StatusCode::from_u16(status).unwrap()).into_string();
            assert!(page.contains("<h1>Not saved, nothing was changed</h1>"), "{status}");
            assert!(page.contains("Back to your basket"), "{status}");
        }
    }

    #[test]
    fn other_failures_are_said_in_their_own_words() {
        for (status, title) in [
            (403, "Not from another site"),
            (404, "There is no such page"),
            (405, "That is not a page"),
            (409, "Your session ended meanwhile"),
            (418, "That did not work"),
            (422, "That form was not understood"),
        ] {
            let page = page(StatusCode::from_u16(status).unwrap()).into_string();
            assert!(page.contains(&format!("<h1>{title}</h1>")), "{status}");
            assert!(page.contains("To the front page"), "{status}");
        }
    }
}
