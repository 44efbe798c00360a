//! Groups: many plugins of one process on two threads and one doorbell.
//!
//! What a call to one of them does is in `conformance`, where the group is a mode.
#![forbid(unsafe_code)]

#[cfg(test)]
mod cost;
#[cfg(test)]
mod doorbells;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod handlers;
#[cfg(test)]
mod sending;
