//! Decides who gets the broker's last free descriptors.
//!
//! The broker holds for each session the socket, the process, the doorbell and the status page; for a link two outboxes while it is set up;
//! for a share its page and its newest version; for a cell its memory; for a ring of events two; for a listing one file until it is read.
//! If it runs inside a host, the host's own files count against the same limit, and so do the sockets and poll sets of plugins in the host.
//! So it looks at what the whole process has in use, not at what it has given out:
//!
//! ```text
//! in use, up to                                  who still gets in
//! the limit - FOR_INSPECTORS - for links         plugins; rings of events; shares and cells, which have half of the limit at most
//! the limit - FOR_INSPECTORS                     links between plugins that are there
//! the limit                                      connections for listings only
//! ```
//!
//! Whoever is refused is told the limit, and that it is the broker's. A plugin can connect again, and the bus tries a link again by itself
//! ([`crate::bus`]), when descriptors are free.

use callgate_layout::Code;
use callgate_layout::control::Failure;
use callgate_layout::sys::limits;

use super::Reactor;
use super::accept::full;

/// How many descriptors a session takes, with one for what it is sent.
const FOR_SESSION: u64 = 5;
/// Kept for four connections that only ask for listings.
const FOR_INSPECTORS: u64 = 4 * FOR_SESSION;
/// One part in so many of the limit is kept for links, but at least and at most so many descriptors:
const LINKS_PART: u64 = 16;
const LINKS_LEAST: u64 = 16;
const LINKS_MOST: u64 = 256;
/// One part in so many of the limit is for shares and cells, because any plugin may have thousands of them.
const SHARES_PART: u64 = 2;
/// A share's page, and its newest version.
const FOR_SHARE: u64 = 2;

impl Reactor {
    /// Fails if there are not enough descriptors for one more plugin.
    pub(super) fn check_plugin_room(&self) -> Result<(), Failure> {
        let short = check_descriptors(FOR_SESSION, (kept_from_plugins(), "links and listings"));
        short.map_err(full)
    }

    /// Fails if there are not so many descriptors for a ring of events.
    pub(super) fn check_ring_room(&self, more: u64) -> Result<(), Failure> {
        let short = check_descriptors(more, (kept_from_plugins(), "links and listings"));
        short.map_err(|message| Failure::new(Code::System, message))
    }

    /// Fails if there are not so many descriptors for shares and cells.
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

    /// Fails if there are not so many descriptors for links between plugins that are there.
    pub(super) fn check_link_room(&self, more: u64) -> Result<(), Failure> {
        let short = check_descriptors(more, (FOR_INSPECTORS, "listings"));
        short.map_err(|message| Failure::new(Code::System, message))
    }
}

/// How many of the last descriptors are kept from things that plugins can have many of.
fn kept_from_plugins() -> u64 {
    let links = limits::soft_limit() / LINKS_PART;
    FOR_INSPECTORS + links.clamp(LINKS_LEAST, LINKS_MOST)
}

/// Fails if this process cannot have `more` descriptors and still `spare` free ones; the message says what is short.
fn check_descriptors(more: u64, (spare, what): (u64, &str)) -> Result<(), String> {
    // Without `/proc` the number in use is unknown; then the kernel refuses when there are none left.
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
