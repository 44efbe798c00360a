//! The memory of a plugin's own that all its links use, and how they get more.

use std::sync::{Arc, OnceLock};

use callgate_layout::bells::{Bells, KeptBell};
use callgate_layout::control::LinkEnd;
use callgate_layout::pages::{Doorbell, Status};
use callgate_layout::view::WriteView;

use super::cursor_lines::CursorLines;
use super::topic_words::TopicWords;
use crate::base::buffers::Pool;
use crate::base::error::Result;

/// A doorbell page: one plugin's, or that of several plugins of this process.
#[derive(Clone, Debug)]
pub(crate) struct OwnDoorbell {
    pub(crate) bell: Arc<Doorbell>,
    pub(crate) bells: Arc<Bells>,
    pub(crate) sent: Arc<SentBell>,
    pub(crate) topics: Arc<TopicWords>,
}

/// The bell of a doorbell page for calls that no thread waits for.
#[derive(Debug)]
pub(crate) struct SentBell {
    bell: Arc<Doorbell>,
    bells: Arc<Bells>,
    /// Taken when the first such call is sent.
    kept: OnceLock<KeptBell>,
}

impl SentBell {
    /// The bell; takes one if necessary. `None` if all bells of the page are in use.
    pub(crate) fn take(&self) -> Option<&KeptBell> {
        if self.kept.get().is_none() {
            // If two threads get here at once, one of them gives its bell back.
            let _ = self.kept.set(KeptBell::take(&self.bells)?);
        }
        self.taken()
    }

    /// The bell, if one was taken.
    pub(crate) fn taken(&self) -> Option<&KeptBell> {
        self.kept.get()
    }

    /// The doorbell of the plugin's dispatcher.
    pub(crate) fn doorbell(&self) -> &Doorbell {
        &self.bell
    }
}

impl OwnDoorbell {
    pub(crate) fn new(page: WriteView) -> OwnDoorbell {
        let bell = Arc::new(Doorbell::new(page));
        let bells = Arc::new(Bells::new(bell.clone()));
        let sent = Arc::new(SentBell {
            bell: bell.clone(),
            bells: bells.clone(),
            kept: OnceLock::new(),
        });
        let topics = Arc::new(TopicWords::new(bell.clone()));
        OwnDoorbell {
            bell,
            bells,
            sent,
            topics,
        }
    }
}

/// A plugin's own pages, and its private memory for large payloads.
#[derive(Debug)]
pub(crate) struct OwnMemory {
    /// The doorbell of its dispatcher. Plugins of a group share the page.
    pub(crate) bell: Arc<Doorbell>,
    /// The bells on which its callers sleep.
    pub(crate) bells: Arc<Bells>,
    /// The bell for calls that no thread waits for.
    pub(crate) sent: Arc<SentBell>,
    /// The topic words for the topics on which it sends.
    pub(crate) topics: Arc<TopicWords>,
    pub(crate) status: Status,
    /// The cursors of the feeds that it hears.
    pub(crate) cursors: Arc<CursorLines>,
    pub(crate) pool: Pool,
}

impl OwnMemory {
    pub(crate) fn new(doorbell: OwnDoorbell, status: Status) -> OwnMemory {
        let OwnDoorbell {
            bell,
            bells,
            sent,
            topics,
        } = doorbell;
        OwnMemory {
            bell,
            bells,
            sent,
            topics,
            status,
            cursors: Arc::default(),
            pool: Pool::default(),
        }
    }
}

/// Asks the broker for extents, and returns them. None of this waits for the broker.
pub(crate) trait ExtentSource: Send + Sync {
    /// Fails if there is no broker to ask.
    fn check_alive(&self) -> Result<()>;

    /// Asks for an extent of this number and size, for one end of a link.
    fn want(&self, end: LinkEnd, number: u8, len: u32) -> Result<()>;

    /// Returns an extent, which the caller unmaps right after this.
    fn return_extent(&self, end: LinkEnd, number: u8) -> Result<()>;
}
