//! A broker that is killed, stopped or replaced. Its plugins only notice that operations which need a broker wait for
//! a short time (docs/decisions/0021).
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
