//! Shares, as far as no broker is needed for them: cells that are written and read.

pub(crate) mod cells;
