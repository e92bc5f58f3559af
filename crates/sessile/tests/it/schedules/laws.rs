//! What must hold when all requests are over, whatever their order was.

use sessile::store::{Access, Scope, Store};
use sessile::{Clock, ErrorKind, Record, SessionId};

use super::deed::{Deed, Outcome, keys};
use super::stage::{Played, Start, now};
use crate::engine::harness::kind_of;

/// What was found once all was over.
struct Found<'a> {
    played: &'a Played,
    /// Every live session in the store.
    records: Vec<Record>,
    /// What the token opens that the requests came with.
    by_old_token: Option<Record>,
}

pub(super) fn check(played: &Played) {
    let found = Found::new(played);
    found.nobody_fails_without_a_reason();
    found.what_was_acknowledged_is_there();
    found.nothing_is_half();
    found.what_was_counted_adds_up();
    found.what_was_ended_stays_ended();
    found.new_tokens_open_and_old_ones_do_not();
    found.no_session_is_left_behind();
    found.no_lock_remains();
}

impl<'a> Found<'a> {
    fn new(played: &'a Played) -> Self {
        let at = played.server.clock.now();
        let page = now(played.store.list(Scope::All, at, None, 100)).unwrap();
        let load = |id| now(played.store.load(id, at, Access::Read)).unwrap().unwrap().record;
        let records = page.sessions.iter().map(|session| load(session.id)).collect();
        let by_old_token = opened(played, &played.cookie);
        Self { played, records, by_old_token }
    }

    fn nobody_fails_without_a_reason(&self) {
        for (who, deed, outcome) in self.requests() {
            if let Outcome::Failed(kind) = outcome {
                let reason = self.may_fail(who, deed, *kind);
                assert!(reason, "{deed:?} {who} failed as {kind:?}: {}", self.played.told);
            }
        }
    }

    /// What other requests do may end or replace what this one came with.
    fn may_fail(&self, who: usize, deed: Deed, kind: ErrorKind) -> bool {
        let others = |what: fn(Deed) -> bool| {
            self.requests().any(|(other, deed, _)| other != who && what(deed))
        };
        let ended = others(Deed::ends) || others(Deed::replaces_the_token);
        let rotated = others(|deed| deed == Deed::Rotate);
        match kind {
            _ if deed.ends() => false,
            ErrorKind::Ended => ended,
            ErrorKind::Superseded => deed.needs_authority() && (rotated || ended),
            // A step-up that finds nobody logged in.
            ErrorKind::Config => deed == Deed::StepUp && ended,
            _ => false,
        }
    }

    fn what_was_acknowledged_is_there(&self) {
        if self.may_have_ended() {
            return;
        }
        for (who, deed, cookie) in self.answered() {
            if !deed.writes() {
                continue;
            }
            let holds =
                |record: &Record| deed.keys(who).iter().all(|key| record.data.get(key).is_some());
            let is_kept = self.records.iter().any(holds);
            assert!(is_kept, "what {deed:?} {who} wrote is lost: {}", self.played.told);
            // It can be read as well, unless the answer was dropped that would have brought the
            // token.
            let cookies = self.cookies().chain(cookie.map(String::as_str));
            let mut readable = cookies.filter_map(|cookie| opened(self.played, cookie));
            let dropped = self.any(|deed, outcome| {
                deed.replaces_the_token() && matches!(outcome, Outcome::Dropped)
            });
            assert!(
                dropped || readable.any(|record| holds(&record)),
                "what {deed:?} {who} wrote is out of reach: {}",
                self.played.told
            );
        }
    }

    fn nothing_is_half(&self) {
        for record in &self.records {
            for (who, ..) in self.requests() {
                let [x, y] = keys(who).map(|key| record.data.get(&key).is_some());
                assert_eq!(x, y, "half of what {who} wrote: {}", self.played.told);
            }
        }
    }

    /// Who was answered was counted, and nobody twice.
    fn what_was_counted_adds_up(&self) {
        let counted = |record: &Record| {
            let json =
                record.data.get("count").map(|json| String::from_utf8(json.to_vec()).unwrap());
            json.map_or(0, |json| json.parse().unwrap())
        };
        for record in &self.records {
            let wrote = |who: usize| record.data.get(&keys(who)[0]).is_some();
            let counters = self.requests().filter(|(who, deed, _)| deed.counts() && wrote(*who));
            assert_eq!(counted(record), counters.count(), "a count: {}", self.played.told);
        }
    }

    fn what_was_ended_stays_ended(&self) {
        let ended = self.answered().filter(|(_, deed, _)| match self.played.start {
            Start::Nobodys => *deed == Deed::Logout,
            Start::Anns => deed.ends(),
        });
        if ended.count() > 0 {
            let opens = self.by_old_token.is_some();
            assert!(!opens, "the token opens what was ended: {}", self.played.told);
            let rotated = self.answered().filter(|(_, deed, _)| *deed == Deed::Rotate);
            for (.., cookie) in rotated {
                let opens = cookie.is_some_and(|cookie| opened(self.played, cookie).is_some());
                assert!(!opens, "a rotated token opens what was ended: {}", self.played.told);
            }
        }
        self.no_login_escapes();
    }

    fn no_login_escapes(&self) {
        let revoked = self.answered().filter(|(_, deed, _)| *deed == Deed::RevokeAll);
        for (revoker, ..) in revoked {
            let logins = self.answered().filter(|(_, deed, _)| *deed == Deed::Login);
            let before = |who: &usize| self.played.began[*who] < self.played.began[revoker];
            for (who, _, cookie) in logins.filter(|(who, ..)| before(who)) {
                let opens = cookie.is_some_and(|cookie| opened(self.played, cookie).is_some());
                assert!(!opens, "login {who} escapes: {}", self.played.told);
            }
        }
    }

    fn new_tokens_open_and_old_ones_do_not(&self) {
        for (who, deed, cookie) in self.answered() {
            let Some(cookie) = cookie else { continue };
            if deed.replaces_the_token() {
                let opens = self.by_old_token.is_some();
                assert!(!opens, "the old token opens after {deed:?} {who}: {}", self.played.told);
            }
            let Some(record) = opened(self.played, cookie) else {
                let replaced = |deed: Deed, _: &Outcome| deed.replaces_the_token();
                let reason =
                    self.may_have_ended() || (!deed.replaces_the_token() && self.any(replaced));
                assert!(reason, "the token of {deed:?} {who} opens nothing: {}", self.played.told);
                continue;
            };
            let is_anns = record.owner.as_ref().is_some_and(|owner| owner.as_str() == "ann");
            assert!(is_anns || deed != Deed::Login, "nobody is logged in: {}", self.played.told);
            let level = if deed == Deed::StepUp { 2 } else { 0 };
            assert!(record.level >= level, "the level: {}", self.played.told);
        }
        if self.played.start == Start::Nobodys {
            let owner = self.by_old_token.as_ref().and_then(|record| record.owner.as_ref());
            assert_eq!(owner, None, "a planted token opens Ann's: {}", self.played.told);
        }
    }

    /// A login that fails takes its record along; one that was dropped may leave it.
    fn no_session_is_left_behind(&self) {
        if self.any(|_, outcome| matches!(outcome, Outcome::Dropped)) {
            return;
        }
        let known: Vec<SessionId> = self
            .cookies()
            .filter_map(|cookie| opened(self.played, cookie).map(|record| record.id))
            .collect();
        for record in &self.records {
            assert!(
                known.contains(&record.id),
                "nobody has the token of {}: {}",
                record.id,
                self.played.told
            );
        }
    }

    fn no_lock_remains(&self) {
        for cookie in self.cookies() {
            let exchange = self.played.server.begin(cookie);
            let kind = kind_of(now(exchange.handle().exclusive()));
            // The secret before may not hold a session, locked or not.
            let had = kind.is_none_or(|kind| kind == ErrorKind::Superseded);
            assert!(had, "a lock remains: {kind:?}, {}", self.played.told);
        }
    }

    // Questions

    fn requests(&self) -> impl Iterator<Item = (usize, Deed, &Outcome)> {
        let deeds = self.played.deeds.iter().copied();
        deeds
            .zip(&self.played.outcomes)
            .enumerate()
            .map(|(who, (deed, outcome))| (who, deed, outcome))
    }

    fn answered(&self) -> impl Iterator<Item = (usize, Deed, Option<&String>)> {
        self.requests().filter_map(|(who, deed, outcome)| match outcome {
            Outcome::Answered(cookie) => Some((who, deed, cookie.as_ref())),
            _ => None,
        })
    }

    fn any(&self, what: impl Fn(Deed, &Outcome) -> bool) -> bool {
        self.requests().any(|(_, deed, outcome)| what(deed, outcome))
    }

    /// Whether a request ended the session, or was dropped when it may have done so.
    fn may_have_ended(&self) -> bool {
        self.any(|deed, _| deed.ends())
    }

    /// Every token that a browser got.
    fn cookies(&self) -> impl Iterator<Item = &str> {
        let set = self.answered().filter_map(|(.., cookie)| cookie.map(String::as_str));
        std::iter::once(self.played.cookie.as_str()).chain(set)
    }
}

fn opened(played: &Played, cookie: &str) -> Option<Record> {
    now(played.server.visit(cookie)).session.record()
}
