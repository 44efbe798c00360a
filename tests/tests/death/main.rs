//! What the others see when a provider, a caller or the broker dies, stops or leaves.
#![forbid(unsafe_code)]

mod brokers;
mod callers;
mod embedded;
mod extents;
mod leaving;
mod providers;
mod stopped;
