//! The runtime with real children, which play scripts.
#![forbid(unsafe_code)]

mod absent;
mod bus;
mod complaints;
mod hosts;
mod life;
mod manners;
mod names;
mod pacing;
mod scene;
mod still;
