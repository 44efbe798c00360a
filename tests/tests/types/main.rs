//! Two typed plugins whose types differ: their calls are made as JSON if the types can be converted, and fail with a
//! reason if they cannot.
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
