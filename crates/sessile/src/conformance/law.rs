//! What a law is held against, and how one is run.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;

use crate::store::Store;
use crate::token::SessionId;

/// A place for records that one law may fill: empty at first, and cleared away when dropped.
#[async_trait]
pub trait Place: Send + Sync {
    /// Opens the store of `namespace`, a name of lower-case letters, digits and `-`. Each call gives
    /// a handle as another process would have it, on the same records.
    async fn open(&self, namespace: &str) -> Arc<dyn Store>;

    /// Damages the stored bytes of a record so that they cannot be trusted; gives whether that can
    /// be done here. Where it cannot, the laws about damaged records hold for want of any.
    async fn damage(&self, namespace: &str, id: SessionId) -> bool;
}

/// One law, for tools that iterate over all of them.
#[derive(Clone, Copy)]
pub struct Law {
    name: &'static str,
    run: for<'a> fn(&'a dyn Place) -> Run<'a>,
}

type Run<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl Law {
    /// The sentence it states, which is its function's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Holds the store of an empty place to this law. Needs a tokio runtime, best a threaded one.
    ///
    /// # Errors
    /// [`Violation`] when the store breaks the law, fails, or takes longer than two minutes.
    pub async fn check(&self, place: &dyn Place) -> Result<(), Violation> {
        check(self.name, (self.run)(place)).await
    }
}

impl fmt::Debug for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Law").field(&self.name).finish()
    }
}

/// A law that was broken, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    law: &'static str,
    seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the law `{}` is broken: {}", self.law, self.seen)
    }
}

impl std::error::Error for Violation {}

/// Every law, in the order of the contract.
pub fn laws() -> &'static [Law] {
    macro_rules! table {
        ([] $($law:ident)*) => {
            &[$(Law { name: stringify!($law), run: |place| Box::pin(super::$law(place)) }),*]
        };
    }
    crate::__for_each_law!([table])
}

/// Panics with the law's name and what was seen when it does not hold.
#[doc(hidden)]
pub async fn __hold(law: &'static str, run: impl Future<Output = ()>) {
    if let Err(violation) = check(law, run).await {
        panic!("{violation}");
    }
}

/// A law that takes longer than this waits for something that never comes.
const LAW_MAX: Duration = Duration::from_secs(120);

async fn check(law: &'static str, run: impl Future<Output = ()>) -> Result<(), Violation> {
    let seen = match tokio::time::timeout(LAW_MAX, caught(run)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(message)) => message,
        Err(_) => format!("no end within {LAW_MAX:?}"),
    };
    Err(Violation { law, seen })
}

/// Runs a future and turns its panic into the panic's message.
async fn caught(run: impl Future<Output = ()>) -> Result<(), String> {
    let mut run = pin!(run);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx)));
        polled.map_or_else(|panic| Poll::Ready(Err(message_of(&*panic))), |poll| poll.map(Ok))
    })
    .await
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
