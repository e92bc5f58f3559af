//! Sessions by ID and by owner: "where am I signed in", "end that one", "end all others".

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{Engine, Mode, Sessions, Slot};
use crate::config::OnOwnerLimit;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::keys::malformed;
use crate::record::{Owner, Record, Summary};
use crate::session::Session;
use crate::store::{Access, Scope};
use crate::token::SessionId;

/// How many sessions [`Sessions::list`] gives at once.
const DEVICES_PER_PAGE: usize = 100;

/// How long a login may take to withdraw that finds itself over its owner's limit.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);
const LOOKS_MAX: u32 = 20;

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
    /// this: no secret is asked for. With [`Session::exclusive`] it is held until its last clone is
    /// dropped, and at most for `lock_hold`.
    pub async fn find(&self, id: SessionId) -> Result<Option<Session>> {
        let engine = &self.engine;
        let loaded = engine.find(id, Mode::Write).await?;
        Ok(loaded.map(|loaded| Session::new(Arc::new(Slot::found(Arc::clone(engine), loaded)))))
    }

    /// A new session of no request: for tests of handlers, and for jobs that prepare one.
    ///
    /// [`Session::commit`] writes it, as its login or its first data does in a request. No browser
    /// gets its token.
    ///
    /// ```
    /// # use sessile::{Session, Sessions, store::MemoryStore};
    /// async fn greet(session: Session) -> sessile::Result<String> {
    ///     Ok(format!("hello {}", session.get::<String>("name")?.unwrap_or_default()))
    /// }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let session = Sessions::new(MemoryStore::new()).detached();
    /// session.insert("name", "ann")?;
    /// assert_eq!(greet(session).await?, "hello ann");
    /// # Ok::<_, sessile::Error>(()) }).unwrap();
    /// ```
    pub fn detached(&self) -> Session {
        Session::new(Arc::new(Slot::detached(Arc::clone(&self.engine), None)))
    }

    /// A new session in place of another system's: its browser opens it with the key it has.
    ///
    /// [`Session::commit`] writes it, once something was put into it or somebody was logged in; then
    /// requests find it. The key is of the form that [`SessionsBuilder::keys`] was given, and the
    /// cookie it comes in is ours or one of [`CookieConfig::also_read`]. A logout ends the session
    /// and not the other system's: to take it over again would bring it back.
    ///
    /// [`SessionsBuilder::keys`]: crate::SessionsBuilder::keys
    /// [`CookieConfig::also_read`]: crate::CookieConfig::also_read
    ///
    /// # Errors
    /// [`ErrorKind::Key`] for what is no such key; and from the commit, which leaves what is there as
    /// it is, when the key was taken over before.
    pub fn take_over(&self, key: &str) -> Result<Session> {
        let keys = self.engine.keys.as_ref();
        let key = keys.and_then(|keys| keys.parse(key.as_bytes())).ok_or_else(malformed)?;
        Ok(Session::new(Arc::new(Slot::detached(Arc::clone(&self.engine), Some(key)))))
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
        let sessions = page.sessions.len();
        engine.notify(&Event::Listed { owner: owner.clone(), sessions });
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
        self.engine.end(id).await
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
        if let Some(id) = except.filter(|_| engine.draws_keys()) {
            engine.spare(id, &owner, now).await?;
        }
        let mut sessions = 0;
        loop {
            let deleted = engine.store.delete_owner(&owner, except, now, durability).await;
            let deleted = deleted.map_err(|error| engine.failed(error))?;
            sessions += deleted;
            // A session that was spared a moment ago may have moved past this list: it is in the next.
            if deleted == 0 || !engine.draws_keys() {
                break;
            }
        }
        engine.notify(&Event::OwnerRevoked { owner, sessions });
        Ok(sessions)
    }
}

impl Engine {
    /// Undoes a login that is over its owner's limit, where new ones are to be refused.
    ///
    /// Judged after the record is written: of several logins at once the last to look sees all. Those
    /// that are over the limit by (created, ID) go at once. One that is not waits a moment to see them
    /// gone, and goes too if they stay: they were let in before its record was there to be seen. So
    /// there are never too many, and of several for the last place at times none is let in.
    pub(super) async fn admit_to_owner(
        &self,
        new: &Record,
        replaced: Option<SessionId>,
    ) -> Result<()> {
        for looks in 1.. {
            let contenders = self.contenders(new, replaced, OnOwnerLimit::RefuseNew).await?;
            let Some((ids, limit)) = contenders else { return Ok(()) };
            if ids.len() <= limit {
                return Ok(());
            }
            if ids[limit..].contains(&new.id) || looks == LOOKS_MAX {
                break;
            }
            sleep(LOOK_AGAIN_AFTER).await;
        }
        self.undo(new.id).await;
        Err(Error::new(
            ErrorKind::OwnerLimit,
            "the owner has as many sessions as `sessions_per_owner` allows; one must end first",
        ))
    }

    /// Ends the oldest sessions of an owner over the limit, where old ones are to go.
    pub(super) async fn end_surplus(&self, new: &Record) -> Result<()> {
        let contenders = self.contenders(new, None, OnOwnerLimit::EndOldest).await?;
        let Some((ids, limit)) = contenders else { return Ok(()) };
        for id in &ids[..ids.len().saturating_sub(limit)] {
            self.end(*id).await?;
        }
        Ok(())
    }

    /// The owner's sessions, oldest first, and how many may stay; `None` where `choice` is not made.
    async fn contenders(
        &self,
        new: &Record,
        replaced: Option<SessionId>,
        choice: OnOwnerLimit,
    ) -> Result<Option<(Vec<SessionId>, usize)>> {
        let chosen =
            self.config.sessions_per_owner.filter(|_| self.config.on_owner_limit == choice);
        let (Some(limit), Some(owner)) = (chosen, &new.owner) else { return Ok(None) };
        let mut all = self.all_of(owner).await?;
        all.retain(|session| Some(session.id) != replaced);
        all.sort_by_key(|session| (session.created_at, session.id));
        Ok(Some((all.iter().map(|session| session.id).collect(), limit.get())))
    }

    async fn all_of(&self, owner: &Owner) -> Result<Vec<Summary>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let scope = Scope::Owner(owner);
            let page = self.store.list(scope, self.now(), after, DEVICES_PER_PAGE).await;
            let page = page.map_err(|error| self.failed(error))?;
            all.extend(page.sessions);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }
}
