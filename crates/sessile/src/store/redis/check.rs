//! What the server's settings cannot keep, said once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join3;
use tracing::warn;

use super::Shared;
use crate::error::Result;

impl Shared {
    /// Asks the server for a sign of life.
    pub(super) async fn ping(&self) -> Result<()> {
        self.server.command(&self.keys.due(), redis::cmd("PING")).await.map(|_: String| ())
    }

    /// Has the settings looked at in the background, behind the first use.
    pub(super) fn check_behind(self: &Arc<Self>) {
        if !self.checked.load(Ordering::Relaxed) {
            let shared = Arc::clone(self);
            tokio::spawn(async move { shared.check_once().await });
        }
    }

    /// Looks at the settings of the server that files the namespace, unless that was done, and warns
    /// of what they cannot keep. A server that says nothing of its settings is not warned about.
    pub(super) async fn check_once(&self) {
        if self.checked.swap(true, Ordering::Relaxed) {
            return;
        }
        let (memory, persistence, sync) =
            join3(self.info("memory"), self.info("persistence"), self.setting("appendfsync")).await;
        if memory.is_none() && persistence.is_none() {
            // It did not answer, or its access list forbids; the former may change.
            self.checked.store(self.ping().await.is_ok(), Ordering::Relaxed);
            return;
        }
        let settings = Settings {
            policy: memory.as_deref().and_then(|info| field(info, "maxmemory_policy")),
            has_log: persistence.as_deref().and_then(|info| field(info, "aof_enabled")),
            sync: sync.as_deref(),
        };
        if let Some(text) = settings.warning() {
            warn!(namespace = %self.namespace, "{text}");
        }
    }

    async fn info(&self, section: &str) -> Option<String> {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        self.server.command(&self.keys.due(), info).await.ok()
    }

    async fn setting(&self, name: &str) -> Option<String> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(name);
        let pairs: Vec<(String, String)> = self.server.command(&self.keys.due(), get).await.ok()?;
        pairs.into_iter().next().map(|(_, value)| value)
    }
}

/// As far as the server tells them.
struct Settings<'a> {
    policy: Option<&'a str>,
    has_log: Option<&'a str>,
    sync: Option<&'a str>,
}

impl Settings<'_> {
    fn warning(&self) -> Option<String> {
        let evicts = self.policy.filter(|policy| *policy != "noeviction").map(|policy| {
            format!(
                "with maxmemory-policy {policy} it may drop sessions, and let some escape a \
                 log-out-everywhere, when memory is short: set noeviction"
            )
        });
        let forgets = match (self.has_log, self.sync) {
            (Some("0"), _) => Some(
                "without appendonly yes a restart brings back ended sessions and loses newer ones",
            ),
            (Some("1"), Some("everysec" | "no")) => Some(
                "without appendfsync always a loss of power may undo the last logouts and saves",
            ),
            _ => None,
        };
        let found: Vec<_> = evicts.into_iter().chain(forgets.map(str::to_owned)).collect();
        let list = found.join("; ");
        (!found.is_empty()).then(|| format!("the Redis server cannot keep what is stored: {list}"))
    }
}

/// The value of `name:value` in the text that INFO gives.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(policy: &str, has_log: &str, sync: &str) -> String {
        let settings = Settings { policy: Some(policy), has_log: Some(has_log), sync: Some(sync) };
        settings.warning().unwrap_or_default()
    }

    #[test]
    fn a_server_that_keeps_everything_is_not_warned_about() {
        assert_eq!(warning("noeviction", "1", "always"), "");
        assert_eq!(Settings { policy: None, has_log: None, sync: None }.warning(), None);
    }

    #[test]
    fn what_cannot_be_kept_is_named_with_its_mend() {
        assert!(warning("allkeys-lru", "1", "always").contains("noeviction"));
        assert!(warning("noeviction", "0", "always").contains("appendonly yes"));
        assert!(warning("noeviction", "1", "everysec").contains("appendfsync always"));
        let both = warning("volatile-ttl", "0", "everysec");
        assert!(both.contains("noeviction") && both.contains("appendonly yes"), "{both}");
    }

    #[test]
    fn a_field_of_info_is_found_by_its_whole_name() {
        let info = "# Memory\r\nmaxmemory_policy_old:x\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(field(info, "maxmemory_policy"), Some("noeviction"));
        assert_eq!(field(info, "aof_enabled"), None);
    }
}
