//! The tests of the index: those of its modules, and those of the whole program.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "some of it is used by the program alone")]

mod cli;
#[cfg(test)]
mod end_to_end;
mod watch;
mod words;
