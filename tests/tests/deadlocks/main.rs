//! Calls that wait for each other in a circle, and calls that only seem to. Only the broker can tell the difference.
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
