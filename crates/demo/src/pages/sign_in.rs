//! The sign-in form, and the page that shows nothing else.

use maud::{Markup, html};

use super::{Frame, Place};

/// The most characters of a name.
pub(crate) const NAME_CHARS_MAX: usize = 60;

/// Why somebody stands before the sign-in form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The page asked for belongs to a user.
    Needed,
    /// The session ended elsewhere, or by its age.
    Ended,
    /// They just signed out.
    Left,
}

impl Why {
    fn title(self) -> &'static str {
        match self {
            Self::Needed => "Sign in to see this page",
            Self::Ended => "You are signed out here",
            Self::Left => "You are signed out",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Needed => "Devices belong to a user, and nobody is signed in here.",
            Self::Ended => {
                "This session was ended from another device, or it ran out. What this browser \
                 still held opens nothing."
            }
            Self::Left => "The session is gone from the store; its cookie opens nothing.",
        }
    }
}

/// The page with the form and the reason.
pub(crate) fn page(why: Why) -> Markup {
    let frame = Frame { place: Place::Elsewhere, ..Frame::bare(why.title()) };
    frame.around(&html! {
        div.intro {
            h1 { (why.title()) }
            p.lead.muted { (why.explanation()) }
        }
        (card())
        p { a href="/" { "Go on without signing in" } }
    })
}

/// The form in its card.
pub(crate) fn card() -> Markup {
    html! {
        section.card aria-labelledby="sign-in" {
            div.head {
                h2 #sign-in { "Sign in" }
                span.muted.small { "demo: no password" }
            }
            p.muted {
                "Take the same name in a second browser, and end one from the other under Devices."
            }
            form.field method="post" action="/sign-in" {
                label for="name" { "Any name" }
                input #name name="name" required maxlength=(NAME_CHARS_MAX) autocomplete="username"
                    autocapitalize="none" spellcheck="false";
                div.row.apart {
                    label.check {
                        input type="checkbox" name="remember" value="yes";
                        "Remember me for 30 days"
                    }
                    button { "Sign in" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_comes_with_the_form() {
        for (why, title) in [
            (Why::Needed, "Sign in to see this page"),
            (Why::Ended, "You are signed out here"),
            (Why::Left, "You are signed out"),
        ] {
            let page = page(why).into_string();
            assert!(page.contains(&format!("<h1>{title}</h1>")), "{page}");
            assert!(page.contains("action=\"/sign-in\"") && page.contains("demo: no password"));
        }
    }

    #[test]
    fn the_field_has_its_label() {
        let card = card().into_string();
        assert!(card.contains("label for=\"name\"") && card.contains("input id=\"name\""));
    }
}
