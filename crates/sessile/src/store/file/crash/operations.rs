//! Everything that changes a store, each as the engine asks for it.

use std::time::Duration;

use super::super::sys::record::Fault;
use super::scene::{
    ANONYMOUS, MAIN, SECOND, Scene, ann, anonymous, mark, next, owned, rotated, stepped_up,
};
use crate::error::Result;
use crate::store::Durability::{Final, Power, Process};

#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// What must be there, and certain, before.
    pub(super) prepare: fn(&mut Scene) -> Result<()>,
    pub(super) run: fn(&mut Scene) -> Result<()>,
}

const fn operation(name: &'static str, run: fn(&mut Scene) -> Result<()>) -> Operation {
    Operation { name, prepare: |_| Ok(()), run }
}

pub(super) const CREATE: Operation = operation("create", |scene| {
    let record = anonymous(scene.fresh_id(), scene.now);
    scene.create(record, Process).map(drop)
});

pub(super) const CREATE_OWNED: Operation = operation("create with owner", |scene| {
    let record = owned(scene.fresh_id(), scene.now);
    scene.create(record, Power).map(drop)
});

pub(super) const UPDATE: Operation =
    operation("update in place", |scene| save(scene, 1_500, Process));

pub(super) const GROW: Operation =
    operation("update that grows", |scene| save(scene, 3_000, Process));

/// The second save behind a large one gives back the space of its tail.
pub(super) const SHRINK: Operation = Operation {
    name: "update that shrinks",
    prepare: |scene| scene.save(MAIN, 70_000, Power).map(drop),
    run: |scene| {
        save(scene, 1_500, Process)?;
        save(scene, 1_500, Process)
    },
};

pub(super) const TOUCH: Operation = operation("touch", |scene| {
    let Some(record) = scene.subject()? else { return Ok(()) };
    scene.touch(record.id, scene.now).map(drop)
});

pub(super) const ROTATE: Operation = operation("rotate", |scene| {
    let Some(record) = scene.subject()? else { return Ok(()) };
    let next = rotated(&record, scene.now);
    scene.update(&next, Final).map(drop)
});

pub(super) const LOGIN: Operation = operation("login over an anonymous session", |scene| {
    let (id, old) = (scene.fresh_id(), scene.load(ANONYMOUS)?);
    if !scene.create(owned(id, scene.now), Power)? {
        return Ok(());
    }
    let Some(old) = old else { return Ok(()) };
    let mark = mark(&old, scene.now);
    scene.supersede(&mark, id).map(drop)
});

pub(super) const STEP_UP: Operation = operation("step-up", |scene| {
    let Some(record) = scene.subject()? else { return Ok(()) };
    let next = stepped_up(&record, scene.now);
    scene.update(&next, Final).map(drop)
});

pub(super) const DELETE: Operation =
    operation("delete", |scene| scene.delete(MAIN, Power).map(drop));

/// A disk that copies on write has room for nothing, a tombstone included.
pub(super) const DELETE_WHEN_FULL: Operation = operation("delete on a full disk", |scene| {
    scene.set_fault(Fault::Full);
    let deleted = scene.delete(MAIN, Power);
    scene.set_fault(Fault::Never);
    deleted.map(drop)
});

pub(super) const REVOKE: Operation = operation("revoke all", |scene| {
    let sessions = scene.core.owners.list(&ann())?;
    let ids: Vec<_> = sessions.iter().map(|entry| entry.id).chain([MAIN, SECOND]).collect();
    scene.revoke(&ids).map(drop)
});

pub(super) const SWEEP: Operation = operation("sweep", |scene| scene.sweep().map(drop));

pub(super) const FILE_ANEW: Operation = operation("expiry-log append", |scene| {
    let now = scene.now;
    let deadline = now + Duration::from_secs(3600);
    scene.quietly(|core| core.log.append(MAIN, deadline, now)).map(drop)
});

pub(super) const SAVE_DURABLY: Operation =
    operation("save at power", |scene| save(scene, 1_500, Power));

pub(super) const ALL: [Operation; 15] = [
    CREATE,
    CREATE_OWNED,
    UPDATE,
    GROW,
    SHRINK,
    TOUCH,
    ROTATE,
    LOGIN,
    STEP_UP,
    DELETE,
    DELETE_WHEN_FULL,
    REVOKE,
    SWEEP,
    FILE_ANEW,
    SAVE_DURABLY,
];

fn save(scene: &mut Scene, bytes: usize, durability: crate::store::Durability) -> Result<()> {
    let Some(record) = scene.subject()? else { return Ok(()) };
    scene.update(&next(&record, bytes), durability).map(drop)
}
