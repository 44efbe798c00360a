//! Two typed plugins whose types differ: their calls go as JSON where they can, and fail with a reason where they
//! cannot.
#![forbid(unsafe_code)]

#[cfg(test)]
mod calls;
#[cfg(test)]
mod dynamic;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod large;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod prefixes;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod returning;
mod scene;
#[cfg(test)]
mod values;
