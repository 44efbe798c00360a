//! Groups: many plugins of one process that share two threads and one doorbell.
//!
//! How a call to one of them behaves is tested in `conformance`, where the group is a mode.
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
