//! Finding the session that a request's tokens open: look up, judge, note the use.

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::{Instant, sleep};
use tracing::{Instrument, Span, debug_span};

use super::everybody::MARK;
use super::standing::{Live, Mode, Standing};
use super::{Engine, Visitor};
use crate::clock::later;
use crate::config::{OnOtherClient, OnOutage, OnReplay};
use crate::cookie::CookieChange;
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::expiry::touch_is_due;
use crate::plan::{Authority, Judgement, judge};
use crate::record::Record;
use crate::store::{Access, Loaded, Ticket};
use crate::token::{SecretHash, SessionId, Token};

/// What the look-up of one token gave.
#[expect(clippy::large_enum_variant, reason = "one per look-up, moved once")]
enum Found {
    Nothing,
    Superseded,
    Live(Loaded, Authority),
}

impl Engine {
    /// Looks up the candidates until one opens a session.
    ///
    /// A failed look-up ends the search: it must not be taken for "nobody" by what follows.
    pub(super) async fn open(
        &self,
        tokens: &[Token],
        mode: Mode,
        visitor: &Visitor,
    ) -> Result<(Standing, Ticket)> {
        let mut standing = Standing::Nobody;
        for token in tokens {
            let hash = token.secret().hash(self.store.namespace());
            // Pinned here, since a future this large is slow to move into the instrumented one.
            let look_up = pin!(self.look_up(token.id(), &hash, mode));
            match look_up.instrument(load_span(token.id())).await {
                Ok(Found::Nothing) => {}
                Ok(Found::Superseded) => standing = Standing::Superseded,
                Ok(Found::Live(loaded, authority)) => {
                    if self.admits(&loaded.record, visitor).await? {
                        let record = Arc::new(loaded.record);
                        let live = Live { record, authority, hash: Some(hash) };
                        return Ok((Standing::Live(live), loaded.ticket));
                    }
                    self.release(loaded.ticket).await;
                }
                Err(error) if self.passes(&error) => standing = Standing::Unreadable,
                Err(error) => return Err(error),
            }
        }
        Ok((standing, Ticket::none()))
    }

    /// Whether the configuration lets a request go on as nobody's after this failure.
    fn passes(&self, error: &Error) -> bool {
        let outage = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NewerFormat);
        outage && self.config.on_outage == OnOutage::ReadAsNobody
    }

    /// Whether this visitor may use the session, as far as the record keeps who began it.
    async fn admits(&self, record: &Record, visitor: &Visitor) -> Result<bool> {
        let (address, agent) = (self.config.on_other_address, self.config.on_other_user_agent);
        if [address, agent] == [OnOtherClient::Allow; 2] {
            return Ok(true);
        }
        let (id, client) = (record.id, self.kept(visitor));
        let other_address = differs(record.client_address.as_ref(), client.address.as_ref());
        let other_agent = differs(record.user_agent.as_ref(), client.user_agent.as_ref());
        Ok(self.admits_other(other_address, address, &Event::OtherAddress(id)).await?
            && self.admits_other(other_agent, agent, &Event::OtherUserAgent(id)).await?)
    }

    async fn admits_other(
        &self,
        is_other: bool,
        choice: OnOtherClient,
        event: &Event,
    ) -> Result<bool> {
        if !is_other || choice == OnOtherClient::Allow {
            return Ok(true);
        }
        self.notify(event);
        if let (OnOtherClient::End, Some(id)) = (choice, event.session()) {
            self.end(id).await?;
        }
        Ok(choice == OnOtherClient::Tell)
    }

    /// Ends a session from outside; gives whether there was one.
    pub(super) async fn end(&self, id: SessionId) -> Result<bool> {
        // It is no session, and logins that were to be refused would slip through without it.
        if id == MARK {
            return Ok(false);
        }
        let deleted = self.store.delete(id, self.config.security_durability).await;
        let deleted = deleted.map_err(|error| self.failed(error))?;
        if deleted {
            self.notify(&Event::Revoked(id));
        }
        Ok(deleted)
    }

    /// Loads a session in the application's own name; no secret is asked for.
    pub(super) async fn find(&self, id: SessionId, mode: Mode) -> Result<Option<Loaded>> {
        let loaded = self.store.load(id, self.now(), self.access(mode)).await;
        match loaded.map_err(|error| self.failed(error))? {
            Some(loaded) if loaded.record.superseded => {
                self.release(loaded.ticket).await;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    fn access(&self, mode: Mode) -> Access {
        match mode {
            Mode::Peek | Mode::Read => Access::Read,
            Mode::Write => Access::Write,
            Mode::Exclusive => {
                Access::Exclusive { wait: self.config.lock_wait, hold: self.config.lock_hold }
            }
        }
    }

    /// The secret is verified before a lock is asked for, and again once it was had.
    async fn look_up(&self, id: SessionId, hash: &SecretHash, mode: Mode) -> Result<Found> {
        let access = self.access(mode);
        match mode {
            Mode::Peek | Mode::Read | Mode::Write => self.load(id, hash, access, mode).await,
            Mode::Exclusive => match self.load(id, hash, Access::Read, mode).await? {
                Found::Live(_, Authority::Previous) => Err(Error::new(
                    ErrorKind::Superseded,
                    "only the newest token may hold a session alone; this one was rotated away",
                )),
                Found::Live(loaded, _) => {
                    self.release(loaded.ticket).await;
                    self.load(id, hash, access, mode).await
                }
                nothing => Ok(nothing),
            },
        }
    }

    async fn load(
        &self,
        id: SessionId,
        hash: &SecretHash,
        access: Access,
        mode: Mode,
    ) -> Result<Found> {
        let now = self.now();
        match self.store.load(id, now, access).await {
            Ok(Some(loaded)) => self.judged(loaded, hash, mode, now).await,
            Ok(None) => Ok(self.found_nothing(&Event::Unknown(id))),
            // The store has set it aside: to the browser it is a session that is no more.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                Ok(self.found_nothing(&Event::Corrupt(id)))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn found_nothing(&self, because: &Event) -> Found {
        self.notify(because);
        Found::Nothing
    }

    async fn judged(
        &self,
        loaded: Loaded,
        hash: &SecretHash,
        mode: Mode,
        now: SystemTime,
    ) -> Result<Found> {
        let id = loaded.record.id;
        let judgement = judge(&loaded.record, hash, now);
        let (event, found) = match judgement {
            Judgement::Current if mode == Mode::Peek => {
                return Ok(Found::Live(loaded, Authority::Current));
            }
            Judgement::Current => {
                return Ok(Found::Live(self.touched(loaded, now).await, Authority::Current));
            }
            Judgement::Previous => return Ok(Found::Live(loaded, Authority::Previous)),
            Judgement::Superseded => (Event::Superseded(id), Found::Superseded),
            Judgement::Replayed => (Event::Replayed(id), Found::Nothing),
            Judgement::Refused => (Event::Refused(id), Found::Nothing),
        };
        self.notify(&event);
        self.release(loaded.ticket).await;
        match judgement {
            Judgement::Replayed if self.config.on_replay == OnReplay::End => {
                self.end(id).await?;
            }
            Judgement::Refused => self.slow_down(id).await,
            _ => {}
        }
        Ok(found)
    }

    async fn slow_down(&self, guessed: SessionId) {
        let delay = self.guesses.note(guessed, Instant::now());
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    /// Notes the use, if that is due. Best effort: a failed touch fails no request.
    async fn touched(&self, mut loaded: Loaded, now: SystemTime) -> Loaded {
        let record = &mut loaded.record;
        let Some(idle) = record.idle_timeout else { return loaded };
        if touch_is_due(record.used_at, Some(idle), now, self.config.touch_share) {
            record.touch(now);
            let (id, deadline) = (record.id, later(now, idle));
            if let Err(error) = self.store.touch(id, now, deadline, &mut loaded.ticket).await {
                self.failed(error);
            }
        }
        loaded
    }

    /// Asks the store whether `live` is still a live session that its holder may use.
    pub(super) async fn still_opens(&self, live: &Live) -> Result<bool> {
        let now = self.now();
        let id = live.record.id;
        let loaded = self.store.load(id, now, Access::Read).instrument(load_span(id)).await;
        let Some(loaded) = loaded.map_err(|error| self.failed(error))? else { return Ok(false) };
        let opens = match &live.hash {
            Some(hash) => {
                matches!(judge(&loaded.record, hash, now), Judgement::Current | Judgement::Previous)
            }
            None => !loaded.record.superseded,
        };
        self.release(loaded.ticket).await;
        Ok(opens)
    }

    pub(super) async fn release(&self, ticket: Ticket) {
        if let Err(error) = self.store.release(ticket).await {
            self.failed(error);
        }
    }

    /// Tells the subscribers of a store's failure, and hands the error on.
    pub(super) fn failed(&self, error: Error) -> Error {
        self.notify(&Event::StoreFailed(error.kind()));
        error
    }

    /// Counts new cookies that never come back, and warns of them once.
    pub(super) fn note_delivery(&self, change: &CookieChange) {
        if matches!(change, CookieChange::Set { .. }) && self.delivery.note_set() {
            tracing::warn!(
                target: "sessile",
                cookie = %self.cookie_names[0],
                "none of the first cookies came back; browsers refuse a Secure cookie over plain \
                 HTTP except on loopback: serve TLS, or take `CookieConfig::plain_http`"
            );
            self.notify(&Event::CookiesNotReturned);
        }
    }
}

/// Whether a client's trait is another than it was when the session began, if that was kept.
fn differs(began_with: Option<&String>, comes_with: Option<&String>) -> bool {
    began_with.is_some() && began_with != comes_with
}

/// The span of a look-up. It costs nothing unless somebody asked for spans of this level.
fn load_span(id: SessionId) -> Span {
    debug_span!(target: "sessile", "sessile.load", session = %id)
}
