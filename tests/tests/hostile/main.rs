//! A plugin that writes what no correct one writes, into memory or to the broker, among plugins
//! that call each other meanwhile: it hurts itself alone.
#![forbid(unsafe_code)]

mod caller;
#[cfg(test)]
mod chains;
mod control;
#[cfg(test)]
mod logs;
mod provider;
mod revoked;
#[cfg(test)]
mod rooms;
mod scene;
mod words;
