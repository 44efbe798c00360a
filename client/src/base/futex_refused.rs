//! Waits that the kernel refuses, for example because a seccomp filter was installed after the plugin connected.

use callgate_layout::sys::futex;

/// Logs the first refusal in this process; costs one load if there is none. To be called without locks and turns,
/// because a subscriber of the log may call anything, even this very plugin.
pub(crate) fn log() {
    if let Some(refusal) = futex::take_refusal() {
        tracing::error!(
            "this process cannot wait for its peers, and sleeps up to a millisecond at a time instead, \
             so that its calls take longer: {refusal}"
        );
    }
}
