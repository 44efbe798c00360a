//! Who gets the broker's last descriptors.
//!
//! The broker holds for each session the socket, the process, the doorbell and the status page, for
//! a link two outboxes while it is set up, for a share its page and its newest version, for a cell its memory, for a ring of events
//! two, and for a listing one file until it is read. Where it
//! runs inside a host, the host's own files count against the same limit, and so do the sockets
//! and poll sets of plugins in the host. So it looks at what the whole process has in use, and not
//! at what it has given out:
//!
//! ```text
//! in use, up to                                  who still gets in
//! the limit - FOR_INSPECTORS - for links         plugins; rings of events; shares and cells, which have half of the limit at most
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
/// Of the limit, one part in so many is for shares and cells: any plugin may have thousands of them.
const SHARES_PART: u64 = 2;
/// Its page, and the newest version.
const FOR_SHARE: u64 = 2;

impl Reactor {
    /// Whether one more plugin may take part.
    pub(super) fn check_plugin_room(&self) -> Result<(), Failure> {
        let short = check_descriptors(FOR_SESSION, (kept_from_plugins(), "links and listings"));
        short.map_err(full)
    }

    /// Whether a ring of events may take so many descriptors more.
    pub(super) fn check_ring_room(&self, more: u64) -> Result<(), Failure> {
        let short = check_descriptors(more, (kept_from_plugins(), "links and listings"));
        short.map_err(|message| Failure::new(Code::System, message))
    }

    /// Whether a share or a cell may take so many descriptors more.
    pub(super) fn check_share_room(&self, more: u64) -> Result<(), Failure> {
        let (shares, cells) = (self.share_pages.len(), self.bus.cells().all().len());
        let used = FOR_SHARE * shares as u64 + (cells + self.returned.len()) as u64;
        let limit = limits::soft_limit();
        if used + more <= limit / SHARES_PART {
            return self.check_ring_room(more);
        }
        let pid = std::process::id();
        let message = format!(
            "the broker's process {pid} has {used} descriptors for {shares} shares and {cells} cells, and no more than one in \
             {SHARES_PART} of its {limit} (RLIMIT_NOFILE) is for these; give that process a higher limit (ulimit -n), or use fewer \
             shares and cells at once"
        );
        Err(Failure::new(Code::System, message))
    }

    /// Whether a link between plugins that are there may take so many descriptors more.
    pub(super) fn check_link_room(&self, more: u64) -> Result<(), Failure> {
        let short = check_descriptors(more, (FOR_INSPECTORS, "listings"));
        short.map_err(|message| Failure::new(Code::System, message))
    }
}

/// How many of the last descriptors are not for what plugins can have many of.
fn kept_from_plugins() -> u64 {
    let links = limits::soft_limit() / LINKS_PART;
    FOR_INSPECTORS + links.clamp(LINKS_LEAST, LINKS_MOST)
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
