//! The lines of a ring that are about to be written, for who archives many events before it writes them.

use super::{place, record_len};
use crate::geometry::CELL_LEN;
use crate::view::ReadView;

/// Where the next records of a ring will lie, if nobody else writes any.
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

    /// The next record will have such a payload. Has the processor fetch its first lines for writing: so they come while the events
    /// behind it are archived, and not while the records are written, one after the other.
    #[inline]
    pub fn claim(&mut self, payload: usize) {
        let (at, left) = place(self.position, self.capacity);
        if left >= CELL_LEN {
            self.ring.claim_cell(at);
        }
        self.position += record_len(payload);
    }
}
