//! Carrying out what a handler asked for: the only place where sessions are written.
//!
//! Every write is a compare-and-swap. A conflict brings the current record back; the changes are
//! applied to it anew, the presented secret is judged anew, and the write is tried again until a
//! deadline. An unknown outcome is an error and is never retried.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::standing::{Live, Standing, unreadable};
use super::{Engine, Visitor};
use crate::changes::Changes;
use crate::config::Transport;
use crate::cookie::CookieChange;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::plan::{self, Authority, Fresh, Judgement, Login, Upkeep, Wish};
use crate::record::{Data, Record};
use crate::store::{Created, Durability, Ticket, Updated};
use crate::token::{SecretHash, SessionId, Token};

/// What a handler asked for since the last commit.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) endings: Vec<SessionId>,
    pub(super) removes_cookie: bool,
    pub(super) standing: Standing,
    /// The data as the handler sees it: what `changes` make of the record that was loaded.
    pub(super) edited: Option<Data>,
    pub(super) changes: Changes,
    pub(super) wish: Wish,
    pub(super) visitor: Visitor,
    pub(super) began_at: SystemTime,
    /// The key that a session is to have which begins, if it was given.
    pub(super) key: Option<Token>,
}

/// What it came to.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) standing: Standing,
    pub(super) cookie: Option<CookieChange>,
}

/// How often a key is drawn that turns out to be taken. One that is random is drawn once.
pub(super) const DRAWS_MAX: u32 = 8;
const TAKEN: &str = "the key of the new session is taken, and what has it was left as it is";

/// After this many conflicts the committers of one session take turns within this process.
const CONFLICTS_BEFORE_TURNS: u32 = 3;

impl Engine {
    /// Carries out `work`: endings first, which no later failure undoes.
    pub(super) async fn carry_out(&self, mut work: Work, ticket: &mut Ticket) -> Result<Settled> {
        if matches!(work.standing, Standing::Unreadable) {
            return Err(unreadable());
        }
        for id in &work.endings {
            self.log_out(*id).await?;
        }
        let removal = work.removes_cookie.then_some(CookieChange::Remove);
        // What makes a new record is rare and long: boxed, it does not enlarge every request.
        let mut settled = match (work.wish.login.take(), std::mem::take(&mut work.standing)) {
            (Some(login), Standing::Live(live)) => {
                Box::pin(self.replace(work, live, &login, ticket)).await?
            }
            (Some(login), _) => Box::pin(self.create(work, Some(&login))).await?,
            (None, Standing::Live(live)) if work.wish.rotates() && self.draws_keys() => {
                Box::pin(self.relocate(work, live, ticket)).await?
            }
            (None, Standing::Live(live)) => self.save(work, live, ticket).await?,
            (None, Standing::Superseded) => return Err(superseded()),
            (None, Standing::Nobody | Standing::Ended) if work.writes_something() => {
                Box::pin(self.create(work, None)).await?
            }
            (None, standing) => Settled { standing, cookie: None },
        };
        settled.cookie = settled.cookie.or(removal);
        Ok(settled)
    }

    async fn log_out(&self, id: SessionId) -> Result<()> {
        let deleted = self.store.delete(id, self.config.security_durability).await;
        deleted.map_err(|error| self.failed(error))?;
        self.notify(&Event::LoggedOut(id));
        Ok(())
    }

    // A new session

    async fn create(&self, mut work: Work, login: Option<&Login>) -> Result<Settled> {
        // One that is taken over is no passer-by's: the application brings it.
        if login.is_none() && work.key.is_none() {
            self.admit_to_nobodys()?;
        }
        let data = work.edited.take().unwrap_or_default();
        let (token, draws) = match work.key.take() {
            Some(key) => (key, 1),
            None => (self.new_token()?, DRAWS_MAX),
        };
        let (token, record) = self.first_state(&work, login, data, token)?;
        let (token, record) = self.insert(token, record, self.durability_of(login), draws).await?;
        self.admit_to_owner(&record, None).await?;
        self.end_surplus(&record).await?;
        Ok(self.begun(token, record, None))
    }

    /// Refuses one more anonymous session than may begin in a minute.
    fn admit_to_nobodys(&self) -> Result<()> {
        let Some(per_minute) = self.config.anonymous_per_minute else { return Ok(()) };
        if self.anonymous.take(per_minute, self.clock.elapsed()) {
            return Ok(());
        }
        self.notify(&Event::AnonymousLimit);
        Err(Error::new(
            ErrorKind::AnonymousLimit,
            "as many anonymous sessions began lately as `anonymous_per_minute` allows",
        ))
    }

    /// The record that this token is to open.
    pub(super) fn first_state(
        &self,
        work: &Work,
        login: Option<&Login>,
        data: Data,
        token: Token,
    ) -> Result<(Token, Record)> {
        plan::check_size(&data, &self.config)?;
        self.check_line(&work.visitor)?;
        let ((token, fresh), now) = (self.with_hash(token), self.now());
        let record = plan::anonymous(fresh, data, self.kept(&work.visitor), &self.config, now);
        let record = match login {
            Some(login) => plan::logged_in(login, work.began_at, record, &self.config, now)?,
            None => record,
        };
        Ok((token, work.wish.lifetime.given_to(record, now)))
    }

    fn durability_of(&self, login: Option<&Login>) -> Durability {
        match login {
            Some(_) => self.config.security_durability,
            None => self.config.data_durability,
        }
    }

    /// Creates the record of a token. When that is taken it draws others, until it has tried so many:
    /// what is there is never replaced.
    pub(super) async fn insert(
        &self,
        mut token: Token,
        mut record: Record,
        durability: Durability,
        draws: u32,
    ) -> Result<(Token, Record)> {
        for drawn in 1.. {
            let created = self.store.create(&record, durability).await;
            match created.map_err(|error| self.failed(error))? {
                Created::New => {
                    if record.owner.is_some() {
                        self.admit_to_everybody(&record).await?;
                    }
                    return Ok((token, record));
                }
                Created::Exists if drawn < draws => {}
                Created::Exists => break,
                Created::Revoked => return Err(revoked()),
            }
            let (next, fresh) = self.with_hash(self.new_token()?);
            (token, record.id, record.secret_hash) = (next, fresh.id, fresh.hash);
        }
        Err(Error::new(ErrorKind::Key, TAKEN))
    }

    pub(super) fn begun(
        &self,
        token: Token,
        record: Record,
        replaced: Option<SessionId>,
    ) -> Settled {
        let id = record.id;
        self.notify(&match record.owner.clone() {
            Some(owner) => Event::LoggedIn { id, replaced, owner },
            None => Event::Created(id),
        });
        self.settled(record, Some(token), Authority::Current)
    }

    /// What the request holds after `record` was written; `token` goes to the browser.
    pub(super) fn settled(
        &self,
        record: Record,
        token: Option<Token>,
        authority: Authority,
    ) -> Settled {
        let hash = Some(record.secret_hash);
        let lasts = plan::cookie_life(&record, self.now());
        let cookie = token.map(|token| CookieChange::Set { token, lasts });
        let live = Live { record: Arc::new(record), authority, hash };
        Settled { standing: Standing::Live(live), cookie }
    }

    // A session that goes on

    async fn save(&self, mut work: Work, mut live: Live, ticket: &mut Ticket) -> Result<Settled> {
        let read = Arc::clone(&live.record);
        let mut data = work.edited.take().unwrap_or_else(|| read.data.clone());
        if work.wish.rotates() {
            self.check_line(&work.visitor)?;
        }
        let fresh = self.fresh_secret(&work.wish, read.id)?;
        let mut contest = Contest::new(self, read.id);
        loop {
            let next = self.next_state(&live, data, &work.wish, fresh.as_ref())?;
            let durability = match work.wish.is_final() {
                true => self.config.final_durability(),
                false => self.config.data_durability,
            };
            let updated = self.store.update(&next, live.record.version, durability, ticket).await;
            match updated.map_err(|error| self.failed(error))? {
                Updated::Written => return Ok(self.saved(next, &work.wish, fresh, live)),
                Updated::Conflict(current) => {
                    contest.lost().await?;
                    live = self.reverified(*current, &live)?;
                    // Somebody else was faster, perhaps with the same upkeep: the next request's turn.
                    work.wish.upkeep = Upkeep::Nothing;
                    if live.authority == Authority::Previous {
                        work.wish.without_authority()?;
                    }
                    if !work.changes_record() {
                        return Ok(Settled { standing: Standing::Live(live), cookie: None });
                    }
                    data = self.merged(&work.changes, &read.data, &live.record)?;
                }
                Updated::Gone => return Err(self.ended(read.id)),
                Updated::LockLost => return Err(lock_lost()),
            }
        }
    }

    /// Refuses to send a token where others read along, and the browser would not take it.
    pub(super) fn check_line(&self, visitor: &Visitor) -> Result<()> {
        if !self.is_overheard(visitor) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::PlainHttp,
            "a Secure cookie must not travel over plain HTTP: redirect to https:// first, or take \
             `CookieConfig::plain_http` for development",
        ))
    }

    /// Whether a new cookie for this visitor would be `Secure`, and its connection is known not to be.
    pub(super) fn is_overheard(&self, visitor: &Visitor) -> bool {
        let sends_secure = self.config.transport == Transport::Cookie && self.config.cookie.secure;
        sends_secure && visitor.is_overheard
    }

    fn fresh_secret(&self, wish: &Wish, id: SessionId) -> Result<Option<(Token, Fresh)>> {
        let token = wish.rotates().then(|| Token::for_session(id)).transpose()?;
        Ok(token.map(|token| self.with_hash(token)))
    }

    pub(super) fn next_state(
        &self,
        live: &Live,
        data: Data,
        wish: &Wish,
        fresh: Option<&(Token, Fresh)>,
    ) -> Result<Record> {
        let now = self.now();
        if live.record.is_expired(now) {
            return Err(self.ended(live.record.id));
        }
        plan::check_size(&data, &self.config)?;
        let mut next = plan::saved(&live.record, data, now);
        if let Some((_, fresh)) = fresh.filter(|_| wish.rotates()) {
            next = self.with_secret(next, wish.upkeep, fresh.hash, now);
        }
        if wish.upkeep == Upkeep::EndUnseen {
            next = plan::seen(next, self.config.rotation_grace, now);
        }
        if let Some(level) = wish.reauthenticate {
            next = plan::reauthenticated(next, level, &self.config, now);
        }
        if let Some(level) = wish.lower {
            next = plan::lowered(next, level);
        }
        Ok(wish.lifetime.given_to(next, now))
    }

    fn with_secret(
        &self,
        record: Record,
        upkeep: Upkeep,
        hash: SecretHash,
        now: SystemTime,
    ) -> Record {
        match upkeep {
            Upkeep::Reissue => plan::reissued(record, hash, now),
            Upkeep::Rotate => plan::rotated(record, hash, None, now),
            _ => plan::rotated(record, hash, Some(self.config.rotation_grace), now),
        }
    }

    fn saved(
        &self,
        record: Record,
        wish: &Wish,
        fresh: Option<(Token, Fresh)>,
        live: Live,
    ) -> Settled {
        let id = record.id;
        if wish.reauthenticate.is_some() {
            self.notify(&Event::Reauthenticated(id));
        }
        if wish.rotates() {
            self.notify(&Event::Rotated(id));
            return self.settled(record, fresh.map(|(token, _)| token), Authority::Current);
        }
        let live = Live { record: Arc::new(record), ..live };
        Settled { standing: Standing::Live(live), cookie: None }
    }

    // Conflicts

    /// Judges the presented secret against the record as it is now.
    pub(super) fn reverified(&self, current: Record, live: &Live) -> Result<Live> {
        let (id, now) = (current.id, self.now());
        let judged = live.hash.as_ref().map(|hash| plan::judge(&current, hash, now));
        let authority = match judged {
            None if !current.superseded => Authority::Server,
            Some(Judgement::Current) => Authority::Current,
            Some(Judgement::Previous) => Authority::Previous,
            _ => return Err(self.ended(id)),
        };
        Ok(Live { record: Arc::new(current), authority, hash: live.hash })
    }

    /// The changes on top of what somebody else wrote.
    fn merged(&self, changes: &Changes, read: &Data, current: &Record) -> Result<Data> {
        for key in changes.overwritten(read, &current.data) {
            self.notify(&Event::Overwrote { id: current.id, key });
            if self.config.refuse_overwrites {
                return Err(Error::new(
                    ErrorKind::Overwrote,
                    "another request changed a key after this one had read it",
                ));
            }
        }
        applied(changes, current.data.clone())
    }

    pub(super) fn ended(&self, id: SessionId) -> Error {
        self.notify(&Event::WriteRefused(id));
        Error::new(ErrorKind::Ended, "the session has ended; nothing was written")
    }
}

impl Work {
    fn changes_record(&self) -> bool {
        !self.changes.is_empty() || self.wish.changes_record()
    }

    /// Whether anything would be in a session made for it: removing from nothing makes none.
    fn writes_something(&self) -> bool {
        self.edited.as_ref().is_some_and(|data| !data.is_empty())
    }
}

pub(super) fn applied(changes: &Changes, mut data: Data) -> Result<Data> {
    changes.apply(&mut data)?;
    Ok(data)
}

pub(super) fn superseded() -> Error {
    Error::new(ErrorKind::Ended, "a login replaced this session; the browser has a newer token")
}

fn revoked() -> Error {
    Error::new(ErrorKind::Ended, "the owner's sessions were ended while this request was under way")
}

pub(super) fn lock_lost() -> Error {
    Error::new(
        ErrorKind::LockLost,
        "the session was held longer than `lock_hold`; nothing was written",
    )
}

/// One commit's race against others. It ends by deadline: a count would refuse the patient.
pub(super) struct Contest<'a> {
    engine: &'a Engine,
    id: SessionId,
    deadline: Instant,
    conflicts: u32,
    turn: Option<OwnedMutexGuard<()>>,
}

impl<'a> Contest<'a> {
    pub(super) fn new(engine: &'a Engine, id: SessionId) -> Self {
        let deadline = Instant::now() + engine.config.commit_deadline;
        Self { engine, id, deadline, conflicts: 0, turn: None }
    }

    /// Notes a lost round, and waits in line once there were several.
    pub(super) async fn lost(&mut self) -> Result<()> {
        self.conflicts += 1;
        self.engine.notify(&Event::Conflict { id: self.id, attempts: self.conflicts });
        if self.conflicts >= CONFLICTS_BEFORE_TURNS && self.turn.is_none() {
            let turn = self.engine.turn(self.id).lock_owned();
            self.turn = timeout_at(self.deadline, turn).await.ok();
        }
        if Instant::now() >= self.deadline {
            return Err(Error::new(
                ErrorKind::Contended,
                "other requests kept changing the session; nothing was written",
            ));
        }
        Ok(())
    }
}
