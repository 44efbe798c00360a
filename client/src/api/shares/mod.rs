//! What programs hold of shares: cells that they write and read.

pub(crate) mod cells;
