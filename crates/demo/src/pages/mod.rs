//! The pages: pure functions from what is to be shown to HTML. `maud` escapes whatever is put in.

pub(crate) mod calm;
pub(crate) mod devices;
pub(crate) mod home;
pub(crate) mod inside;
pub(crate) mod sign_in;
pub(crate) mod step_up;

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The one stylesheet.
pub(crate) const STYLE: &str = include_str!("style.css");

/// A limpet, the mark of the demo, in the colour of the text around it.
const LIMPET: PreEscaped<&str> = PreEscaped(
    "<svg viewBox='0 0 32 32' aria-hidden='true' fill='none' stroke='currentColor' \
     stroke-width='2.4' stroke-linecap='round' stroke-linejoin='round'>\
     <path d='M3 25C6 16 11 8 16 8s10 8 13 17z'/>\
     <path d='M16 8v17M12.5 10 9.5 25M19.5 10l3 15'/></svg>",
);

/// The same mark as a picture of its own, for the browser's tab.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
     viewBox='0 0 32 32' fill='none' stroke='%230b8a7f' stroke-width='2.6' \
     stroke-linecap='round' stroke-linejoin='round'%3E%3Cpath \
     d='M3 25C6 16 11 8 16 8s10 8 13 17zM16 8v17M12.5 10 9.5 25M19.5 10l3 15'/%3E%3C/svg%3E";

/// The pages the bar on top leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Home,
    Devices,
    Inside,
    /// None of them.
    Elsewhere,
}

/// What every page shows around its own.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) title: &'static str,
    pub(crate) place: Place,
    /// Who is signed in.
    pub(crate) user: Option<String>,
    /// What the last form did, to be said once.
    pub(crate) flashes: Vec<String>,
}

impl Frame {
    /// The frame of a page outside any session.
    pub(crate) fn bare(title: &'static str) -> Self {
        Self { title, place: Place::Elsewhere, user: None, flashes: Vec::new() }
    }

    /// The whole page around `content`.
    pub(crate) fn around(&self, content: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                (head(self.title))
                body {
                    a.skip href="#content" { "Skip to the content" }
                    (self.bar())
                    main #content { (self.said()) (content) }
                    (footer())
                }
            }
        }
    }

    fn bar(&self) -> Markup {
        html! {
            header.bar {
                a.brand href="/" { (LIMPET) "sessile" }
                nav aria-label="Pages" {
                    @for (place, path, name) in [
                        (Place::Home, "/", "Home"),
                        (Place::Devices, "/devices", "Devices"),
                        (Place::Inside, "/inside", "Inside"),
                    ] {
                        a href=(path) aria-current=[(place == self.place).then_some("page")] { (name) }
                    }
                }
                @if let Some(user) = &self.user { (who(user)) }
            }
        }
    }

    fn said(&self) -> Markup {
        html! {
            @for flash in &self.flashes {
                p.flash role="status" { (flash) }
            }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            title { (title) " · sessile demo" }
            meta name="viewport" content="width=device-width, initial-scale=1";
            link rel="stylesheet" href="/style.css";
            link rel="icon" href=(ICON);
        }
    }
}

fn who(user: &str) -> Markup {
    html! {
        form.who method="post" action="/sign-out" {
            b title=(user) { (user) }
            button.quiet.slim { "Sign out" }
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            p {
                "Demo only: signing in without a password, Pull the plug, 40 at once, the view "
                "inside and the JSON under " code { "/api/" } ". The sessions are the real thing, "
                "kept by the library as it is. What this process counted is at "
                a href="/metrics" { "/metrics" } "."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_person_types_is_escaped() {
        let evil = "<script>alert(1)</script>\" onload=\"x".to_string();
        let frame =
            Frame { user: Some(evil.clone()), flashes: vec![evil.clone()], ..Frame::bare("Test") };
        let page = frame.around(&html! { (evil) }).into_string();
        assert!(!page.contains("<script") && !page.contains("\" onload"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 4);
    }

    #[test]
    fn a_page_has_a_language_a_title_a_viewport_and_its_place() {
        let frame = Frame { place: Place::Devices, ..Frame::bare("Devices") };
        let page = frame.around(&html! {}).into_string();
        for part in [
            "<html lang=\"en\">",
            "<title>Devices · sessile demo</title>",
            "name=\"viewport\"",
            "href=\"/devices\" aria-current=\"page\"",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches("aria-current").count(), 1);
        assert!(!page.contains("Sign out"));
    }

    #[test]
    fn no_page_has_inline_style_or_script() {
        let page = Frame::bare("Test").around(&html! {}).into_string();
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("<script"));
    }
}
