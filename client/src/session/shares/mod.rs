//! Records about shares and back; what is said again to the next broker.

pub(crate) mod cells;
