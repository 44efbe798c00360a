//! Asking the broker of a membership about shares: what was asked, where the answers are put, and how threads wait
//! for them.

pub(crate) mod asked;
pub(crate) mod desk;
pub(crate) mod failures;
pub(crate) mod waiting;
