//! Shares, as far as the broker of a membership is asked about them: what was asked, where the answers are put, how threads wait for
//! them.

pub(crate) mod asked;
pub(crate) mod desk;
pub(crate) mod failures;
pub(crate) mod waiting;
