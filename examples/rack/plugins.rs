//! The plugins: what somebody who writes one writes.
//!
//! Each is a process of its own that connects to the bus, stands behind one gate and answers
//! calls to it until the bus ends. It is found by the gate's name, and its handler's parameters
//! and result are all there is to the interface. Calls come one after the other, on a thread of
//! the library's; a handler that keeps state between them puts it into a mutex.

use std::path::Path;

use callgate_client::{Plugin, View};
use parking_lot::Mutex;

use crate::block::Block;
use crate::cli::Role;
use crate::delay::Delay;
use crate::error::Error;
use crate::filter::Filter;
use crate::instrument;
use crate::meter::Meter;
use crate::wav::Clip;

/// Is one of the plugins, until the host's bus ends.
pub(crate) fn run(role: Role, input: Option<&Path>) -> Result<(), Error> {
    match (role, input) {
        (Role::Instrument, None) => instrument()?,
        (Role::Instrument, Some(path)) => player(Clip::open(path)?)?,
        (Role::Filter, _) => filter()?,
        (Role::Delay, _) => delay()?,
        (Role::Meter, _) => meter()?,
    }
    Ok(())
}

/// Makes a block of music out of nothing but the block's number.
fn instrument() -> callgate_client::Result<()> {
    let plugin = Plugin::connect("instrument")?;
    let _gate = plugin.provide("Rack.Instrument", instrument::render)?;
    plugin.wait_closed();
    Ok(())
}

/// Stands in for the instrument and plays a recording. The host cannot tell the difference.
fn player(clip: Clip) -> callgate_client::Result<()> {
    let plugin = Plugin::connect("instrument")?;
    let _gate = plugin.provide("Rack.Instrument", move |number: u64| clip.block(number))?;
    plugin.wait_closed();
    Ok(())
}

/// Takes a block and gives it back filtered. What it remembers dies with it: when it is killed
/// and started again, it begins from rest.
fn filter() -> callgate_client::Result<()> {
    let plugin = Plugin::connect("filter")?;
    let filter = Mutex::new(Filter::new());
    let handler = move |number: u64, input: Block| filter.lock().process(number, &input);
    let _gate = plugin.provide("Rack.Filter", handler)?;
    plugin.wait_closed();
    Ok(())
}

/// Takes a block and gives it back with echoes.
fn delay() -> callgate_client::Result<()> {
    let plugin = Plugin::connect("delay")?;
    let delay = Mutex::new(Delay::new());
    let handler = move |input: Block| delay.lock().process(&input);
    let _gate = plugin.provide("Rack.Delay", handler)?;
    plugin.wait_closed();
    Ok(())
}

/// Takes a block and tells how loud it has been so far. It only looks at the block, so it takes
/// a view, and no `Block` is ever made.
fn meter() -> callgate_client::Result<()> {
    let plugin = Plugin::connect("meter")?;
    let meter = Mutex::new(Meter::new());
    let handler = move |input: View<'_, Block>| meter.lock().process(input.frames());
    let _gate = plugin.provide("Rack.Meter", handler)?;
    plugin.wait_closed();
    Ok(())
}
