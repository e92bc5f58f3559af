//! A directory with a few sessions in it, made once and copied for every fault.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sessile::store::Durability;
use sessile::{Owner, SessionId};

use crate::deed::{Answer, Deed, Order, Sight, wall_ms};
use crate::hand::{Reply, Worker, failure, unanswered};
use crate::history::{History, Promise};
use crate::report::Row;
use crate::roam;

/// The patrol of a sweep stays so long in each of 256 directories.
const WATCH_MS: u64 = 24 * 60 * 60 * 1000 / 256;

/// Who is in the scene. All sessions lie in the directory in which the patrol is, but for the
/// anonymous one and those to come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cast {
    shard: u8,
}

impl Cast {
    fn id(self, beside: u8, number: u8) -> SessionId {
        let mut bytes = [number; 16];
        bytes[0] = self.shard.wrapping_add(beside);
        SessionId::from_bytes(bytes)
    }

    /// Ann's session, with two states.
    pub(crate) fn main(self) -> SessionId {
        self.id(0, 1)
    }

    /// Another one of hers.
    pub(crate) fn second(self) -> SessionId {
        self.id(0, 2)
    }

    /// One of hers that expired long ago.
    pub(crate) fn expired(self) -> SessionId {
        self.id(0, 3)
    }

    /// Nobody's, with two states.
    pub(crate) fn anonymous(self) -> SessionId {
        self.id(1, 4)
    }

    /// One that is not there yet, nor its directory.
    pub(crate) fn fresh(self) -> SessionId {
        self.id(2, 5)
    }
}

pub(crate) fn ann() -> Owner {
    Owner::new("ann").expect("this name is short")
}

/// The directory to copy.
#[derive(Debug)]
pub(crate) struct Fixture {
    scratch: PathBuf,
    pub(crate) cast: Cast,
    history: History,
    now_ms: u64,
    copies: AtomicU64,
}

impl Fixture {
    /// Makes it below `scratch`, an hour before the moment at which every scene begins.
    pub(crate) fn make(scratch: &Path) -> Result<Self, String> {
        let now_ms = wall_ms();
        let cast = Cast { shard: (now_ms / WATCH_MS % 256) as u8 };
        let root = scratch.join("fixture");
        let mut scene = Scene::begin(root, cast, History::default(), now_ms - 3_600_000);
        for deed in furniture(cast) {
            scene.ask(&deed).map_err(|why| format!("the scene cannot be set: {why}"))?;
        }
        let scratch = scratch.to_owned();
        Ok(Self {
            scratch,
            cast,
            history: scene.history.clone(),
            now_ms,
            copies: AtomicU64::new(0),
        })
    }

    /// A scene of its own, with everything in place; or with an empty stage.
    pub(crate) fn scene(&self, furnished: bool) -> Result<Scene, String> {
        let number = self.copies.fetch_add(1, Ordering::Relaxed);
        let root = self.scratch.join(format!("scene-{number}"));
        let history = if furnished { self.history.clone() } else { History::default() };
        if furnished {
            let from = self.scratch.join("fixture");
            copy_tree(&from, &root).map_err(|why| format!("cannot copy the scene: {why}"))?;
        }
        Ok(Scene::begin(root, self.cast, history, self.now_ms))
    }
}

fn furniture(cast: Cast) -> Vec<Deed> {
    let durability = Durability::Power;
    let create = |id, stamp, owner, expired| Deed::Create {
        id,
        stamp,
        bytes: 1_500,
        durability,
        owner,
        expired,
    };
    let save = |id, stamp| Deed::save(id, stamp, 1_500, durability);
    vec![
        create(cast.main(), 1, Some(ann()), false),
        create(cast.second(), 2, Some(ann()), false),
        create(cast.anonymous(), 3, None, false),
        create(cast.expired(), 4, Some(ann()), true),
        save(cast.main(), 5),
        save(cast.anonymous(), 6),
    ]
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A directory, a process that has nothing to do with what went wrong, and what was said so far.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) root: PathBuf,
    pub(crate) cast: Cast,
    pub(crate) history: History,
    now_ms: u64,
    stamps: u64,
    witness: Option<Worker>,
}

impl Scene {
    pub(crate) fn begin(root: PathBuf, cast: Cast, history: History, now_ms: u64) -> Self {
        Self { root, cast, history, now_ms, stamps: 100, witness: None }
    }

    /// Moves on to a moment, unless it is there already.
    pub(crate) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// A worker that has opened the directory, and knows its sessions by heart.
    pub(crate) fn worker(&mut self) -> Result<Worker, String> {
        let mut worker = Worker::serving(&self.root)?;
        for deed in [Deed::Open, Deed::Look { id: self.cast.main() }] {
            match worker.ask(&self.order(deed)) {
                Reply::Answered(event) if failure(&event).is_none() => {}
                other => return Err(format!("a worker cannot open the directory: {other:?}")),
            }
        }
        Ok(worker)
    }

    /// An order, a second after the one before; looking takes no time.
    pub(crate) fn order(&mut self, deed: Deed) -> Order {
        self.now_ms += if is_look(&deed) { 0 } else { 1_000 };
        Order { now_ms: self.now_ms, deed }
    }

    /// A stamp that nobody had.
    pub(crate) fn stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    /// An ID that nobody had.
    pub(crate) fn new_id(&mut self) -> SessionId {
        let number = u128::from(self.now_ms) << 64 | u128::from(self.stamp());
        SessionId::from_bytes(number.rotate_right(8).to_be_bytes())
    }

    /// Notes what came back, and gives what is wrong with it by itself.
    ///
    /// An error that tells of the fault is an answer that binds nobody.
    pub(crate) fn hear(&mut self, reply: Reply, order: &Order, may: May) -> Option<String> {
        let (event, wrong) = match reply {
            Reply::Answered(mut event) => {
                let wrong = may.judge(&event);
                if failure(&event).is_some() {
                    event.answer = None;
                }
                (event, wrong)
            }
            Reply::Died(status) if may == May::Die && is_killed(status) => {
                (unanswered(order), None)
            }
            Reply::Died(status) => (unanswered(order), Some(format!("it ended: {status}"))),
            Reply::Silent => (unanswered(order), Some("it never answered".into())),
        };
        self.history.note(event);
        wrong.map(|wrong| format!("{:?}: {wrong}", order.deed))
    }

    /// Asks the process that has nothing to do with what went wrong; an error is one too many.
    pub(crate) fn ask(&mut self, deed: &Deed) -> Result<Answer, String> {
        let mut witness = self.witness()?;
        let order = self.order(deed.clone());
        let reply = witness.ask(&order);
        self.witness = Some(witness);
        let answer = match &reply {
            Reply::Answered(event) => event.answer.clone().map(|(answer, _)| answer),
            _ => None,
        };
        let wrong = match &reply {
            // What it sees is judged by who asks, against what that expects.
            Reply::Answered(event) if is_look(deed) => May::Succeed.judge(event),
            _ => self.hear(reply, &order, May::Succeed),
        };
        match wrong {
            Some(wrong) => Err(wrong),
            None => answer.ok_or_else(|| "it never answered".into()),
        }
    }

    fn witness(&mut self) -> Result<Worker, String> {
        if let Some(witness) = self.witness.take() {
            return Ok(witness);
        }
        let mut worker = Worker::serving(&self.root)?;
        match worker.ask(&self.order(Deed::Open)) {
            Reply::Answered(event) if failure(&event).is_none() => Ok(worker),
            other => Err(format!("the directory does not open again: {other:?}")),
        }
    }

    /// The next process to look is a new one.
    pub(crate) fn forget_witness(&mut self) {
        self.witness = None;
    }

    /// Looks at every session and at the list of every owner, and gives who lives. Nobody else is
    /// at work.
    pub(crate) fn look(&mut self, row: &mut Row, promise: Promise) -> Vec<SessionId> {
        let mut live = Vec::new();
        for id in self.history.ids().collect::<Vec<_>>() {
            let seen = self.ask(&Deed::Look { id });
            if let Ok(Answer::Saw(Sight::Live { superseded: false, .. })) = seen {
                live.push(id);
            }
            row.check(match seen {
                Ok(Answer::Saw(sight)) => self.history.judge(id, &sight, promise),
                other => Some(format!("{id} cannot be looked at: {other:?}")),
            });
        }
        for owner in roam::owners() {
            match self.ask(&Deed::List { owner: owner.clone() }) {
                Ok(Answer::Listed { ids }) => {
                    row.check_all(1, self.history.judge_list(&owner, &ids, promise));
                    row.check(self.unlisted(&owner, &ids, &live));
                }
                other => row.check(Some(format!("no list of {owner}'s sessions: {other:?}"))),
            }
        }
        live
    }

    /// Takes the exclusive lock of a session, and saves: whoever held it is gone.
    pub(crate) fn take_over(&mut self, id: SessionId, row: &mut Row) {
        let (stamp, durability) = (self.stamp(), Durability::Process);
        let save = Deed::Save { id, stamp, bytes: 700, durability, exclusive: true };
        let wrong = match self.ask(&save) {
            Ok(Answer::Wrote { .. }) => None,
            other => Some(format!("{id} cannot be taken over: {other:?}")),
        };
        row.check(wrong);
    }

    /// A session that can be read and that its owner cannot see, whoever was told of it or not.
    fn unlisted(&self, of: &Owner, ids: &[SessionId], live: &[SessionId]) -> Option<String> {
        let theirs = live.iter().filter(|id| self.history.owner(**id) == Some(of));
        let mut unlisted = theirs.filter(|id| !ids.contains(id));
        unlisted.next().map(|id| format!("{id} is live, and not in the list of {of}"))
    }

    /// A session is made, saved, ended: whatever happened before, the directory is as good as new.
    pub(crate) fn go_on(&mut self, row: &mut Row) {
        let id = self.new_id();
        let (first, second) = (self.stamp(), self.stamp());
        let durability = Durability::Power;
        let owner = Some(ann());
        let steps = [
            Deed::Create { id, stamp: first, bytes: 900, durability, owner, expired: false },
            Deed::save(id, second, 5_000, durability),
            Deed::Delete { id },
        ];
        for (at, deed) in steps.iter().enumerate() {
            let wrong = match self.ask(deed) {
                Ok(Answer::Wrote { version }) if version == at as u64 + 1 => None,
                Ok(Answer::Ended) => None,
                other => Some(format!("it does not go on: {deed:?}: {other:?}")),
            };
            row.check(wrong);
        }
        let seen = self.ask(&Deed::Look { id });
        let is_gone = matches!(seen, Ok(Answer::Saw(Sight::Absent)));
        row.check((!is_gone).then(|| format!("{id} was ended, and {seen:?}")));
    }

    /// Holds every answer against those before it.
    pub(crate) fn judge_answers(&mut self, row: &mut Row) {
        let (answers, wrong) = self.history.judge_answers();
        row.check_all(answers, wrong);
    }
}

impl Drop for Scene {
    /// A thousand scenes would fill a disk. The one that others copy stays.
    fn drop(&mut self) {
        if !self.root.ends_with("fixture") {
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

/// What a worker may do under a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    Succeed,
    /// Say that the disk refuses, or get by without.
    Fail,
    /// Say that the disk refuses, and nothing else: it must not call lasting what may not last.
    OnlyFail,
    /// Be killed.
    Die,
}

impl May {
    /// What is wrong with an answer by itself.
    fn judge(self, event: &crate::history::Event) -> Option<String> {
        match (failure(event), self) {
            (None, Self::OnlyFail) => Some(format!("an error was kept quiet: {:?}", event.answer)),
            (None, _) | (Some(("Unavailable", _)), Self::Fail | Self::OnlyFail) => None,
            (Some((kind, why)), _) => Some(format!("{kind}: {why}")),
        }
    }
}

fn is_look(deed: &Deed) -> bool {
    matches!(deed, Deed::Look { .. } | Deed::List { .. })
}

fn is_killed(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(9)
}
