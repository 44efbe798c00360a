//! The plugins: all the code that an author of a plugin writes.
//!
//! Each is a process of its own that connects to the bus, provides one gate, and answers its calls until the bus
//! ends. The host finds it by the gate's name; the handler's parameters and result are the whole interface. A plugin
//! sends news as events, and shows values that change all the time in a cell. Calls come one after the other, on a
//! thread of the library. A handler that keeps state between calls puts it into a mutex.

use std::path::Path;

use callgate_client::{HandlerError, Plugin, Result, Topic, TopicOptions, View};
use parking_lot::Mutex;

use crate::block::Block;
use crate::cli::Role;
use crate::delay::Delay;
use crate::error::Error;
use crate::filter::{self, Filter};
use crate::instrument;
use crate::meter::{LEVEL, Levels, Meter};
use crate::response;
use crate::wav::Clip;

/// Runs one of the plugins until the host's bus ends.
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

/// Makes a block of music from the block's number alone.
fn instrument() -> Result<()> {
    let plugin = Plugin::connect("instrument")?;
    let chord = Parameter::new(&plugin, Role::Instrument, "chord")?;
    let handler = move |number: u64| {
        chord.is(instrument::root(number))?;
        Ok::<_, HandlerError>(instrument::render(number))
    };
    let _gate = plugin.provide("Rack.Instrument", handler)?;
    plugin.wait_closed();
    Ok(())
}

/// Takes the place of the instrument and plays a recording. The host sees no difference.
fn player(clip: Clip) -> Result<()> {
    let plugin = Plugin::connect("instrument")?;
    let _gate = plugin.provide("Rack.Instrument", move |number: u64| clip.block(number))?;
    plugin.wait_closed();
    Ok(())
}

/// Takes a block and returns it filtered. Its state ends with its process: when it is killed and started again, it
/// begins at rest.
fn filter() -> Result<()> {
    let plugin = Plugin::connect("filter")?;
    let cutoff = Parameter::new(&plugin, Role::Filter, "cutoff")?;
    let filter = Mutex::new(Filter::new());
    let handler = move |number: u64, input: Block| {
        cutoff.is(filter::cutoff_in_steps(number))?;
        Ok::<_, HandlerError>(filter.lock().process(number, &input))
    };
    let _gate = plugin.provide("Rack.Filter", handler)?;
    plugin.wait_closed();
    Ok(())
}

/// Takes a block and returns it with echoes, according to the host's impulse response, which it reads in place.
fn delay() -> Result<()> {
    let plugin = Plugin::connect("delay")?;
    let feedback = Parameter::new(&plugin, Role::Delay, "feedback")?;
    // The delay has no parameters that change, so it sends this once.
    feedback.is(response::FEEDBACK)?;
    // The delay owns the guard, so the samples stay mapped as long as the delay lives.
    let response = plugin.shares().get::<[f32]>(response::TAG)?;
    let delay = Mutex::new(Delay::new(response));
    let handler = move |input: Block| delay.lock().process(&input);
    let _gate = plugin.provide("Rack.Delay", handler)?;
    plugin.wait_closed();
    Ok(())
}

/// Takes a block and writes into a cell how loud the audio has been so far. Any plugin may read the cell at any time.
/// It only reads the block, so it takes a view, and no `Block` is made.
fn meter() -> Result<()> {
    let plugin = Plugin::connect("meter")?;
    let level = plugin.shares().cell_writer::<Levels>(LEVEL)?;
    let meter = Mutex::new(Meter::new());
    let handler = move |input: View<'_, Block>| level.set(&meter.lock().process(input.frames()));
    let _gate = plugin.provide("Rack.Meter", handler)?;
    plugin.wait_closed();
    Ok(())
}

/// A parameter, whose changes are sent as events with its name and value. Sending costs almost nothing while nobody
/// listens. A later listener gets the last change.
struct Parameter {
    name: &'static str,
    value: Mutex<Option<f32>>,
    changed: Topic<(String, f32)>,
}

impl Parameter {
    fn new(plugin: &Plugin, of: Role, name: &'static str) -> Result<Parameter> {
        let options = TopicOptions::new().history(1);
        Ok(Parameter {
            name,
            value: Mutex::new(None),
            changed: plugin.topic_with(of.changed(), options)?,
        })
    }

    /// Sends the value if it differs from the last one.
    fn is(&self, value: f32) -> Result<()> {
        match self.value.lock().replace(value) {
            Some(before) if before == value => Ok(()),
            _ => self.changed.send(&(self.name.to_owned(), value)),
        }
    }
}
