//! Calls of bytes: waited for, sent, and answered later.
#![forbid(unsafe_code)]

#[cfg(test)]
mod bytes;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod late;
#[cfg(test)]
mod leading;
#[cfg(test)]
mod mixed;
#[cfg(test)]
mod rounds;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod slots;
#[cfg(test)]
mod together;
#[cfg(test)]
mod wakers;
