//! One connection while one piece of work uses it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::core::Core;
use super::dialect::Statements;
use super::driver::{Driver, Value};
use super::failure::{Failure, Worked};
use super::parked::Away;
use crate::store::Durability;

/// A connection out of the pool.
///
/// Invariant: a connection goes back to the pool, or is parked, only when nothing is under way on it.
/// Whatever stops half-way, by an error of the network, a time-out or a panic, closes it, and the
/// database rolls back. So no reply ever reaches another request, and no transaction outlives its work.
pub(super) struct Link<D: Driver> {
    connection: Option<Away<D>>,
    /// Ends when all else of this has.
    turn: Option<OwnedSemaphorePermit>,
    core: Arc<Core<D>>,
    /// Something was sent whose answer has not been read.
    waits: bool,
    /// The database refused something: perhaps it ends the connection, and the pool shall see.
    was_refused: bool,
    in_transaction: bool,
    /// Puts a setting of the connection back.
    restore: Option<&'static str>,
}

impl<D: Driver> Link<D> {
    pub(super) async fn open(core: &Arc<Core<D>>) -> Worked<Self> {
        let Some(parked) = &core.parked else { return Self::from_pool(core, None).await };
        let mut turn = Some(parked.turn().await?);
        while let Some((connection, has_rested)) = parked.take() {
            let mut link = Self::on(core, connection, turn.take());
            if !has_rested || link.lives().await {
                return Ok(link);
            }
            turn = link.turn.take();
        }
        Self::from_pool(core, turn).await
    }

    async fn from_pool(core: &Arc<Core<D>>, turn: Option<OwnedSemaphorePermit>) -> Worked<Self> {
        Ok(Self::on(core, Away::new(connection(core).await?), turn))
    }

    fn on(core: &Arc<Core<D>>, connection: Away<D>, turn: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            connection: Some(connection),
            turn,
            core: Arc::clone(core),
            waits: false,
            was_refused: false,
            in_transaction: false,
            restore: None,
        }
    }

    /// Whether the connection answers. One that does not is closed.
    async fn lives(&mut self) -> bool {
        let answer = self.begin_call().ping().await;
        self.waits = answer.is_err();
        answer.is_ok()
    }

    pub(super) fn core(&self) -> &Arc<Core<D>> {
        &self.core
    }

    pub(super) fn sql(&self) -> &Statements {
        &self.core.statements
    }

    pub(super) fn namespace(&self) -> &[u8] {
        self.core.namespace.as_bytes()
    }

    pub(super) async fn fetch(&mut self, sql: Arc<str>, values: Vec<Value>) -> Worked<Vec<D::Row>> {
        let connection = self.begin_call();
        let rows = D::fetch(connection, sql, values).await;
        self.end_call(rows)
    }

    /// The row of a statement that gives no more than one.
    pub(super) async fn fetch_first(
        &mut self,
        sql: Arc<str>,
        values: Vec<Value>,
    ) -> Worked<Option<D::Row>> {
        let connection = self.begin_call();
        let row = D::fetch_first(connection, sql, values).await;
        self.end_call(row)
    }

    pub(super) async fn execute(&mut self, sql: Arc<str>, values: Vec<Value>) -> Worked<u64> {
        let connection = self.begin_call();
        let rows = D::execute(connection, sql, values).await;
        self.end_call(rows)
    }

    pub(super) async fn script(&mut self, sql: Arc<str>) -> Worked<()> {
        let connection = self.begin_call();
        let done = D::script(connection, sql).await;
        self.end_call(done)
    }

    pub(super) async fn begin(&mut self) -> Worked<()> {
        self.script(Arc::clone(&self.sql().begin)).await?;
        self.in_transaction = true;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Worked<()> {
        self.script("COMMIT".into()).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Makes what is committed from now on as durable as was asked for.
    pub(super) async fn keep(&mut self, durability: Durability) -> Worked<()> {
        if durability > Durability::Process {
            let connection = self.begin_call();
            let restore = D::sync_commits(connection).await;
            self.restore = self.end_call(restore)?;
        }
        Ok(())
    }

    /// Ends what is under way, so that the connection may go back to its pool. What cannot be ended
    /// closes it.
    pub(super) async fn clear(&mut self) {
        if self.in_transaction && !self.waits && self.script("ROLLBACK".into()).await.is_ok() {
            self.in_transaction = false;
        }
        if let (false, Some(restore)) = (self.waits, self.restore)
            && self.script(restore.into()).await.is_ok()
        {
            self.restore = None;
        }
    }

    fn begin_call(&mut self) -> &mut D::Connection {
        self.waits = true;
        let away = self.connection.as_mut();
        &mut away.expect("a link holds its connection until it is dropped").connection
    }

    fn end_call<T>(&mut self, done: sqlx::Result<T>) -> Worked<T> {
        let done = done.map_err(Failure::Sql);
        self.waits = done.as_ref().is_err_and(|failure| !failure.leaves_the_connection());
        self.was_refused |= done.is_err();
        done
    }

    fn is_clear(&self) -> bool {
        !self.waits && !self.in_transaction && self.restore.is_none()
    }
}

/// A connection of the pool, or a new one. Whoever waits too long is stopped from outside.
///
/// SQLite's busy time-out does not hold for the change to a write-ahead log with which a connection
/// to a new database begins: while another process writes, that is refused at once.
async fn connection<D: Driver>(core: &Core<D>) -> Worked<PoolConnection<D>> {
    loop {
        match core.pool.acquire().await.map_err(Failure::Sql) {
            Err(failure) if failure.is_busy() => sleep(BUSY_PAUSE).await,
            acquired => return acquired,
        }
    }
}

const BUSY_PAUSE: Duration = Duration::from_millis(10);

impl<D: Driver> Drop for Link<D> {
    fn drop(&mut self) {
        let Some(away) = self.connection.take() else { return };
        match &self.core.parked {
            _ if !self.is_clear() => drop(away.connection.detach()),
            Some(parked) if !self.was_refused => parked.park(away),
            _ => drop(away),
        }
    }
}
