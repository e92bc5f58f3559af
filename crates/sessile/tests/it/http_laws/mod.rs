//! The laws of the engine as a browser sees them: one table of rows, run through every framework.
//!
//! A row is a configuration and some requests: what each sends, what its handler does to the session,
//! and the whole answer that must come of it, headers and page. The page shows the session, so the
//! next request tells what was kept. Each row is a test for each framework, `on_axum::` and its name;
//! to add a framework, write its adapter in `adapters` and add its line below.

mod adapters;
mod rows;
mod run;
mod script;

/// Stamps every row into a named test for one framework.
macro_rules! http_laws {
    (@each $adapter:ident [$($row:ident)*]) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $row() {
            super::rows::$row().hold(super::adapters::$adapter).await;
        }
    )*};
    ($rows:tt $($(#[$when:meta])? $module:ident: $adapter:ident,)*) => {$(
        $(#[$when])?
        mod $module {
            http_laws! { @each $adapter $rows }
        }
    )*};
}

http_laws! {
    [
        a_handler_that_does_not_ask_adds_no_header
        a_handler_that_asks_varies_by_cookie
        an_optional_session_is_never_created
        who_is_not_signed_in_gets_401
        a_token_that_nobody_issued_is_neither_adopted_nor_removed
        a_cookie_that_is_no_token_costs_no_look_up
        of_several_cookies_two_are_looked_up
        a_session_ends_to_the_millisecond

        a_write_sets_the_cookie_and_forbids_caching
        a_write_to_a_session_that_is_there_sets_no_cookie
        counting_goes_on_from_request_to_request
        removing_from_nothing_sets_no_cookie
        an_answer_that_refuses_is_still_one
        headers_of_the_handler_stay_but_for_caching_a_cookie
        what_was_committed_early_stays_and_sets_its_cookie
        what_is_too_large_is_refused_and_nothing_is_kept

        the_cookie_of_a_development_host_is_plain
        a_cookie_of_a_domain_and_a_path_is_removed_there_too
        a_cookie_for_embedded_pages_is_partitioned
        a_remembered_login_sets_a_cookie_that_lasts_400_days_at_most
        a_renamed_cookie_is_read_by_its_old_name_and_removed_by_both
        a_logout_removes_no_cookie_that_was_not_sent
        a_token_may_travel_in_headers_and_then_in_no_cookie
        a_forged_token_costs_no_look_up_where_tokens_are_signed
        a_logout_clears_what_the_site_stored_when_asked

        a_login_gives_a_new_id_and_a_new_token_and_keeps_the_data
        a_login_leaves_the_data_behind_when_asked
        a_token_from_before_the_login_opens_nothing_and_stays_untouched
        a_change_of_owner_is_a_new_session

        a_rotation_sets_a_new_token_of_the_same_session
        the_token_before_it_reads_and_writes_for_its_grace_and_then_opens_nothing
        the_token_before_it_may_neither_log_in_nor_lock
        a_step_up_takes_all_authority_from_the_token_before_it
        a_timer_rotates_on_a_navigation_of_somebody_signed_in_and_never_else

        a_logout_removes_the_cookie_and_ends_the_session
        a_logout_of_nobody_removes_what_was_presented_and_nothing_else
        a_session_that_begins_after_a_logout_sets_one_cookie
        a_logout_is_carried_out_whatever_the_status
        a_logout_wins_against_a_write_in_flight
        a_logout_wins_against_a_rotation_in_flight
        a_logout_passes_an_exclusive_request
        the_token_before_a_rotation_may_log_out

        different_keys_written_side_by_side_all_survive
        counts_side_by_side_all_count
        an_insert_over_anothers_word_is_refused_when_asked
        requests_around_a_rotation_all_succeed
        of_two_rotations_side_by_side_one_sets_the_cookie
        a_late_write_with_the_token_of_before_the_login_is_refused

        a_5xx_keeps_its_answer_and_writes_nothing
        a_5xx_still_takes_authority_away
        a_failed_load_answers_503_and_is_followed_by_no_save
        a_failed_commit_replaces_the_answer
        an_outage_reads_as_nobody_when_asked_and_refuses_to_write
        a_panicking_handler_writes_nothing_and_holds_no_lock
        a_client_that_leaves_writes_nothing_and_frees_its_lock
        a_lock_that_is_not_free_in_time_answers_503
    ]
    on_tower: tower,
    #[cfg(feature = "axum")]
    on_axum: axum,
}
