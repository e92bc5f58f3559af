//! The laws of a [`Store`] as functions that run, for whoever writes one.
//!
//! A store is held to all of them in a few lines: say how it is opened, and have one test stamped
//! for every law. Here is the memory store's own test:
//!
//! ```
//! use std::sync::Arc;
//!
//! use sessile::SessionId;
//! use sessile::conformance::Place;
//! use sessile::store::{MemoryStore, Store};
//!
//! struct Memory(MemoryStore);
//!
//! #[async_trait::async_trait]
//! impl Place for Memory {
//!     async fn open(&self, namespace: &str) -> Arc<dyn Store> {
//!         Arc::new(self.0.clone().with_namespace(namespace))
//!     }
//!
//!     async fn damage(&self, _namespace: &str, _id: SessionId) -> bool {
//!         false // no bytes to damage
//!     }
//! }
//!
//! mod memory {
//!     use super::*;
//!     sessile::conformance_laws!(Memory(MemoryStore::new()));
//! }
//! # #[tokio::main]
//! # async fn main() {
//! # for law in sessile::conformance::laws() {
//! #     law.check(&Memory(MemoryStore::new())).await.unwrap();
//! # }
//! # }
//! ```
//!
//! The crate `examples/own-store` in sessile's repository is a whole store that was written from outside,
//! and a tutorial.
//!
//! Every law gets an empty place, opens it more than once, and compares what the handles say: let
//! [`Place::open`] give handles that share nothing but the records, as two processes would. Instants
//! are arguments and are moved by hand, from today on, so that a server's own clock collects nothing
//! too early; only locks wait for real time, and then for 50 ms.
//!
//! What no law can ask of every store is for its author to test: an outage is an error and never
//! "absent", and what is acknowledged survives the crashes that [`Durability`] names.
//!
//! [`Durability`]: crate::store::Durability
//! [`Store`]: crate::store::Store

mod expiry;
mod interleaving;
mod law;
mod locks;
mod owners;
mod races;
mod trial;
mod values;
mod writes;

#[doc(hidden)]
pub use law::__hold;
pub use law::{Law, Place, Violation, laws};

pub use expiry::*;
pub use locks::*;
pub use owners::*;
pub use races::*;
pub use values::*;
pub use writes::*;

/// Stamps a `#[tokio::test]` for every law; the expression makes the [`Place`](crate::conformance::Place)
/// of one test, and may await.
///
/// The tests bear the laws' names: give each store a module of its own. The caller's crate needs
/// `tokio` with its features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! conformance_laws {
    ($place:expr) => {
        $crate::__for_each_law!([$crate::__law_tests] $place);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_tests {
    ([$place:expr] $($law:ident)*) => {$(
        #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $law() {
            let place = $place;
            $crate::conformance::__hold(stringify!($law), $crate::conformance::$law(&place)).await;
        }
    )*};
}

/// The one list of laws: calls the macro `then` with its argument and all of their names.
#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_law {
    ([$($then:tt)*] $($argument:expr)?) => {
        $($then)*! { [$($argument)?]
            create_never_replaces
            update_never_creates
            update_never_revives
            an_update_after_the_deadline_comes_too_late
            update_refuses_a_version_it_did_not_expect
            conflict_returns_the_current_record
            versions_only_grow
            update_keeps_a_later_use
            touch_changes_neither_data_nor_version
            touch_never_moves_a_use_back
            touch_never_revives
            a_touch_after_the_deadline_comes_too_late
            delete_is_idempotent
            delete_wins_against_an_update_in_flight

            a_read_is_one_committed_version
            readers_never_wait_for_writers
            racing_updates_of_one_version_have_one_winner
            parallel_increments_by_retry_lose_nothing
            dropped_futures_leave_no_lock_and_no_half_write

            expired_equals_absent_to_the_exact_instant
            a_clock_that_steps_back_and_forth_loses_nothing
            delete_expired_is_bounded
            delete_expired_spares_what_was_touched
            delete_expired_spares_what_is_touched_meanwhile
            a_damaged_record_is_refused_and_does_not_stop_a_sweep

            list_pages_through_all_sessions_once
            list_of_an_owner_never_misses_a_live_session
            list_hides_expired_and_superseded
            a_record_that_loses_its_owner_leaves_the_list
            delete_owner_spares_the_exception
            delete_owner_refuses_logins_that_began_before
            delete_owner_catches_a_login_in_flight
            a_login_after_not_before_is_accepted
            not_before_only_grows

            exclusive_excludes_exclusive
            exclusive_excludes_nobody_else
            exclusive_waits_and_times_out
            a_dropped_ticket_frees_the_lock
            a_lock_held_too_long_is_lost_and_its_commit_fails
            delete_passes_an_exclusive_lock

            namespaces_never_meet
            every_field_survives
            unicode_and_large_values_survive
            final_durability_keeps_the_same_contract
        }
    };
}
