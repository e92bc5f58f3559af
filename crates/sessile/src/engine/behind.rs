//! Which client is behind what a task does, for the events that tell of it.
//!
//! Everything that happens to a session happens in a task that some request's response waits for. So
//! the client goes with the task, and not through every call from the request down to the event.

use std::net::IpAddr;
use std::pin::pin;

use super::Client;

tokio::task_local! {
    static CLIENT: Client;
}

/// Does `work` in the name of `client`.
pub(crate) async fn behind<T>(client: Client, work: impl Future<Output = T>) -> T {
    // Pinned here, since a future this large is slow to move into the scope's.
    CLIENT.scope(client, pin!(work)).await
}

/// The address of the client that is behind this task, if there is one and it is known.
pub(super) fn address() -> Option<IpAddr> {
    CLIENT.try_with(|client| client.address).ok().flatten()
}
