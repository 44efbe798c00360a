//! The runtime with real children, which play scripts.
#![forbid(unsafe_code)]

mod life;
mod manners;
mod scene;
