//! Tests of the graph: by itself, and compared with a plain model of plugins.

mod delayed;
mod ends;
mod guests;
mod model;
mod property;
mod schedules;
mod setup;
mod units;
