//! A broker that is killed, stopped or replaced, and its plugins, which see nothing of it but that what is new waits
//! for a short time (docs/decisions/0021).
#![forbid(unsafe_code)]

mod basics;
mod draining;
mod dropped;
mod embedded;
mod given_up;
mod impostors;
mod large;
mod load;
mod modes;
mod often;
mod races;
mod rights;
mod waiting;
mod watching;
