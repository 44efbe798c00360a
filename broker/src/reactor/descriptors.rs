//! Who gets the broker's last descriptors.
//!
//! The broker holds for each session the socket, the process, the doorbell and the status page, for
//! a link two outboxes while it is set up, and for a listing one file until it is read. Where it
//! runs inside a host, the host's own files count against the same limit, and so do the sockets
//! and poll sets of plugins in the host. So it looks at what the whole process has in use, and not
//! at what it has given out:
//!
//! ```text
//! in use, up to                                  who still gets in
//! the limit - FOR_INSPECTORS - for links         plugins
//! the limit - FOR_INSPECTORS                     links between plugins that are there
//! the limit                                      connections for listings only
//! ```
//!
//! Who is refused is told the limit, and that it is the broker's. A plugin can connect again, and
//! a link is tried again by itself ([`crate::bus`]), when descriptors are free.

use callgate_layout::Code;
use callgate_layout::control::Failure;
use callgate_layout::sys::limits;

use super::Reactor;
use super::accept::full;

/// Descriptors that a session takes, with one for what it is sent.
const FOR_SESSION: u64 = 5;
/// Descriptors that are kept for four connections that only ask for listings.
const FOR_INSPECTORS: u64 = 4 * FOR_SESSION;
/// Of the limit, one part in so many is kept for links; at least and at most:
const LINKS_PART: u64 = 16;
const LINKS_LEAST: u64 = 16;
const LINKS_MOST: u64 = 256;

impl Reactor {
    /// Whether one more plugin may take part.
    pub(super) fn check_plugin_room(&self) -> Result<(), Failure> {
        let links = limits::soft_limit() / LINKS_PART;
        let kept = FOR_INSPECTORS + links.clamp(LINKS_LEAST, LINKS_MOST);
        let short = check_descriptors(FOR_SESSION, (kept, "links and listings"));
        short.map_err(full)
    }

    /// Whether a link between plugins that are there may take so many descriptors more.
    pub(super) fn check_link_room(&self, more: u64) -> Result<(), Failure> {
        let short = check_descriptors(more, (FOR_INSPECTORS, "listings"));
        short.map_err(|message| Failure::new(Code::System, message))
    }
}

/// Whether this process may have so many descriptors more and still some to spare; else says
/// what is short.
fn check_descriptors(more: u64, (spare, what): (u64, &str)) -> Result<(), String> {
    // Without a `/proc` nobody can tell; then the kernel says when there are none left.
    let Ok(used) = limits::in_use() else {
        return Ok(());
    };
    let limit = limits::soft_limit();
    if used.saturating_add(more + spare) <= limit {
        return Ok(());
    }
    let pid = std::process::id();
    let message = format!(
        "the broker's process {pid} has {used} of its {limit} descriptors (RLIMIT_NOFILE) in \
         use and keeps the last {spare} for {what}; give that process a higher limit (ulimit -n), \
         or connect fewer plugins"
    );
    Err(message)
}
