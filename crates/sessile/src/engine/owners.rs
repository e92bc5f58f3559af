//! Sessions by ID and by owner: "where am I signed in", "end that one", "end all others".

use std::sync::Arc;

use super::{Sessions, Slot};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::record::{Owner, Summary};
use crate::session::Session;
use crate::store::{Access, Scope};
use crate::token::SessionId;

/// How many sessions [`Sessions::list`] gives at once.
const DEVICES_PER_PAGE: usize = 100;

/// One place where an owner is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// The session.
    pub session: Summary,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// One page of an owner's devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DevicePage {
    /// The devices, by session ID.
    pub devices: Vec<Device>,
    /// Where the next page begins, when there may be one.
    pub next: Option<SessionId>,
}

impl Sessions {
    /// Finds a session by its public ID, for a webhook, a job or an admin page.
    ///
    /// What is changed is written by [`Session::commit`] alone. The caller answers for who may do
    /// this: no secret is asked for.
    pub async fn find(&self, id: SessionId) -> Result<Option<Session>> {
        let engine = &self.engine;
        let loaded = engine.store.load(id, engine.now(), Access::Write).await;
        let loaded = loaded.map_err(|error| engine.failed(error))?;
        let loaded = loaded.filter(|loaded| !loaded.record.superseded);
        Ok(loaded.map(|loaded| Session::new(Arc::new(Slot::found(Arc::clone(engine), loaded)))))
    }

    /// Lists where `owner` is signed in, at most 100 places from the one after `after`.
    pub async fn list(
        &self,
        owner: impl TryInto<Owner, Error: Into<Error>>,
        current: Option<SessionId>,
        after: Option<SessionId>,
    ) -> Result<DevicePage> {
        let (engine, owner) = (&self.engine, owner.try_into().map_err(Into::into)?);
        let scope = Scope::Owner(&owner);
        let page = engine.store.list(scope, engine.now(), after, DEVICES_PER_PAGE).await;
        let page = page.map_err(|error| engine.failed(error))?;
        let device = |session: Summary| Device { current: current == Some(session.id), session };
        Ok(DevicePage { devices: page.sessions.into_iter().map(device).collect(), next: page.next })
    }

    /// Ends the session of `id` if it is `owner`'s; gives whether it was.
    ///
    /// Ownership is checked here, so an ID from a form can be handed on as it came.
    pub async fn revoke(
        &self,
        owner: impl TryInto<Owner, Error: Into<Error>>,
        id: SessionId,
    ) -> Result<bool> {
        let (engine, owner) = (&self.engine, owner.try_into().map_err(Into::into)?);
        let loaded = engine.store.load(id, engine.now(), Access::Read).await;
        let loaded = loaded.map_err(|error| engine.failed(error))?;
        match loaded.is_some_and(|loaded| loaded.record.owner == Some(owner)) {
            true => self.revoke_any(id).await,
            false => Ok(false),
        }
    }

    /// Ends the session of `id`, whoever's it is; gives whether there was one. For administrators.
    pub async fn revoke_any(&self, id: SessionId) -> Result<bool> {
        let engine = &self.engine;
        let deleted = engine.store.delete(id, engine.config.security_durability).await;
        let deleted = deleted.map_err(|error| engine.failed(error))?;
        if deleted {
            engine.notify(&Event::Revoked(id));
        }
        Ok(deleted)
    }

    /// Ends all sessions of `owner` but `except`; gives how many there were.
    ///
    /// A login that began before this call does not escape it: it is refused when it commits.
    pub async fn revoke_all(
        &self,
        owner: impl TryInto<Owner, Error: Into<Error>>,
        except: Option<SessionId>,
    ) -> Result<u64> {
        let (engine, owner) = (&self.engine, owner.try_into().map_err(Into::into)?);
        let (now, durability) = (engine.now(), engine.config.security_durability);
        let deleted = engine.store.delete_owner(&owner, except, now, durability).await;
        let sessions = deleted.map_err(|error| engine.failed(error))?;
        engine.notify(&Event::OwnerRevoked { owner, sessions });
        Ok(sessions)
    }
}
