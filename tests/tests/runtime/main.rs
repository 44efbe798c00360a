//! The runtime with real processes: many plugins on pipes that are killed while they are called, what they cost, and
//! plugins that do everything that a process can do to its pipes.
#![forbid(unsafe_code)]

mod answers;
mod attack;
mod costs;
mod floods;
mod pipes;
mod scene;
mod storm;
