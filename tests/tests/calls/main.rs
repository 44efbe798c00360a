//! Calls between plugins as users make them: right answers, and the right error for everything that can go wrong
//! while both sides live.
#![forbid(unsafe_code)]

#[cfg(test)]
mod busy;
#[cfg(test)]
mod captures;
#[cfg(test)]
mod chains;
mod deadlines;
mod direct;
mod failures;
mod fairness;
mod gates;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod limits_end;
mod load;
#[cfg(test)]
mod modes;
mod names;
mod nested;
mod parameters;
mod payloads;
mod support;
#[cfg(test)]
mod turns;
mod types;
mod waiting;
mod watching;
