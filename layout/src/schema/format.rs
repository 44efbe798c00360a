//! The format of archives: what decides their bytes, besides the types.
//!
//! A program builds rkyv once, with the features that all of its crates ask for. The features that we need are named
//! in the workspace's manifest. rkyv refuses to be built with features that contradict them (`unaligned`,
//! `big_endian`, `pointer_width_16`, `pointer_width_64`), so a plugin that links a crate with one of these does not
//! build. The code below checks this too, in case a later rkyv picks one of two contradicting features instead of
//! refusing.

use rkyv::Archived;
use rkyv::primitive::FixedUsize;
use rkyv::rend::{u32_le, u64_le};

/// Everything outside the schema that changes archived bytes. This text and the features of rkyv in the workspace's
/// manifest must be changed together.
pub(super) const FORMAT: &[u8] =
    b"callgate fingerprint 2; rkyv 0.8 little_endian aligned pointer_width_32\0";

const _: fn(Archived<u32>) -> u32_le = |number| number;
const _: fn(Archived<u64>) -> u64_le = |number| number;
const _: fn(FixedUsize) -> u32 = |number| number;
const _: () = assert!(align_of::<Archived<u64>>() == 8 && size_of::<Archived<Vec<u8>>>() == 8);
