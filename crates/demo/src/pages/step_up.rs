//! Where somebody who is signed in proves once more that it is they.

use maud::{Markup, html};

use super::Frame;

/// The page.
pub(crate) fn page(frame: &Frame) -> Markup {
    frame.around(&html! {
        div.intro {
            h1 { "Confirm that it is you" }
            p.lead.muted {
                "An open browser is enough to look, not to end all other sessions. Once confirmed, "
                "you are not asked again for five minutes."
            }
        }
        (card())
        p { a href="/devices" { "Back to your devices" } }
    })
}

fn card() -> Markup {
    html! {
        section.card aria-labelledby="confirm" {
            div.head {
                h2 #confirm { "Confirm with any password" }
                span.muted.small { "demo: none is kept or compared" }
            }
            form.field method="post" action="/devices/confirm" {
                label for="password" { "Any password" }
                div.row {
                    input #password type="password" name="password" required
                        autocomplete="current-password";
                    button { "Confirm and end all others" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_asked_for_and_not_shown() {
        let page = page(&Frame::bare("Confirm")).into_string();
        assert!(page.contains("label for=\"password\"") && page.contains("type=\"password\""));
        assert!(page.contains("action=\"/devices/confirm\""));
    }
}
