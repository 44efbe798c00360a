//! The process of a supervised plugin: starting it, its pipes, signals to its group, and its end.

mod child;
mod launch;
mod pipe;
mod sigpipe;
mod stdin;

pub(crate) use child::{Child, End};
pub(crate) use launch::{Launch, Started};
pub(crate) use pipe::{Pipe, Progress};
pub(crate) use sigpipe::is_sigpipe_ignored;
pub(crate) use stdin::{Refused, Stdin};
