//! What the kernel does for us, each in a small safe wrapper: the home of `unsafe`.

#[cfg(not(callgate_loom))]
pub mod cache;
mod cmsg;
#[cfg(not(callgate_loom))]
pub mod cores;
mod environment;
pub mod fdpass;
#[cfg(not(callgate_loom))]
pub mod fork;
#[cfg(not(callgate_loom))]
pub mod futex;
pub mod inherit;
pub mod lease;
pub mod limits;
pub mod mapping;
pub mod memfd;
pub mod process;
pub mod service;
pub mod spawn;
pub mod standard;
pub mod time;
