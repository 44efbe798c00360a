//! SIGPIPE, the signal for a write into a pipe that nobody reads. Sockets can ask for an error instead of the signal; pipes cannot.

use std::fs;

use nix::sys::signal::Signal;

/// Whether this process ignores SIGPIPE. Returns true if that cannot be found out, because there is no `/proc`.
pub(crate) fn is_sigpipe_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_ignored(&status, Signal::SIGPIPE).unwrap_or(true)
}

/// Whether a process ignores a signal, according to its `/proc/PID/status`.
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
        // The Rust runtime ignores SIGPIPE before `main`.
        assert!(is_sigpipe_ignored());
    }
}
