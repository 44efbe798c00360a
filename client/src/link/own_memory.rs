//! What all links of a plugin use on its own side, and how they come to more.

use std::sync::Arc;

use callgate_layout::bells::Bells;
use callgate_layout::control::LinkEnd;
use callgate_layout::pages::{Doorbell, Status};

use crate::base::buffers::Pool;
use crate::base::error::Result;

/// A plugin's own pages, and its private memory for large payloads.
#[derive(Debug)]
pub(crate) struct OwnMemory {
    /// What wakes its dispatcher.
    pub(crate) bell: Arc<Doorbell>,
    /// On which its callers sleep.
    pub(crate) bells: Arc<Bells>,
    pub(crate) status: Status,
    pub(crate) pool: Pool,
}

impl OwnMemory {
    pub(crate) fn new(bell: Doorbell, status: Status) -> OwnMemory {
        let bell = Arc::new(bell);
        OwnMemory {
            bells: Arc::new(Bells::new(bell.clone())),
            bell,
            status,
            pool: Pool::default(),
        }
    }
}

/// Asks the broker for extents, and returns them. Nothing here waits for the broker.
pub(crate) trait ExtentSource: Send + Sync {
    /// An error where nobody is left to be asked.
    fn check_alive(&self) -> Result<()>;

    /// Asks for an extent of this number and size, for one end of a link.
    fn want(&self, end: LinkEnd, number: u8, len: u32) -> Result<()>;

    /// Returns an extent that is unmapped right after this.
    fn return_extent(&self, end: LinkEnd, number: u8) -> Result<()>;
}
