//! What the terminal shows when the demo begins to serve.

use std::net::SocketAddr;
use std::process;

use crate::options::StoreUrl;

/// Where the demo is, in words.
#[derive(Clone, Debug)]
pub(crate) struct Banner {
    pub(crate) address: SocketAddr,
    pub(crate) store: StoreUrl,
}

impl Banner {
    /// Prints where to go, now that process `serving` serves.
    pub(crate) fn print(&self, serving: u32) {
        crate::say(self.text(serving, process::id()));
    }

    fn text(&self, serving: u32, own: u32) -> String {
        let Self { address, store } = self;
        let supervised =
            if serving == own { String::new() } else { format!(", supervised by {own}") };
        format!(
            "sessile demo: open it in two browsers\n\
             \n\
             \x20 address  http://{address}\n\
             \x20 store    {store}\n\
             \x20 process  {serving}{supervised}\n\
             \n\
             Ctrl-C ends it."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_names_address_store_and_process() {
        let banner = Banner {
            address: ([127, 0, 0, 1], 3000).into(),
            store: "file:///srv/sessions".parse().unwrap(),
        };
        let text = banner.text(4712, 4711);
        for said in [
            "open it in two browsers",
            "http://127.0.0.1:3000",
            "file:///srv/sessions",
            "process  4712, supervised by 4711",
        ] {
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(!banner.text(4711, 4711).contains("supervised"));
    }
}
