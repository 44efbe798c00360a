//! The signal at a write into a pipe that nobody reads. A pipe's writer cannot ask for the error alone, as that of a socket can.

use std::fs;

use nix::sys::signal::Signal;

/// Whether this process ignores SIGPIPE; true where nobody can tell (no `/proc`).
pub(crate) fn is_sigpipe_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_ignored(&status, Signal::SIGPIPE).unwrap_or(true)
}

/// Whether a signal is ignored, as a process's status file says.
fn is_ignored(status: &str, signal: Signal) -> Option<bool> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask >> (signal as i32 - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_which_signals_are_ignored() {
        let status =
            "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000440\n";
        assert_eq!(is_ignored(status, Signal::SIGPIPE), Some(true));
        assert_eq!(is_ignored(status, Signal::SIGTERM), Some(false));
        assert_eq!(is_ignored("", Signal::SIGPIPE), None);
        // As the standard library has it.
        assert!(is_sigpipe_ignored());
    }
}
