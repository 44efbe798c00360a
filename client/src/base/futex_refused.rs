//! A wait that the kernel refuses, as it does where a seccomp filter was installed after the plugin
//! connected.

use callgate_layout::sys::futex;

/// Logs the first of them in this process; one load where there is none. For threads that hold no lock
/// and no turn: whoever listens to the log may call, even this very plugin.
pub(crate) fn log() {
    if let Some(refusal) = futex::take_refusal() {
        tracing::error!(
            "this process cannot wait for its peers, and sleeps up to a millisecond at a time instead, \
             so that its calls take longer: {refusal}"
        );
    }
}
