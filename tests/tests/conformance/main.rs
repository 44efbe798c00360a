//! How a call behaves, the same in every mode: the provider is in a process of its own, on a thread, a pool, a pump
//! or a group's thread; or in the caller's process, called directly.
//!
//! The name of each case is the sentence that it proves. If a mode behaves differently, the case says so.
#![forbid(unsafe_code)]

#[cfg(test)]
mod callers;
#[cfg(test)]
mod chains;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod later;
#[cfg(test)]
mod life;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod reentrant;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod sent;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod sights;
#[cfg(test)]
mod slots;
#[cfg(test)]
mod times;

/// One test for each behaviour in each mode.
macro_rules! in_every_mode {
    ($($module:ident :: $behaviour:ident,)*) => {
        in_every_mode!(@ thread Thread: $($module::$behaviour,)*);
        in_every_mode!(@ pool Pool: $($module::$behaviour,)*);
        in_every_mode!(@ pump Pump: $($module::$behaviour,)*);
        in_every_mode!(@ group Group: $($module::$behaviour,)*);
        in_every_mode!(@ direct Direct: $($module::$behaviour,)*);
    };
    (@ $name:ident $mode:ident: $($module:ident :: $behaviour:ident,)*) => {
        mod $name {
            $(
                #[test]
                fn $behaviour() {
                    crate::$module::$behaviour(crate::setup::Mode::$mode);
                }
            )*
        }
    };
}

in_every_mode! {
    outcomes::results_and_large_payloads_arrive,
    outcomes::a_failure_arrives_with_code_message_and_context,
    outcomes::what_a_handler_s_own_call_failed_with_names_that_call_s_gate,
    outcomes::a_panic_ends_the_call_and_nothing_else,
    outcomes::a_handler_knows_its_caller,
    chains::chains_go_back_and_forth_up_to_64_deep,
    chains::a_call_of_another_chain_waits_for_the_handler_or_runs_beside_it_in_a_pool,
    chains::after_a_nested_call_a_handler_s_context_is_what_it_was,
    reentrant::a_re_entrant_gate_runs_on_top_of_another_chain_s_wait,
    callers::many_threads_get_their_own_answers,
    callers::four_callers_get_their_own_answers_and_their_share,
    callers::a_busy_link_leaves_a_quiet_one_its_turn,
    callers::a_gate_that_hangs_leaves_half_of_the_slots_and_other_plugins_alone,
    gates::a_gate_may_withdraw_itself_and_come_back,
    gates::the_two_halves_of_a_gate_come_and_go_separately,
    gates::an_action_is_no_function_and_the_reverse,
    gates::a_gate_has_one_owner,
    life::a_handler_may_close_its_own_plugin,
    life::a_handler_may_close_its_plugin_under_another_handler,
    life::a_handler_may_close_its_plugin_while_a_thread_of_the_plugin_s_waits,
    life::a_gate_s_lives_are_seen_with_owner_and_generation,
    life::a_gate_may_be_waited_for_before_there_is_a_provider,
    life::a_gate_may_move_between_processes_while_it_is_called,
    times::an_expired_call_is_not_run,
    times::a_call_without_time_is_not_made,
    times::a_handler_sees_the_time_that_is_left,
    times::a_handler_sees_that_nobody_waits,
    times::a_nested_call_ends_with_the_call_that_its_handler_serves,
    limits::a_handler_sees_within_moments_that_its_call_timed_out,
    limits::a_handler_sees_within_moments_that_a_sent_call_timed_out,
    limits::a_handler_sees_within_moments_that_its_caller_was_killed,
    limits::no_call_begins_before_the_late_one_has_ended,
    limits::a_call_that_was_left_for_later_counts_until_it_was_answered,
    times::a_pump_says_how_many_calls_it_served_and_ends_at_its_deadline,
    times::a_debugger_suspends_deadlines,
    slots::late_answers_are_dropped_and_give_slots_and_payloads_back,
    later::results_failures_and_large_payloads_come_later,
    later::a_responder_passes_on_an_error_of_the_library,
    later::a_caller_with_types_does_not_see_when_the_answer_was_made,
    later::calls_that_wait_for_their_answers_hold_no_turn,
    later::a_responder_sees_that_nobody_waits_and_its_answer_gives_the_slot_back,
    later::a_provider_s_end_ends_calls_whose_answers_it_held,
    later::a_handler_may_call_and_send_before_it_answers,
    later::a_plugin_may_send_to_itself,
    later::an_action_may_be_done_later,
    sent::each_of_many_calls_gets_its_own_answer,
    sent::a_future_is_told_by_the_waker_of_its_last_poll,
    sent::a_deadline_passes_with_a_slot_and_without,
    sent::what_is_dropped_gives_its_slot_back,
    sent::a_provider_s_end_is_told_of_calls_that_were_sent_and_of_those_that_wait,
    sent::the_caller_s_end_is_told_too,
    rights::what_a_policy_does_not_allow_is_refused_at_the_grant,
    rights::a_right_to_call_that_is_taken_back_is_refused_at_the_call_and_may_come_again,
    rights::a_right_to_provide_that_is_taken_back_ends_the_gate,
    sights::a_gate_s_calls_and_errors_are_counted,
    sights::a_call_shows_as_a_span_on_both_sides,
}
