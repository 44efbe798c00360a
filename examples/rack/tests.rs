//! The tests of the rack: those of its modules, and those of the whole program.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "some of it is used by the program alone")]

mod block;
mod cli;
mod delay;
#[cfg(test)]
mod end_to_end;
mod error;
mod filter;
mod heard;
mod instrument;
mod math;
mod meter;
mod plan;
mod progress;
#[cfg(test)]
mod reference;
mod report;
mod response;
mod stats;
mod wav;
