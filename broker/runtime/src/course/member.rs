//! What the loop needs of a child's place on the bus.

use std::sync::Arc;
use std::time::Instant;

use super::last_words::LastWords;
use crate::frame::{Incoming, Malformed};

/// One life of a child, as a member of the bus.
pub(crate) trait Member: Send + Sync {
    /// Lets others call it. May wait for the broker.
    fn offer(&self) -> Result<(), String>;

    /// Takes in a frame. Must not wait.
    fn on_frame(&self, frame: Incoming<'_>);

    /// Takes in that a frame could not be read. Must not wait.
    fn on_malformed(&self, malformed: &Malformed);

    /// Whether it is to be heard again only when what it asked for was answered.
    fn is_busy(&self) -> bool;

    /// Sees to what is due and what it was woken for; when it is to be called next at the latest. Must not wait.
    fn sweep(&self, now: Instant) -> Option<Instant>;

    /// Leaves the bus. May wait for the broker.
    fn close(self: Arc<Self>, words: &LastWords);
}
