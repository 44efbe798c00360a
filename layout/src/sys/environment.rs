//! Removing variables from the environment, so that programs which this process starts do not find them.

/// Removes variables, but only if this process has one thread: another thread could be reading the environment.
pub(super) fn forget(names: &[&str]) {
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    if !matches!(threads, Ok(1)) {
        return;
    }
    for name in names {
        // SAFETY: this is the only thread of the process, so no other one reads or changes the
        // environment meanwhile.
        unsafe { std::env::remove_var(name) };
    }
}
