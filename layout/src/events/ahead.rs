//! Fetches the lines of a ring that a sender is about to write, while it still archives the events.

use super::{place, record_len};
use crate::geometry::CELL_LEN;
use crate::view::ReadView;

/// Where the next records of a ring will lie, unless another thread writes records first.
#[derive(Debug)]
pub struct Ahead {
    ring: ReadView,
    capacity: u64,
    position: u64,
}

impl Ahead {
    pub(super) fn new(ring: ReadView, capacity: u64, position: u64) -> Ahead {
        Ahead {
            ring,
            capacity,
            position,
        }
    }

    /// Notes the length of the next record's payload, and has the processor fetch the record's first lines for writing. So
    /// the lines arrive while later events are archived, and not one after the other while the records are written.
    #[inline]
    pub fn claim(&mut self, payload: usize) {
        let (at, left) = place(self.position, self.capacity);
        if left >= CELL_LEN {
            self.ring.claim_cell(at);
        }
        self.position += record_len(payload);
    }
}
