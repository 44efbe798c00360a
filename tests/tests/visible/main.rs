//! What has returned is visible. A call or a wait sees everything that was provided, withdrawn, granted, revoked,
//! replaced or restarted before it began, however its caller learned of it.
//!
//! Each case is played in rounds, with processes that learn from the test what the others have done, in every mode
//! and with every kind of call, while the bus is busy. `CALLGATE_ROUNDS` says how many.
#![forbid(unsafe_code)]

mod inside;
mod over_processes;
mod polling;
mod stage;
