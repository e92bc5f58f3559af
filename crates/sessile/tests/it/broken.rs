//! The laws under test: a store that is broken in one way breaks exactly the laws that say so.
//!
//! A law that cannot fail proves nothing, and one that fails for something else points the author
//! of a store the wrong way. So each fault below names all the laws it breaks, and no others.

mod store;

use std::collections::BTreeSet;

use sessile::conformance::laws;
use tokio::task::JoinSet;

use store::BrokenPlace;

/// Names the faults, each with its test and the laws that it breaks.
macro_rules! faults {
    ($($test:ident: $fault:ident breaks [$($law:ident)*])*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Fault {
            $($fault),*
        }

        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                let expected = BTreeSet::from([$(stringify!($law)),*]);
                assert_eq!(broken_by(Fault::$fault, &expected).await, expected);
            }
        )*

        #[test]
        fn every_law_can_be_broken() {
            let all: BTreeSet<_> = laws().iter().map(|law| law.name()).collect();
            assert_eq!(BTreeSet::from([$($(stringify!($law),)*)*]), all);
        }
    };
}

faults! {
    a_wrapper_alone_breaks_nothing: Nothing breaks []

    a_create_that_replaces: CreateReplaces breaks [
        create_never_replaces
        final_durability_keeps_the_same_contract
    ]
    an_update_that_upserts: UpdateUpserts breaks [
        update_never_creates
        update_never_revives
        delete_wins_against_an_update_in_flight
        a_damaged_record_is_refused_and_does_not_stop_a_sweep
        delete_owner_spares_the_exception
        delete_owner_catches_a_login_in_flight
        delete_passes_an_exclusive_lock
        final_durability_keeps_the_same_contract
    ]
    an_update_that_revives_the_deleted: UpdateRevivesDeleted breaks [
        update_never_revives
        delete_wins_against_an_update_in_flight
        delete_passes_an_exclusive_lock
        final_durability_keeps_the_same_contract
    ]
    an_update_that_revives_the_expired: UpdateRevivesExpired breaks [
        an_update_after_the_deadline_comes_too_late
    ]
    an_update_that_ignores_the_version: UpdateIgnoresVersion breaks [
        update_refuses_a_version_it_did_not_expect
        conflict_returns_the_current_record
        a_read_is_one_committed_version
        racing_updates_of_one_version_have_one_winner
        parallel_increments_by_retry_lose_nothing
        exclusive_excludes_nobody_else
        final_durability_keeps_the_same_contract
    ]
    an_update_that_looks_before_it_writes: UpdateLooksThenWrites breaks [
        a_read_is_one_committed_version
        racing_updates_of_one_version_have_one_winner
        parallel_increments_by_retry_lose_nothing
    ]
    an_update_that_crosses_a_delete: UpdateCrossesDelete breaks [
        delete_wins_against_an_update_in_flight
    ]
    an_update_that_forgets_a_later_use: UpdateForgetsUse breaks [
        update_keeps_a_later_use
    ]
    an_update_in_two_halves: UpdateInHalves breaks [
        a_read_is_one_committed_version
        readers_never_wait_for_writers
        dropped_futures_leave_no_lock_and_no_half_write
    ]
    a_conflict_without_the_current_record: ConflictLies breaks [
        conflict_returns_the_current_record
        a_read_is_one_committed_version
        racing_updates_of_one_version_have_one_winner
        parallel_increments_by_retry_lose_nothing
        exclusive_excludes_nobody_else
        final_durability_keeps_the_same_contract
    ]
    versions_that_the_store_counts: VersionsCounted breaks [
        versions_only_grow
    ]
    versions_that_may_stay: VersionsMayStay breaks [
        versions_only_grow
    ]
    a_touch_that_forgets: TouchForgets breaks [
        update_keeps_a_later_use
        touch_changes_neither_data_nor_version
        touch_never_moves_a_use_back
        expired_equals_absent_to_the_exact_instant
        delete_expired_spares_what_was_touched
        delete_expired_spares_what_is_touched_meanwhile
    ]
    a_touch_that_raises_the_version: TouchRaisesVersion breaks [
        update_keeps_a_later_use
        touch_changes_neither_data_nor_version
        a_clock_that_steps_back_and_forth_loses_nothing
        list_of_an_owner_never_misses_a_live_session
    ]
    a_touch_that_moves_back: TouchMovesBack breaks [
        update_keeps_a_later_use
        touch_never_moves_a_use_back
        a_clock_that_steps_back_and_forth_loses_nothing
    ]
    a_touch_that_revives_the_deleted: TouchRevivesDeleted breaks [
        touch_never_revives
    ]
    a_touch_that_revives_the_expired: TouchRevivesExpired breaks [
        a_touch_after_the_deadline_comes_too_late
    ]
    a_delete_that_forgets: DeleteForgets breaks [
        update_never_revives
        touch_never_revives
        delete_is_idempotent
        delete_wins_against_an_update_in_flight
        dropped_futures_leave_no_lock_and_no_half_write
        delete_passes_an_exclusive_lock
        namespaces_never_meet
        final_durability_keeps_the_same_contract
    ]
    a_delete_that_always_says_yes: DeleteSaysYes breaks [
        delete_is_idempotent
    ]
    a_delete_that_waits_for_the_lock: DeleteWaits breaks [
        delete_passes_an_exclusive_lock
    ]

    a_load_that_serves_the_expired: LoadServesExpired breaks [
        an_update_after_the_deadline_comes_too_late
        a_touch_after_the_deadline_comes_too_late
        expired_equals_absent_to_the_exact_instant
        a_clock_that_steps_back_and_forth_loses_nothing
    ]
    a_deadline_that_is_inclusive: DeadlineInclusive breaks [
        an_update_after_the_deadline_comes_too_late
        a_touch_after_the_deadline_comes_too_late
        expired_equals_absent_to_the_exact_instant
        a_clock_that_steps_back_and_forth_loses_nothing
        list_hides_expired_and_superseded
    ]
    a_read_that_removes_the_expired: ReadRemovesExpired breaks [
        expired_equals_absent_to_the_exact_instant
        a_clock_that_steps_back_and_forth_loses_nothing
    ]
    a_read_that_waits_for_the_lock: ReadWaits breaks [
        readers_never_wait_for_writers
        exclusive_excludes_nobody_else
    ]
    a_sweep_without_limit: SweepUnlimited breaks [
        delete_expired_is_bounded
    ]
    a_sweep_that_removes_the_live: SweepRemovesLive breaks [
        delete_expired_spares_what_was_touched
    ]
    a_sweep_without_report: SweepSilent breaks [
        delete_expired_is_bounded
        delete_expired_spares_what_was_touched
        a_damaged_record_is_refused_and_does_not_stop_a_sweep
        exclusive_excludes_nobody_else
        namespaces_never_meet
    ]
    a_sweep_without_end: SweepEndless breaks [
        update_never_revives
        dropped_futures_leave_no_lock_and_no_half_write
        delete_expired_is_bounded
        delete_expired_spares_what_was_touched
        a_damaged_record_is_refused_and_does_not_stop_a_sweep
        exclusive_excludes_nobody_else
        namespaces_never_meet
    ]
    a_sweep_that_removes_nothing: SweepIdle breaks [
        update_never_revives
        delete_expired_is_bounded
        delete_expired_spares_what_was_touched
        a_damaged_record_is_refused_and_does_not_stop_a_sweep
        exclusive_excludes_nobody_else
        namespaces_never_meet
    ]
    a_sweep_that_knows_no_touch: SweepKnowsNoTouch breaks [
        delete_expired_spares_what_was_touched
        delete_expired_spares_what_is_touched_meanwhile
    ]
    a_sweep_that_looks_before_it_removes: SweepLooksThenRemoves breaks [
        delete_expired_spares_what_is_touched_meanwhile
    ]
    a_sweep_that_stops_at_damage: SweepStopsAtDamage breaks [
        a_damaged_record_is_refused_and_does_not_stop_a_sweep
    ]
    a_damaged_record_that_is_served: DamageServed breaks [
        a_damaged_record_is_refused_and_does_not_stop_a_sweep
    ]
    a_damaged_record_that_is_absent: DamageAbsent breaks [
        a_damaged_record_is_refused_and_does_not_stop_a_sweep
    ]

    a_list_that_loses_what_was_updated: ListLosesUpdated breaks [
        readers_never_wait_for_writers
        expired_equals_absent_to_the_exact_instant
        list_of_an_owner_never_misses_a_live_session
        a_record_that_loses_its_owner_leaves_the_list
    ]
    a_list_that_learns_too_late: ListLearnsLate breaks [
        dropped_futures_leave_no_lock_and_no_half_write
        list_of_an_owner_never_misses_a_live_session
    ]
    a_list_that_shows_the_expired: ListShowsExpired breaks [
        expired_equals_absent_to_the_exact_instant
        a_clock_that_steps_back_and_forth_loses_nothing
        list_hides_expired_and_superseded
    ]
    a_list_that_shows_the_superseded: ListShowsSuperseded breaks [
        list_hides_expired_and_superseded
    ]
    a_list_without_limit: ListUnlimited breaks [
        list_pages_through_all_sessions_once
    ]
    a_list_that_repeats: ListRepeats breaks [
        list_pages_through_all_sessions_once
    ]
    a_list_that_ends_early: ListEndsEarly breaks [
        list_pages_through_all_sessions_once
    ]
    a_list_of_everybody: ListOfEverybody breaks [
        list_pages_through_all_sessions_once
        a_record_that_loses_its_owner_leaves_the_list
        delete_owner_spares_the_exception
    ]
    an_owner_that_stays: OwnerStays breaks [
        a_record_that_loses_its_owner_leaves_the_list
        every_field_survives
    ]
    an_exception_that_is_ignored: ExceptionIgnored breaks [
        delete_owner_spares_the_exception
    ]
    an_owner_whose_sessions_live_on: OwnerLivesOn breaks [
        a_record_that_loses_its_owner_leaves_the_list
        delete_owner_spares_the_exception
        delete_owner_refuses_logins_that_began_before
        delete_owner_catches_a_login_in_flight
        not_before_only_grows
        delete_passes_an_exclusive_lock
    ]
    a_not_before_that_is_ignored: NotBeforeIgnored breaks [
        delete_owner_refuses_logins_that_began_before
        delete_owner_catches_a_login_in_flight
        not_before_only_grows
    ]
    a_not_before_that_is_exclusive: NotBeforeExclusive breaks [
        delete_owner_refuses_logins_that_began_before
        delete_owner_catches_a_login_in_flight
        not_before_only_grows
    ]
    a_not_before_that_shrinks: NotBeforeShrinks breaks [
        delete_owner_catches_a_login_in_flight
        not_before_only_grows
    ]
    a_not_before_for_ever: NotBeforeForEver breaks [
        a_login_after_not_before_is_accepted
    ]
    a_login_that_looks_before_it_writes: LoginLooksThenWrites breaks [
        delete_owner_catches_a_login_in_flight
    ]

    a_lock_that_excludes_nobody: LockExcludesNobody breaks [
        exclusive_excludes_exclusive
        exclusive_waits_and_times_out
        a_lock_held_too_long_is_lost_and_its_commit_fails
        delete_passes_an_exclusive_lock
    ]
    a_lock_that_excludes_writers: LockExcludesWriters breaks [
        exclusive_excludes_nobody_else
    ]
    a_lock_without_deadline: LockEndless breaks [
        a_lock_held_too_long_is_lost_and_its_commit_fails
    ]
    a_lock_that_does_not_wait: LockImpatient breaks [
        exclusive_excludes_exclusive
        exclusive_waits_and_times_out
        a_lock_held_too_long_is_lost_and_its_commit_fails
        delete_passes_an_exclusive_lock
    ]
    a_lock_that_gives_the_old_record: LockGivesOldRecord breaks [
        exclusive_waits_and_times_out
    ]
    a_lock_that_survives_its_ticket: LockSurvivesTicket breaks [
        dropped_futures_leave_no_lock_and_no_half_write
        a_dropped_ticket_frees_the_lock
    ]
    a_lock_that_survives_a_dropped_load: LockSurvivesDrop breaks [
        dropped_futures_leave_no_lock_and_no_half_write
    ]
    a_late_commit_that_passes: LateCommitPasses breaks [
        a_lock_held_too_long_is_lost_and_its_commit_fails
    ]

    namespaces_that_meet: NamespacesMeet breaks [
        namespaces_never_meet
    ]
    namespaces_that_are_cut: NamespacesCut breaks [
        namespaces_never_meet
    ]
    a_field_that_is_forgotten: FieldForgotten breaks [
        every_field_survives
    ]
    a_grace_in_seconds: GraceInSeconds breaks [
        every_field_survives
    ]
    large_values_that_are_cut: LargeValuesCut breaks [
        unicode_and_large_values_survive
    ]
    empty_values_that_are_dropped: EmptyValuesDropped breaks [
        unicode_and_large_values_survive
    ]
    keys_that_fold_case: KeysFoldCase breaks [
        unicode_and_large_values_survive
    ]
    a_final_write_that_is_lost: FinalWriteLost breaks [
        final_durability_keeps_the_same_contract
    ]
}

/// A race may be won by chance on a busy machine; a fault that shows has shown after so many rounds.
const ROUNDS_MAX: usize = 5;

/// The laws that a memory store with this fault breaks. Those that it should break and did not are
/// tried again; what it breaks beside them counts from whichever round.
async fn broken_by(fault: Fault, expected: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    let mut broken = broken_at_once_by(fault).await;
    for _ in 1..ROUNDS_MAX {
        if !broken.is_superset(expected) {
            broken.extend(broken_at_once_by(fault).await);
        }
    }
    broken
}

async fn broken_at_once_by(fault: Fault) -> BTreeSet<&'static str> {
    let mut tasks = JoinSet::new();
    for law in laws() {
        tasks.spawn(async move {
            let broken = law.check(&BrokenPlace::new(fault)).await;
            broken.err().map(|_| law.name())
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}
