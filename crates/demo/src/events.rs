//! The last events of each session, kept in memory for `/inside`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sessile::{Event, SessionId, Subscriber};

/// How many events of one session are kept.
const EVENTS_MAX: usize = 20;

/// How many sessions are remembered; the one that was quiet longest is forgotten first.
const SESSIONS_MAX: usize = 1_000;

/// One event, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When it happened, the last time.
    pub(crate) at: SystemTime,
    pub(crate) what: String,
    /// How often in a row.
    pub(crate) times: u32,
}

/// What happened to one session.
#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Entry>,
    conflicts: u64,
}

impl Log {
    fn push(&mut self, at: SystemTime, what: String) {
        if let Some(last) = self.entries.back_mut().filter(|last| last.what == what) {
            (last.at, last.times) = (at, last.times + 1);
            return;
        }
        if self.entries.len() == EVENTS_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at, what, times: 1 });
    }

    fn last_at(&self) -> Option<SystemTime> {
        self.entries.back().map(|entry| entry.at)
    }
}

/// A subscriber that remembers the last events of every session by its public ID.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Arc<Mutex<HashMap<SessionId, Log>>>);

impl Events {
    /// The last events of a session, newest first.
    pub(crate) fn of(&self, id: SessionId) -> Vec<Entry> {
        let logs = self.logs();
        logs.get(&id).map(|log| log.entries.iter().rev().cloned().collect()).unwrap_or_default()
    }

    /// How often a save of this session had to be merged with another, so far.
    pub(crate) fn conflicts_of(&self, id: SessionId) -> u64 {
        self.logs().get(&id).map_or(0, |log| log.conflicts)
    }

    fn note(&self, event: &Event, at: SystemTime) {
        let (Some(id), Some(what)) = (event.session(), in_words(event)) else { return };
        let mut logs = self.logs();
        let mut log = match event {
            // The browser goes on under a new ID; its history goes with it.
            Event::LoggedIn { replaced: Some(old), .. } => logs.remove(old).unwrap_or_default(),
            _ => logs.remove(&id).unwrap_or_default(),
        };
        log.conflicts += u64::from(matches!(event, Event::Conflict { .. }));
        log.push(at, what);
        make_room(&mut logs);
        logs.insert(id, log);
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<SessionId, Log>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Events {
    fn notify(&self, event: &Event) {
        self.note(event, SystemTime::now());
    }
}

fn make_room(logs: &mut HashMap<SessionId, Log>) {
    if logs.len() < SESSIONS_MAX {
        return;
    }
    let quietest = logs.iter().min_by_key(|(_, log)| log.last_at()).map(|(id, _)| *id);
    quietest.map(|id| logs.remove(&id));
}

/// What to say of an event; `None` for events of no one session.
fn in_words(event: &Event) -> Option<String> {
    Some(match event {
        Event::Created(_) => "The session began".into(),
        Event::LoggedIn { owner, .. } => format!("{owner} signed in: a new session"),
        Event::Reauthenticated(_) => "The owner proved who they are".into(),
        Event::Rotated(_) => "The cookie was replaced by a new one".into(),
        Event::LoggedOut(_) => "Signed out".into(),
        Event::Revoked(_) => "Ended from another device".into(),
        Event::Swept(_) => "Cleaned up after it expired".into(),
        Event::Unknown(_) => "A cookie named this session, which is not live".into(),
        Event::Superseded(_) => "The cookie from before the sign-in was refused".into(),
        Event::Replayed(_) => "A cookie replaced long ago was presented".into(),
        Event::Refused(_) => "A cookie with a wrong secret was refused".into(),
        Event::Conflict { .. } => "A save was merged with another".into(),
        Event::Overwrote { key, .. } => format!("“{key}” was overwritten unseen"),
        Event::WriteRefused(_) => "A write came after the end and was refused".into(),
        Event::Corrupt(_) => "The record is damaged and was set aside".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use sessile::Owner;

    use super::*;

    fn id(n: u64) -> SessionId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        SessionId::from_bytes(bytes)
    }

    fn at(n: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(n)
    }

    #[test]
    fn the_last_twenty_are_kept_newest_first() {
        let events = Events::default();
        for n in 1..=25 {
            let key = n.to_string();
            events.note(&Event::Overwrote { id: id(1), key }, at(n));
        }
        let kept = events.of(id(1));
        assert_eq!((kept.len(), kept[0].at, kept[19].at), (20, at(25), at(6)));
        assert_eq!(events.of(id(2)), []);
    }

    #[test]
    fn the_same_again_is_one_entry() {
        let events = Events::default();
        for attempts in 1..=25 {
            events.note(&Event::Conflict { id: id(1), attempts }, at(u64::from(attempts)));
        }
        let [entry] = &*events.of(id(1)) else { panic!("one entry") };
        assert_eq!((entry.at, entry.times), (at(25), 25));
        assert_eq!(events.conflicts_of(id(1)), 25);
    }

    #[test]
    fn history_goes_along_with_a_sign_in() {
        let events = Events::default();
        events.note(&Event::Created(id(1)), at(1));
        let owner = Owner::new("ann").unwrap();
        events.note(&Event::LoggedIn { id: id(2), replaced: Some(id(1)), owner }, at(2));
        let said: Vec<_> = events.of(id(2)).into_iter().map(|entry| entry.what).collect();
        assert_eq!(said, ["ann signed in: a new session", "The session began"]);
        assert_eq!(events.of(id(1)), []);
    }

    #[test]
    fn memory_is_bounded_and_the_quietest_session_goes_first() {
        let events = Events::default();
        for n in 0..=SESSIONS_MAX as u64 {
            events.note(&Event::Created(id(n)), at(n));
        }
        assert_eq!(events.of(id(0)), []);
        assert_eq!(events.of(id(1)).len(), 1);
        assert_eq!(events.logs().len(), SESSIONS_MAX);
    }
}
