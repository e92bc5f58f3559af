//! Where a user is signed in.

use std::time::SystemTime;

use maud::{Markup, html};
use sessile::SessionId;

use super::Frame;
use crate::words;

/// One session of the user.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) id: SessionId,
    /// Whether it is the one that asks.
    pub(crate) this: bool,
    pub(crate) user_agent: Option<String>,
    pub(crate) signed_in_at: SystemTime,
    pub(crate) used_at: SystemTime,
    /// Whether its cookie outlives the browser.
    pub(crate) remembered: bool,
}

impl From<sessile::Device> for Device {
    fn from(device: sessile::Device) -> Self {
        let session = device.session;
        Self {
            id: session.id,
            this: device.current,
            signed_in_at: session.authenticated_at.unwrap_or(session.created_at),
            used_at: session.used_at,
            remembered: session.persistent,
            user_agent: session.user_agent,
        }
    }
}

/// The page, as of `now`.
pub(crate) fn page(frame: &Frame, devices: &[Device], now: SystemTime) -> Markup {
    let others = devices.iter().any(|device| !device.this);
    frame.around(&html! {
        div.intro {
            h1 { "Your devices" }
            p.lead.muted { "Wherever you are signed in. What you end here opens nothing from then on." }
        }
        section.card {
            ul.list { @for device in devices { (row(device, now)) } }
            @if others { (end_others()) } @else { (alone()) }
        }
    })
}

fn row(device: &Device, now: SystemTime) -> Markup {
    let name = words::device(device.user_agent.as_deref());
    html! {
        li {
            div {
                h2 {
                    (name)
                    @if device.this { " " span.tag { "this browser" } }
                    @if device.remembered { " " span.tag.plain { "remembered" } }
                }
                p.small.muted {
                    "signed in " (words::ago(device.signed_in_at, now))
                    " · last used " (words::ago(device.used_at, now))
                }
                p.small.muted { code { (device.id) } }
            }
            @if !device.this { (end(device, &name)) }
        }
    }
}

fn end(device: &Device, name: &str) -> Markup {
    let id = device.id.to_string();
    html! {
        form method="post" action="/devices/end" {
            input type="hidden" name="id" value=(id);
            button.quiet.slim aria-label=(format!("End {name}, {}", &id[..8])) { "End" }
        }
    }
}

fn end_others() -> Markup {
    html! {
        form method="post" action="/devices/end-others" {
            button { "End all others" }
        }
    }
}

fn alone() -> Markup {
    html! {
        p.small.muted {
            "Only this one. Open the demo in a second browser or a private window, sign in with "
            "the same name, and come back."
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn device(this: bool, id: u8) -> Device {
        Device {
            id: SessionId::from_bytes([id; 16]),
            this,
            user_agent: Some("Firefox/128.0 (X11; Linux)".into()),
            signed_in_at: UNIX_EPOCH,
            used_at: UNIX_EPOCH + Duration::from_secs(3600),
            remembered: false,
        }
    }

    fn shown(devices: &[Device]) -> String {
        let now = UNIX_EPOCH + Duration::from_secs(3605);
        page(&Frame::bare("Devices"), devices, now).into_string()
    }

    #[test]
    fn this_browser_is_marked_and_cannot_end_itself_by_mistake() {
        let page = shown(&[device(true, 1), device(false, 2)]);
        assert_eq!(page.matches("this browser").count(), 1);
        assert_eq!(page.matches("name=\"id\"").count(), 1);
        assert!(page.contains(&format!("value=\"{}\"", "02".repeat(16))));
        assert!(page.contains("End all others"));
        assert!(page.contains("signed in 1 h ago · last used just now"));
    }

    #[test]
    fn a_browser_that_is_remembered_is_marked() {
        let remembered = Device { remembered: true, ..device(false, 2) };
        let page = shown(&[device(true, 1), remembered]);
        assert_eq!(page.matches(">remembered<").count(), 1);
    }

    #[test]
    fn a_single_device_is_told_how_to_get_a_second() {
        let page = shown(&[device(true, 1)]);
        assert!(page.contains("second browser") && !page.contains("end-others"));
    }
}
