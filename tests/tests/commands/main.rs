//! The command line as people and programs use it: what it prints, and its exit codes.
#![forbid(unsafe_code)]

mod call;
mod changes;
mod chat;
mod controlling;
mod echo;
mod emit;
mod listen;
mod listing;
mod logs;
mod new;
mod output;
mod ping;
mod plugins;
mod running;
mod service;
mod serving;
mod shares;
mod support;
mod topics;
mod usage;
mod watching;
