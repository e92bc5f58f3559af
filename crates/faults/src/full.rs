//! A disk that is full: a tmpfs of 64 KiB, filled with sessions until it takes no more.

use std::path::Path;

use sessile::SessionId;
use sessile::store::Durability;

use crate::deed::{Answer, Deed, wall_ms};
use crate::hand::{Reply, Worker, failure};
use crate::history::{History, Promise};
use crate::mount::Mount;
use crate::report::{Row, Trouble};
use crate::scene::{Cast, May, Scene, ann};

const KIB: u32 = 64;

/// More than fit.
const SESSIONS_MAX: usize = 64;

/// Fills a disk of its own in several ways; one row.
pub(crate) fn run(scratch: &Path, rounds: u64) -> Result<Vec<Row>, Trouble> {
    let mut row = Row::new(format!("a full disk (tmpfs of {KIB} KiB)"));
    for round in 0..rounds {
        let at = scratch.join("full");
        let mount = Mount::tmpfs(&at, KIB)?;
        let scene =
            Scene::begin(at.join("sessions"), Cast::default(), History::default(), wall_ms());
        // Records of other sizes leave other remainders of space.
        let mut disk = Disk::new(scene, 600 + 900 * round as usize)?;
        disk.fill_and_empty(&mut row)?;
        drop((disk, mount));
    }
    Ok(vec![row])
}

/// A full disk, and a process at work on it.
struct Disk {
    scene: Scene,
    worker: Worker,
    bytes: usize,
}

impl Disk {
    fn new(mut scene: Scene, bytes: usize) -> Result<Self, String> {
        let worker = scene.worker()?;
        Ok(Self { scene, worker, bytes })
    }

    fn fill_and_empty(&mut self, row: &mut Row) -> Result<(), String> {
        let ids = self.fill(row);
        let [first, second, third, ..] = ids[..] else {
            return Err(format!("only {} sessions fit on the disk", ids.len()));
        };
        self.scene.look(row, Promise::KILL);
        self.save(second, 20_000, May::Fail, row);
        // What fits beside the newest state needs no space that the file does not have.
        self.save(second, 900, May::Succeed, row);
        self.deed(Deed::Touch { id: third }, May::Succeed, row);
        self.log_in(third, row);
        self.deed(Deed::Sweep, May::Succeed, row);
        self.scene.look(row, Promise::KILL);

        self.deed(Deed::Delete { id: first }, May::Succeed, row);
        self.scene.look(row, Promise::KILL);
        // One page is free now: a tail of three is cut short after it.
        self.save(second, 12_000, May::Fail, row);
        self.fill(row);
        self.deed(Deed::Revoke { owner: ann() }, May::Succeed, row);
        self.scene.look(row, Promise::KILL);

        for id in self.scene.history.ids().collect::<Vec<_>>() {
            self.deed(Deed::Delete { id }, May::Succeed, row);
        }
        self.scene.forget_witness();
        self.scene.go_on(row);
        self.scene.look(row, Promise::KILL);
        self.scene.judge_answers(row);
        Ok(())
    }

    /// Makes sessions until the disk refuses, every second one ann's; gives those that were made.
    fn fill(&mut self, row: &mut Row) -> Vec<SessionId> {
        let mut ids = Vec::new();
        for number in 0..SESSIONS_MAX {
            let (id, stamp) = (self.scene.new_id(), self.scene.stamp());
            let owner = (number % 2 == 0).then(ann);
            let (durability, bytes) = (Durability::Power, self.bytes);
            let create = Deed::Create { id, stamp, bytes, durability, owner, expired: false };
            match self.deed(create, May::Fail, row) {
                Some(Answer::Wrote { .. }) => ids.push(id),
                _ => return ids,
            }
        }
        row.check(Some("a full disk never refused".into()));
        ids
    }

    fn save(&mut self, id: SessionId, bytes: usize, may: May, row: &mut Row) {
        let (stamp, durability) = (self.scene.stamp(), Durability::Process);
        self.deed(Deed::save(id, stamp, bytes, durability), may, row);
    }

    fn log_in(&mut self, old: SessionId, row: &mut Row) {
        let (new, stamp, mark) = (self.scene.new_id(), self.scene.stamp(), self.scene.stamp());
        self.deed(Deed::Login { old, new, stamp, mark, owner: ann() }, May::Fail, row);
    }

    /// Does it, and counts a refusal as one injected fault: the disk's own.
    fn deed(&mut self, deed: Deed, may: May, row: &mut Row) -> Option<Answer> {
        let order = self.scene.order(deed);
        let reply = self.worker.ask(&order);
        let mut answer = None;
        if let Reply::Answered(event) = &reply {
            row.injected += u64::from(failure(event).is_some());
            answer = event.answer.clone().map(|(answer, _)| answer);
        }
        row.check(self.scene.hear(reply, &order, may));
        answer
    }
}
