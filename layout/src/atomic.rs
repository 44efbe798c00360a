//! All atomics of the crate are imported from here: the standard library's, or loom's when the
//! protocols are model-checked.
//!
//! Loom models sequentially consistent *fences*, not sequentially consistent *accesses*, so
//! the protocols use fences alone where they need that strength.

#[cfg(not(callgate_loom))]
pub(crate) use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(callgate_loom)]
pub(crate) use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
