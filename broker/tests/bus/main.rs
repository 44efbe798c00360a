//! A broker, tested with plugins that consist of control records only.

// What is not there fails the test.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod cells;
mod events;
mod given;
mod hello;
mod hostile;
mod late;
mod links;
mod listing;
mod memory;
mod persistent;
mod returning;
mod shares;
mod socket;
mod spawn;
mod visible;
