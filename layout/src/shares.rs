//! Shares: values in sealed memory, which plugins read where they lie.
//!
//! Their maker writes them through a slice ([`filling`]), and who uses them sees one ([`sealed`]); between these the broker seals the
//! memory for good. Those two modules have all the `unsafe` of shares.

#[cfg(not(callgate_loom))]
pub mod filling;
pub mod page;
#[cfg(not(callgate_loom))]
pub mod sealed;
