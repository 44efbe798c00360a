//! `CALLGATE_DEBUG=1`: for people who stop programs in a debugger.
//!
//! It suspends how long somebody else may take: the deadlines of calls, and of the broker's
//! answers. It does not suspend how long a program chooses to wait for what may never come
//! (`wait_ready`, `Watch::next`, `wait_closed_for`, `pump`): many go on without it then, and would
//! not.

use std::sync::OnceLock;

/// Whether deadlines are suspended in this process. Read once.
#[inline]
pub(crate) fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var_os("CALLGATE_DEBUG").is_some_and(|value| value == "1"))
}
