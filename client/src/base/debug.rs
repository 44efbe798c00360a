//! `CALLGATE_DEBUG=1`, for people who stop programs in a debugger.
//!
//! It suspends limits on how long others may take: the deadlines of calls, and of the broker's answers. It does not
//! suspend the times that a program chooses to wait for something that may never come (`wait_ready`, `Watch::next`,
//! `wait_closed_for`, `pump`), because many programs go on after these, and otherwise would not.

use std::sync::OnceLock;

/// Whether deadlines are suspended in this process. Read once.
#[inline]
pub(crate) fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var_os("CALLGATE_DEBUG").is_some_and(|value| value == "1"))
}
