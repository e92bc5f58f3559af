//! One request's session: what was loaded, what the handler did since, and how far we are.
//!
//! All handles of a request share one slot. Two locks, always taken in this order: `io` (async) is
//! held over a load or a commit, so that parallel extraction loads once; `state` (sync) is held for
//! a look or a note, never across an await and never while a caller's closure runs.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::Mutex as AsyncMutex;

use super::behind::behind;
use super::commit::{Settled, Work};
use super::standing::{Live, Mode, Standing, unreadable};
use super::{Engine, Visitor};
use crate::changes::{Changes, Closure};
use crate::cookie::{self, CookieChange, Presented};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Authority, Lifetime, Login, Wish, check_nesting, check_size, upkeep};
use crate::record::{Data, Record};
use crate::store::{Loaded, Ticket};
use crate::token::{SessionId, Token};

/// How often a closure runs in one `update` while tasks of the same request change its key. More than
/// that is no race: the closure changes the key itself.
const RUNS_MAX: u32 = 10_000;

#[derive(Debug)]
pub(crate) struct Slot {
    engine: Arc<Engine>,
    presented: Presented,
    visitor: Visitor,
    began_at: SystemTime,
    /// The key that the session is to have which begins here, if it was given.
    key: Option<Token>,
    io: AsyncMutex<Io>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct Io {
    mode: Option<Mode>,
    ticket: Ticket,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    standing: Standing,
    /// The data as the handler sees it, once it changed something.
    edited: Option<Data>,
    changes: Changes,
    wish: Wish,
    /// Sessions this handler logged out.
    endings: Vec<SessionId>,
    /// Whether it logged out at all, be it of a session that was no more.
    logs_out: bool,
    /// How often it did, for whatever was under way meanwhile.
    logouts: u32,
    cookie: Option<CookieChange>,
    /// The most that it was asked for, if it was.
    asked: Option<Mode>,
    /// Whether the last commit is under way, after which nothing more is written.
    finishing: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Committing,
    /// A commit was dropped half-way; nobody knows how it went.
    Broken,
    /// The request is over.
    Closed,
}

impl Slot {
    pub(super) fn new(engine: Arc<Engine>, presented: Presented, visitor: Visitor) -> Self {
        let began_at = engine.now();
        let (io, state) = (AsyncMutex::default(), Mutex::default());
        Self { engine, presented, visitor, began_at, key: None, io, state }
    }

    /// A slot of no request, for a session that is yet to be, perhaps under this key.
    pub(super) fn detached(engine: Arc<Engine>, key: Option<Token>) -> Self {
        let slot = Self::new(engine, Presented::default(), Visitor::default());
        let io = Io { mode: Some(Mode::Write), ticket: Ticket::none() };
        Self { key, io: AsyncMutex::new(io), ..slot }
    }

    /// A slot of no request, for a session that the application found by its ID.
    pub(super) fn found(engine: Arc<Engine>, loaded: Loaded) -> Self {
        let slot = Self::new(engine, Presented::default(), Visitor::default());
        let (standing, ticket) = by_id(loaded);
        slot.state().standing = standing;
        let io = Io { mode: Some(Mode::Write), ticket };
        Self { io: AsyncMutex::new(io), ..slot }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Opening

    /// Loads the session, once, in at least this mode.
    pub(crate) async fn open(&self, mode: Mode) -> Result<()> {
        self.note_asked(mode);
        let _leftovers = Leftovers(self);
        let mut io = self.io.lock().await;
        self.check_open()?;
        if io.mode >= Some(mode) {
            return Ok(());
        }
        // From reading to writing is no reason to load again: the commit expects this version. From
        // peeking to anything is one: a use is noted for a session that is there.
        if io.mode == Some(Mode::Read) && mode == Mode::Write {
            io.mode = Some(mode);
            return Ok(());
        }
        // Going up: what the lower mode held goes first, so that we never wait for ourselves.
        self.engine.release(std::mem::take(&mut io.ticket)).await;
        let logouts = self.state().logouts;
        let (standing, ticket) = self.in_its_name(self.load(mode)).await?;
        *io = Io { mode: Some(mode), ticket };
        let standing = match standing {
            Standing::Nobody if self.presented.any() && !self.has_logged_out() => Standing::Ended,
            standing => standing,
        };
        self.rebase(standing, logouts)?;
        self.check_open()
    }

    fn note_asked(&self, mode: Mode) {
        let mut state = self.state();
        state.asked = state.asked.max(Some(mode));
    }

    /// Takes `standing` as what is stored, and puts on top what the handler did meanwhile.
    ///
    /// Its closures may use this very session, so they run without our lock. What is noted while they
    /// do comes after. When one of them fails, all that was to be written is dropped. `logouts` is how
    /// many there were when the load or the commit began: who logged out since meant this session, too.
    fn rebase(&self, standing: Standing, logouts: u32) -> Result<()> {
        let (mut changes, mut data) = (Changes::default(), standing.data().clone());
        loop {
            let mut state = self.state();
            if state.logouts != logouts {
                state.end(standing);
                return Ok(());
            }
            let later = std::mem::take(&mut state.changes);
            if later.is_empty() {
                state.edited = (!changes.is_empty()).then_some(data);
                (state.changes, state.standing) = (changes, standing);
                return Ok(());
            }
            drop(state);
            if let Err(error) = later.apply(&mut data) {
                self.state().give_up_changes(standing, logouts);
                return Err(error);
            }
            changes.append(later, &data);
        }
    }

    async fn load(&self, mode: Mode) -> Result<(Standing, Ticket)> {
        if let Some(id) = self.found_id() {
            let found = self.engine.find(id, mode).await?;
            // No empty session in its place: nobody would ever get the token of what is written there.
            return found.map(by_id).ok_or_else(|| self.engine.ended(id));
        }
        self.engine.open(&self.tokens(), mode, &self.visitor).await
    }

    /// The session that the application found by its ID, if that is what this is.
    fn found_id(&self) -> Option<SessionId> {
        match &self.state().standing {
            Standing::Live(live) if live.authority == Authority::Server => Some(live.record.id),
            _ => None,
        }
    }

    /// What to look up: the token that this response is to set, once a commit has made one; until then
    /// what the request brought; and nothing once the handler has logged out, committed or not.
    fn tokens(&self) -> Cow<'_, [Token]> {
        let set = match &self.state().cookie {
            Some(CookieChange::Set { token, .. }) => Some(token.clone()),
            _ => None,
        };
        match set {
            Some(token) => vec![token].into(),
            None if self.has_logged_out() => Cow::default(),
            None => Cow::Borrowed(&self.presented.tokens),
        }
    }

    fn has_logged_out(&self) -> bool {
        let state = self.state();
        state.logs_out || matches!(state.cookie, Some(CookieChange::Remove))
    }

    fn check_open(&self) -> Result<()> {
        self.state().check_open()
    }

    /// Does `work` in the name of this request's client, if there is a request: a session that a
    /// handler found by its ID is changed in that handler's name.
    async fn in_its_name<T>(&self, work: impl Future<Output = T>) -> T {
        match self.visitor.client.address {
            Some(_) => behind(self.visitor.client, work).await,
            None => work.await,
        }
    }

    // Looking

    pub(crate) fn with_data<T>(&self, look: impl FnOnce(&Data) -> T) -> T {
        look(self.state().data())
    }

    pub(crate) fn with_record<T>(&self, look: impl FnOnce(&Record) -> T) -> Option<T> {
        match &self.state().standing {
            Standing::Live(live) => Some(look(&live.record)),
            _ => None,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state().standing, Standing::Ended)
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.engine.now()
    }

    /// Asks the store whether the session still is what this handle believes.
    pub(crate) async fn is_live(&self) -> Result<bool> {
        let standing = self.state().standing.clone();
        match standing {
            Standing::Live(live) => self.engine.still_opens(&live).await,
            _ => Ok(false),
        }
    }

    // Changing

    pub(crate) fn insert(&self, key: &str, json: Bytes) -> Result<()> {
        check_nesting(&json, &self.engine.config)?;
        self.edit(
            |data| data.insert(key, json.clone()),
            |changes| changes.insert(key, json.clone()),
        )
    }

    pub(crate) fn remove(&self, key: &str) -> Result<()> {
        if self.with_data(|data| data.get(key).is_none()) {
            return self.check_open();
        }
        self.edit(|data| data.remove(key), |changes| changes.remove(key))
    }

    pub(crate) fn clear(&self) -> Result<()> {
        self.edit(Data::clear, Changes::clear)
    }

    /// Runs `closure` on what the handler sees, and notes it for the commit; gives what `read` makes
    /// of the outcome. What cannot be read is not noted.
    pub(crate) fn update<T>(
        &self,
        key: &str,
        closure: Closure,
        read: impl Fn(&Bytes) -> Result<T>,
    ) -> Result<T> {
        self.check_open()?;
        for _ in 0..RUNS_MAX {
            // The closure may use this very session, so it runs without our lock.
            let before = self.with_data(|data| data.get(key).cloned());
            let json = closure(before.as_ref())?;
            check_nesting(&json, &self.engine.config)?;
            let value = read(&json)?;
            let mut state = self.state();
            if state.data().get(key) == before.as_ref() {
                let noted = json.clone();
                state.edit(
                    &self.engine,
                    |data| data.insert(key, noted.clone()),
                    |changes| changes.update(key, closure, noted.clone()),
                )?;
                return Ok(value);
            }
        }
        Err(Error::new(
            ErrorKind::Contended,
            "the key changed each time the closure given to `update` ran; let it change no session",
        ))
    }

    fn edit<T>(
        &self,
        see: impl FnOnce(&mut Data) -> T,
        note: impl FnOnce(&mut Changes),
    ) -> Result<()> {
        self.state().edit(&self.engine, see, note)
    }

    pub(crate) fn login(&self, login: Login) -> Result<()> {
        login.owner()?;
        self.wish(|wish| wish.login = Some(login))
    }

    pub(crate) fn rotate(&self) -> Result<()> {
        self.wish(|wish| wish.rotate = true)
    }

    pub(crate) fn reauthenticate(&self, level: u8) -> Result<()> {
        let owned = self.with_record(|record| record.owner.is_some()).unwrap_or(false);
        if !owned {
            return Err(Error::new(ErrorKind::Config, "nobody is logged in: call `login` first"));
        }
        self.wish(|wish| wish.reauthenticate = Some(level))
    }

    pub(crate) fn lower(&self, level: u8) -> Result<()> {
        let mut state = self.state();
        state.check_open()?;
        let lowest = state.wish.lower.map_or(level, |asked| asked.min(level));
        state.wish.lower = Some(lowest);
        // The session that this request's login makes is the one that is meant.
        if let Some(login) = &mut state.wish.login {
            login.level = login.level.min(level);
        }
        Ok(())
    }

    /// Asks for a lifetime. One that needs no new cookie may be given by the application itself.
    pub(crate) fn live(&self, change: impl FnOnce(&mut Lifetime)) -> Result<()> {
        self.wish(|wish| change(&mut wish.lifetime))
    }

    fn wish(&self, make: impl FnOnce(&mut Wish)) -> Result<()> {
        let mut state = self.state();
        state.check_open()?;
        let mut wish = state.wish.clone();
        make(&mut wish);
        if wish.login.is_some() || wish.rotates() {
            state.check_browser()?;
        }
        if state.is_previous() {
            wish.without_authority()?;
        }
        state.wish = wish;
        Ok(())
    }

    pub(crate) fn invalidate(&self) -> Result<()> {
        let mut state = self.state();
        state.check_open()?;
        match std::mem::take(&mut state.standing) {
            Standing::Live(live) => state.endings.push(live.record.id),
            // Nobody knows which session to end; to remove the cookie would only look like it.
            Standing::Unreadable => {
                state.standing = Standing::Unreadable;
                return Err(unreadable());
            }
            Standing::Nobody | Standing::Ended | Standing::Superseded => {}
        }
        state.drop_wishes();
        // A token that an earlier commit of this request would have set opens nothing by now.
        state.cookie = None;
        state.logs_out = true;
        state.logouts += 1;
        Ok(())
    }

    // Committing

    /// Carries out what the handler asked for since the last commit, and says how it went.
    pub(crate) async fn commit(&self) -> Result<()> {
        let _leftovers = Leftovers(self);
        let mut io = self.io.lock().await;
        let Some((work, commit)) = self.begin_commit()? else { return Ok(()) };
        let before = self.id();
        let carried_out = self.engine.carry_out(work, &mut io.ticket);
        let settled = self.in_its_name(carried_out).await;
        let settled = commit.settle(settled);
        // A login goes on under another ID, and what was opened for the old one is of no use to it.
        if self.id() != before {
            io.mode = io.mode.min(Some(Mode::Write));
            self.engine.release(std::mem::take(&mut io.ticket)).await;
        }
        settled
    }

    fn id(&self) -> Option<SessionId> {
        self.with_record(|record| record.id)
    }

    fn begin_commit(&self) -> Result<Option<(Work, Committing<'_>)>> {
        let mut state = self.state();
        state.check_phase()?;
        if !state.has_work() {
            return Ok(None);
        }
        state.phase = Phase::Committing;
        let (endings, logouts) = (state.endings.len(), state.logouts);
        let work = Work {
            endings: state.endings.clone(),
            removes_cookie: state.logs_out && self.presented.any(),
            standing: state.standing.clone(),
            edited: state.edited.clone(),
            changes: std::mem::take(&mut state.changes),
            wish: std::mem::take(&mut state.wish),
            visitor: self.visitor.clone(),
            began_at: self.began_at,
            key: self.key.clone(),
        };
        Ok(Some((work, Committing { slot: self, endings, logouts })))
    }

    /// Adds what keeps the secret fresh, unless the handler asks for a new one anyway.
    pub(super) fn keep_fresh(&self) {
        let (mut state, config) = (self.state(), &self.engine.config);
        let Standing::Live(live) = &state.standing else { return };
        let may_get_a_cookie =
            state.asked > Some(Mode::Read) && !self.engine.is_overheard(&self.visitor);
        if may_get_a_cookie && state.wish.login.is_none() && !state.wish.rotates() {
            // A key that is drawn anew moves its session, which only a handler may ask for.
            let navigates = self.visitor.navigates && !self.engine.draws_keys();
            let now = self.engine.now();
            state.wish.upkeep = upkeep(&live.record, live.authority, navigates, config, now);
        }
    }

    /// From here on clones in tasks are refused: what they noted would never be written.
    pub(super) fn take_no_more(&self) {
        self.state().finishing = true;
    }

    /// A failing response keeps nothing but the endings its handler asked for.
    pub(super) fn drop_wishes(&self) {
        self.state().drop_wishes();
    }

    // Ending

    /// The request is over: locks go, and clones in tasks and streams turn read-only.
    pub(super) fn close(&self) -> Ticket {
        let mut state = self.state();
        state.drop_wishes();
        state.phase = Phase::Closed;
        drop(state);
        self.free_ticket()
    }

    /// The ticket, unless a load or a commit is under way: that one leaves none behind then.
    fn free_ticket(&self) -> Ticket {
        self.io.try_lock().map(|mut io| std::mem::take(&mut io.ticket)).unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        self.state().phase == Phase::Closed
    }

    pub(super) fn was_asked(&self) -> bool {
        self.state().asked.is_some()
    }

    pub(super) fn write_headers(&self, headers: &mut HeaderMap) {
        let state = self.state();
        cookie::write(&self.engine.config, &self.presented, state.cookie.as_ref(), headers);
        if let Some(change) = &state.cookie {
            self.engine.note_delivery(change);
        }
    }
}

/// Frees the lock that a load or a commit of a task leaves behind when its request is over by then.
/// Made before `io` is locked, so that it is dropped after `io` is free.
struct Leftovers<'a>(&'a Slot);

impl Drop for Leftovers<'_> {
    fn drop(&mut self) {
        if self.0.is_over() {
            drop(self.0.free_ticket());
        }
    }
}

/// A commit that is under way. Dropped without being settled, it leaves the slot broken.
struct Committing<'a> {
    slot: &'a Slot,
    endings: usize,
    logouts: u32,
}

impl Committing<'_> {
    fn settle(self, outcome: Result<Settled>) -> Result<()> {
        let mut state = self.slot.state();
        if state.phase == Phase::Committing {
            state.phase = Phase::Open;
        }
        match outcome {
            Ok(settled) => {
                // Deleting is idempotent: after a failure the endings stay, to be carried out again.
                state.endings.drain(..self.endings);
                state.logs_out = !state.endings.is_empty();
                if state.logouts == self.logouts {
                    state.cookie = settled.cookie.or(state.cookie.take());
                }
                drop(state);
                self.slot.rebase(settled.standing, self.logouts)
            }
            Err(error) => {
                let standing = state.standing.clone();
                drop(state);
                self.slot.rebase(standing, self.logouts)?;
                Err(error)
            }
        }
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        let mut state = self.slot.state();
        if state.phase == Phase::Committing {
            state.phase = Phase::Broken;
        }
    }
}

impl State {
    fn check_open(&self) -> Result<()> {
        self.check_phase()?;
        if self.finishing { Err(over()) } else { Ok(()) }
    }

    fn check_phase(&self) -> Result<()> {
        match self.phase {
            Phase::Open | Phase::Committing => Ok(()),
            Phase::Broken => Err(Error::new(
                ErrorKind::Closed,
                "a commit of this session was dropped half-way; its outcome is unknown",
            )),
            Phase::Closed => Err(over()),
        }
    }

    fn check_browser(&self) -> Result<()> {
        match &self.standing {
            Standing::Live(Live { authority: Authority::Server, .. }) => Err(Error::new(
                ErrorKind::Config,
                "a session found by its ID has no browser to give a new token to",
            )),
            _ => Ok(()),
        }
    }

    fn is_previous(&self) -> bool {
        matches!(&self.standing, Standing::Live(live) if live.authority == Authority::Previous)
    }

    fn has_work(&self) -> bool {
        let wishes = self.wish.login.is_some() || self.wish.changes_record();
        wishes || self.logs_out || !self.changes.is_empty()
    }

    fn data(&self) -> &Data {
        self.edited.as_ref().unwrap_or_else(|| self.standing.data())
    }

    fn edit<T>(
        &mut self,
        engine: &Engine,
        see: impl FnOnce(&mut Data) -> T,
        note: impl FnOnce(&mut Changes),
    ) -> Result<()> {
        self.check_open()?;
        let mut data = self.data().clone();
        see(&mut data);
        check_size(&data, &engine.config)?;
        self.edited = Some(data);
        note(&mut self.changes);
        Ok(())
    }

    /// Takes `standing` as what is stored, and drops what was to be put on top; unless the handler has
    /// logged out since: that has dropped it, and stands.
    fn give_up_changes(&mut self, standing: Standing, logouts: u32) {
        if self.logouts == logouts {
            (self.changes, self.edited) = (Changes::default(), None);
            self.standing = standing;
        } else {
            self.end(standing);
        }
    }

    /// Ends what a load or a commit gave that was under way when the handler logged out.
    fn end(&mut self, standing: Standing) {
        if let Standing::Live(live) = standing {
            self.endings.push(live.record.id);
        }
        self.logs_out = true;
    }

    fn drop_wishes(&mut self) {
        self.changes = Changes::default();
        self.wish.drop_but_lowering();
        self.edited = None;
    }
}

/// A session that the application found by its ID.
fn by_id(Loaded { record, ticket }: Loaded) -> (Standing, Ticket) {
    let record = Arc::new(record);
    let live = Live { record, authority: Authority::Server, hash: None };
    (Standing::Live(live), ticket)
}

fn over() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the request of this session is over; write through `Sessions::find(id)`",
    )
}
