//! `CALLGATE_DEBUG=1`: for people who stop programs in a debugger.

use std::sync::OnceLock;

/// Whether deadlines are suspended in this process. Read once.
#[inline]
pub(crate) fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var_os("CALLGATE_DEBUG").is_some_and(|value| value == "1"))
}
