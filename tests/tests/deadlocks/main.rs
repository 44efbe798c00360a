//! Calls that wait for each other in a circle, and such that only seem to: the broker is the only one who sees
//! the difference.
#![forbid(unsafe_code)]

#[cfg(test)]
mod crossing;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod others;
#[cfg(test)]
mod rings;
