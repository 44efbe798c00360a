//! Shares: values in sealed memory, which plugins read in place.
//!
//! The maker writes a share's memory through a slice ([`filling`]). Then the broker seals the memory for good, and
//! users read it through a slice ([`sealed`]). These two modules have all the `unsafe` of shares.

#[cfg(not(callgate_loom))]
pub mod filling;
pub mod page;
#[cfg(not(callgate_loom))]
pub mod sealed;
