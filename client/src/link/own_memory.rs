//! What all links of a plugin use on its own side, and how they come to more.

use std::sync::Arc;

use callgate_layout::bells::Bells;
use callgate_layout::control::LinkEnd;
use callgate_layout::pages::{Doorbell, Status};
use callgate_layout::view::WriteView;

use crate::base::buffers::Pool;
use crate::base::error::Result;

/// A doorbell page: a plugin's own, or that of several plugins of this process.
#[derive(Clone, Debug)]
pub(crate) struct OwnDoorbell {
    pub(crate) bell: Arc<Doorbell>,
    pub(crate) bells: Arc<Bells>,
}

impl OwnDoorbell {
    pub(crate) fn new(page: WriteView) -> OwnDoorbell {
        let bell = Arc::new(Doorbell::new(page));
        let bells = Arc::new(Bells::new(bell.clone()));
        OwnDoorbell { bell, bells }
    }
}

/// A plugin's own pages, and its private memory for large payloads.
#[derive(Debug)]
pub(crate) struct OwnMemory {
    /// What wakes its dispatcher. Plugins of a group have one page in common.
    pub(crate) bell: Arc<Doorbell>,
    /// On which its callers sleep.
    pub(crate) bells: Arc<Bells>,
    pub(crate) status: Status,
    pub(crate) pool: Pool,
}

impl OwnMemory {
    pub(crate) fn new(doorbell: OwnDoorbell, status: Status) -> OwnMemory {
        let OwnDoorbell { bell, bells } = doorbell;
        OwnMemory {
            bell,
            bells,
            status,
            pool: Pool::default(),
        }
    }

    /// The doorbell page, which others may have, too.
    pub(crate) fn doorbell(&self) -> OwnDoorbell {
        OwnDoorbell {
            bell: self.bell.clone(),
            bells: self.bells.clone(),
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
