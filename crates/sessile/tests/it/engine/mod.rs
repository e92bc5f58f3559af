//! The laws of the engine, each on every store that is compiled in.
//!
//! Requests are held open side by side as [`Exchange`]s and finished in the order a law is about, so
//! races are forced rather than waited for.

pub(crate) mod harness;
mod laws;
mod sweeper;

use std::any::Any;
use std::sync::Arc;

use sessile::store::{MemoryStore, Migrating, Store};

/// A store, and what must live as long as it does.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn Store>,
    _kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Place {
    /// A store with what must live as long as it does.
    pub(crate) fn keeping(store: Arc<dyn Store>, kept: impl Any + Send + Sync) -> Self {
        Self { store, _kept: Some(Box::new(kept)) }
    }

    /// A place whose store somebody else keeps alive.
    pub(crate) fn of(store: impl Store) -> Self {
        Self { store: Arc::new(store), _kept: None }
    }
}

pub(crate) fn memory() -> Place {
    Place { store: Arc::new(MemoryStore::new()), _kept: None }
}

#[cfg(feature = "file")]
fn files() -> Place {
    let root = tempfile::tempdir().unwrap();
    let store = sessile::store::FileStore::open(root.path().join("sessions")).unwrap();
    Place::keeping(Arc::new(store), root)
}

/// On the way from one place to an empty memory.
fn moving(from: Place) -> Place {
    let store = Migrating::new(Arc::clone(&from.store), MemoryStore::new()).unwrap();
    Place { store: Arc::new(store), _kept: Some(Box::new(from)) }
}

/// Where every session is created in one place, and moves to a memory when it is next asked for.
#[cfg(feature = "file")]
fn restless(from: Place) -> Place {
    let store = crate::moving::restless::Restless::new(Arc::clone(&from.store));
    Place { store: Arc::new(store), _kept: Some(Box::new(from)) }
}

/// About to move from one place to an empty memory.
fn about_to_move(from: Place) -> Place {
    let store = Migrating::prepare(Arc::clone(&from.store), MemoryStore::new()).unwrap();
    Place { store: Arc::new(store), _kept: Some(Box::new(from)) }
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
fn tables(tables: crate::sql::places::Tables) -> Place {
    Place::keeping(tables.store("engine"), tables)
}

#[cfg(all(feature = "redis", feature = "conformance"))]
fn redis(corner: crate::redis::servers::Corner) -> Place {
    Place::keeping(Arc::new(corner.store("engine")), corner)
}

/// New places of the stores that need no server and no database.
pub(crate) fn plain_places() -> Vec<(&'static str, Place)> {
    vec![
        ("memory", memory()),
        #[cfg(feature = "file")]
        ("files", files()),
    ]
}

/// A new place of every store that is compiled in and, if it needs a server, has one; memory first.
pub(crate) fn places() -> Vec<(&'static str, Place)> {
    #[allow(unused_mut, reason = "without a feature for more there are these alone")]
    let mut places = plain_places();
    #[cfg(feature = "sqlite")]
    places.push(("SQLite", tables(crate::sql::places::sqlite())));
    #[cfg(feature = "postgres")]
    places.extend(crate::sql::places::postgres().map(|it| ("PostgreSQL", tables(it))));
    #[cfg(feature = "mysql")]
    places.extend(crate::sql::places::mysql().map(|it| ("MySQL", tables(it))));
    #[cfg(all(feature = "redis", feature = "conformance"))]
    places.extend(crate::redis::servers::single().map(|it| ("Redis", redis(it))));
    #[cfg(all(feature = "redis", feature = "conformance"))]
    places.extend(crate::redis::servers::cluster().map(|it| ("Redis Cluster", redis(it))));
    places
}

/// Stamps every law into a named test per store.
macro_rules! engine_laws {
    ($($law:ident)*) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::laws::$law(&super::memory()).await;
            })*
        }

        #[cfg(feature = "file")]
        mod on_files {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::laws::$law(&super::files()).await;
            })*
        }

        mod on_the_way_from_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::laws::$law(&super::moving(super::memory())).await;
            })*
        }

        #[cfg(feature = "file")]
        mod about_to_leave_files {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::laws::$law(&super::about_to_move(super::files())).await;
            })*
        }

        #[cfg(feature = "file")]
        mod each_session_moves_from_files {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::laws::$law(&super::restless(super::files())).await;
            })*
        }

        #[cfg(feature = "sqlite")]
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                super::laws::$law(&super::tables(crate::sql::places::sqlite())).await;
            })*
        }

        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let Some(tables) = crate::sql::places::postgres() else { return };
                super::laws::$law(&super::tables(tables)).await;
            })*
        }

        #[cfg(feature = "mysql")]
        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let Some(tables) = crate::sql::places::mysql() else { return };
                super::laws::$law(&super::tables(tables)).await;
            })*
        }

        #[cfg(all(feature = "redis", feature = "conformance"))]
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let Some(corner) = crate::redis::servers::single() else { return };
                super::laws::$law(&super::redis(corner)).await;
            })*
        }

        #[cfg(all(feature = "redis", feature = "conformance"))]
        mod on_valkey {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let Some(corner) = crate::redis::servers::valkey() else { return };
                super::laws::$law(&super::redis(corner)).await;
            })*
        }

        #[cfg(all(feature = "redis", feature = "conformance"))]
        mod on_redis_cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                let Some(corner) = crate::redis::servers::cluster() else { return };
                super::laws::$law(&super::redis(corner)).await;
            })*
        }
    };
}

engine_laws! {
    no_cookie_and_no_write_touch_neither_store_nor_cookie
    reading_creates_nothing
    the_first_write_creates_a_session_and_sets_one_cookie
    removing_from_nothing_creates_nothing
    what_was_written_is_there_for_the_next_request
    a_save_sets_no_cookie
    a_token_we_did_not_issue_is_never_adopted
    a_malformed_token_costs_no_look_up
    an_unknown_token_leaves_the_cookie_alone
    cookies_that_never_come_back_are_told_of_once
    a_token_that_opens_nothing_is_told_from_none
    what_did_not_end_is_not_called_ended
    a_guess_is_refused_and_changes_nothing
    guessing_gets_slower_and_costs_the_owner_nothing
    the_second_of_two_cookies_counts_when_the_first_is_dead
    different_keys_written_in_parallel_all_survive
    parallel_updates_are_all_applied
    clear_removes_what_is_there_at_commit
    an_insert_over_anothers_word_is_told
    an_insert_over_anothers_word_is_refused_when_asked
    a_closure_that_panics_at_commit_writes_nothing
    a_closure_may_use_its_own_session
    a_committer_that_keeps_losing_gets_its_turn
    a_closure_that_runs_again_may_use_its_own_session
    a_closure_that_changes_its_own_key_is_refused
    many_committers_of_one_session_all_succeed
    what_is_changed_by_id_merges_like_any_other
    logout_wins_against_a_request_in_flight
    logout_is_carried_out_with_a_5xx
    logout_with_a_dead_token_removes_the_cookie
    a_session_may_begin_after_a_logout_in_one_request
    a_token_committed_before_a_logout_never_goes_out
    what_was_logged_out_does_not_come_back_by_going_up
    a_logout_with_the_token_of_before_a_login_is_one
    a_logout_beside_a_commit_of_its_own_request_ends_what_that_makes
    a_logout_stands_even_if_the_closure_that_asked_for_it_fails
    only_the_request_that_logs_out_removes_its_cookie
    a_5xx_drops_data_login_and_rotation
    login_gives_a_new_id_and_keeps_the_data
    login_leaves_the_data_behind_when_asked
    what_a_login_leaves_behind_late_data_does_not_follow
    login_takes_late_data_along
    a_planted_token_gains_nothing_by_a_login
    a_late_write_with_a_superseded_token_is_refused_without_a_cookie
    the_mark_of_a_login_goes_after_the_grace
    two_logins_from_one_token_both_succeed
    a_login_does_not_revive_ended_data
    a_login_that_began_before_revoke_all_is_refused
    a_login_whose_token_is_rotated_away_meanwhile_is_told_so
    a_login_may_be_lowered_in_its_own_request
    a_session_found_by_its_id_ends_for_the_finder_with_a_login
    rotation_keeps_id_data_and_deadline
    the_previous_secret_reads_and_writes_and_leaves_the_cookie_alone
    the_previous_secret_may_not_log_in_step_up_or_lock
    requests_around_a_rotation_all_succeed
    parallel_rotations_give_one_new_secret
    a_replay_after_the_grace_is_told_from_a_guess
    a_step_up_ends_earlier_secrets_at_once
    a_step_up_needs_a_login
    a_due_secret_is_replaced_on_a_navigation_alone
    a_lost_answer_signs_nobody_out
    navigations_around_a_due_rotation_all_succeed
    a_form_token_goes_with_its_session_and_changes_with_a_login
    a_form_that_was_open_survives_a_rotation_and_no_step_up
    idle_and_absolute_deadlines_are_exact
    use_is_noted_and_keeps_the_session_alive
    a_peek_leaves_content_and_age_as_they_were
    what_follows_a_peek_counts_as_use
    remember_me_sets_a_lasting_cookie
    a_session_lives_as_long_as_its_handler_says
    a_lifetime_in_the_past_ends_the_session
    remembering_later_sets_a_new_cookie
    lowering_is_carried_out_with_a_5xx_and_ends_earlier_secrets
    a_key_of_the_application_opens_the_session_it_was_drawn_for
    a_drawn_key_of_the_wrong_form_begins_no_session
    a_taken_key_is_drawn_again_and_not_for_ever
    a_key_of_the_wrong_form_costs_no_look_up
    a_key_that_was_not_taken_over_is_never_adopted
    the_session_of_another_system_is_taken_over_once
    a_taken_over_session_rotates_to_a_token_with_a_grace
    a_rotation_of_a_drawn_key_moves_the_session
    what_is_written_during_a_move_comes_along
    of_two_moves_of_one_session_one_succeeds
    a_session_that_ended_does_not_move
    no_move_escapes_the_end_of_all_sessions
    a_move_past_the_list_is_found_by_the_next
    a_spared_session_may_still_move
    a_step_up_with_a_drawn_key_moves_the_session
    a_drawn_key_is_not_moved_over_plain_http
    taking_sessions_over_is_no_flood
    nothing_moved_or_taken_over_escapes_the_end_of_everybody
    devices_are_listed_with_the_current_one_marked
    revoking_needs_the_right_owner
    revoke_all_spares_the_exception
    everybody_is_signed_out_and_may_sign_in_again
    revoking_the_signed_in_spares_the_anonymous
    a_login_that_began_before_everybody_was_revoked_is_refused
    no_login_escapes_the_end_of_everybodys_sessions
    the_end_of_everybodys_sessions_misses_no_login_beside_it
    an_earlier_end_of_everybodys_sessions_takes_nothing_back
    a_login_waits_for_the_word_on_everybody
    the_end_of_everybodys_sessions_counts_for_ever
    nobody_ends_the_end_of_everybodys_sessions
    one_sessions_trouble_keeps_no_other_from_its_end
    logins_over_the_limit_end_the_oldest
    logins_over_the_limit_are_refused_when_asked
    anonymous_sessions_over_the_limit_are_refused_and_nobody_else
    a_replay_ends_the_session_when_asked
    another_address_is_refused_or_told_or_ends_as_asked
    another_user_agent_is_refused_or_told_or_ends_as_asked
    no_secure_cookie_goes_out_over_plain_http
    what_is_no_secure_cookie_goes_out_over_plain_http
    a_session_over_plain_http_goes_on_without_a_new_cookie
    an_outage_reads_as_nobody_when_asked_and_writes_nothing
    a_session_is_found_by_its_id_and_written_by_commit
    a_session_found_by_its_id_may_be_held_alone
    commit_shows_the_committed_value
    a_request_goes_on_after_a_committed_login
    going_up_after_a_committed_login_finds_the_new_session
    after_a_committed_login_the_lock_is_taken_anew
    a_commit_that_is_dropped_half_way_refuses_to_go_on
    a_clone_that_outlives_its_request_reads_and_refuses_to_write
    what_is_changed_while_the_last_commit_runs_is_refused
    a_dropped_exchange_writes_nothing_and_frees_its_lock
    a_lock_that_comes_after_its_request_is_given_back
    exclusive_requests_run_one_after_the_other
    logout_passes_an_exclusive_request
    a_session_asked_for_twice_is_loaded_once
    reading_and_then_writing_loads_once
    going_up_to_exclusive_keeps_what_was_changed
    too_large_a_value_is_refused_before_anything_is_written
    too_many_keys_and_too_deep_a_value_are_refused
    a_detached_session_is_written_by_commit
    a_failed_load_is_never_followed_by_a_save
    a_socket_notices_a_logout
    flashes_are_given_once
    a_flash_noted_while_another_is_given_is_kept
    subscribers_that_panic_stop_nothing
    sweeping_removes_the_expired
}
