//! Small safe wrappers around what we need from the kernel. Most of the `unsafe` code is here.

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
