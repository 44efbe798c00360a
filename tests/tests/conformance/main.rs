//! What a call does, the same in every mode: each behaviour with the provider in a process of its
//! own, on a thread, a pool and a pump, and in the caller's process.
#![forbid(unsafe_code)]

#[cfg(test)]
mod gates;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod times;

/// One test for each behaviour in each mode.
macro_rules! in_every_mode {
    ($($module:ident :: $behaviour:ident,)*) => {
        in_every_mode!(@ thread: $($module::$behaviour,)*);
        in_every_mode!(@ pool: $($module::$behaviour,)*);
        in_every_mode!(@ pump: $($module::$behaviour,)*);
        in_every_mode!(@ direct: $($module::$behaviour,)*);
    };
    (@ $mode:ident: $($module:ident :: $behaviour:ident,)*) => {
        mod $mode {
            $(
                #[test]
                fn $behaviour() {
                    crate::$module::$behaviour(&crate::setup::Setup::new(stringify!($mode)));
                }
            )*
        }
    };
}

in_every_mode! {
    outcomes::results_and_large_payloads_arrive,
    outcomes::a_failure_arrives_with_code_message_and_context,
    outcomes::a_panic_ends_the_call_and_nothing_else,
    outcomes::a_handler_knows_its_caller,
    outcomes::chains_go_back_and_forth_up_to_64_deep,
    outcomes::many_threads_get_their_own_answers,
    gates::a_gate_may_withdraw_itself_and_come_back,
    gates::the_two_halves_of_a_gate_come_and_go_separately,
    gates::an_action_is_no_function_and_the_reverse,
    gates::a_gate_has_one_owner,
    times::an_expired_call_is_not_run,
    times::late_answers_give_their_slots_back,
    times::a_handler_sees_the_time_that_is_left,
    times::a_handler_sees_that_nobody_waits,
}
