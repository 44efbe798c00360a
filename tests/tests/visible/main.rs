//! What has returned is visible: what was provided, withdrawn, granted, revoked, replaced or restarted before a
//! call or a wait began is what it sees, however its caller learnt of it.
//!
//! Each case is played in rounds, over processes that learn from the test what the others have done, in every
//! way of running handlers and calling, while the bus is busy. `CALLGATE_ROUNDS` says how many.
#![forbid(unsafe_code)]

mod inside;
mod over_processes;
mod polling;
mod stage;
