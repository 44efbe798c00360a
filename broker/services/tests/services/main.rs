//! The services on the bus of an embedded broker, used by plugins.
#![forbid(unsafe_code)]

mod config;
mod damage;
mod frames;
mod kills;
mod kv;
mod quotas;
mod scene;
mod schedules;
mod stopped;
mod traffic;
