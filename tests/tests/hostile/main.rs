//! A plugin that writes what no correct plugin writes, into shared memory or to the broker, among plugins that call
//! each other meanwhile: it harms only itself.
#![forbid(unsafe_code)]

#[cfg(test)]
mod blocks;
mod caller;
#[cfg(test)]
mod chains;
mod control;
#[cfg(test)]
mod later;
#[cfg(test)]
mod logs;
mod names;
mod provider;
mod returning;
mod revoked;
mod scene;
mod schemas;
#[cfg(test)]
mod waits;
mod words;
