//! `callgate emit`

use std::io::{self, Write};

use callgate_client::dynamic::{self, Signature, Topic};
use callgate_client::{Code, Error, Plugin, Result, TopicOptions};
use clap::Args;
use serde_json::json;

use crate::parameters::Parameters;
use crate::{Common, Outcome};
use callgate::shown::{shown, shown_json};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The topic
    gate: String,
    #[command(flatten)]
    parameters: Parameters,
}

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let event = options.parameters.array()?;
    let plugin = common.connect("emit")?;
    let topic = offer(&plugin, &options.gate, event.len())?;
    // Counts every plugin that has subscribed before, except those that do not answer the broker.
    let listeners = topic.subscription_count();
    topic.send(event.as_bytes())?;
    topic.flush(common.timeout())?;
    say(common, options, listeners)?;
    Ok(())
}

/// Offers an open topic, so that others may send on it meanwhile; or an owned one, if only that is allowed.
fn offer(plugin: &Plugin, gate: &str, length: usize) -> Result<Topic> {
    let anything = Signature {
        params: None,
        result: None,
        types: Vec::new(),
    };
    let own = TopicOptions::new().capacity(capacity(length));
    let offer = |options| dynamic::topic_json(plugin, gate, &anything, options);
    let offered = match offer(&own.clone().open()) {
        Err(error) if error.code() == Code::PermissionDenied => {
            // If both fail, return the first error: it names the right that a policy must grant to senders.
            offer(&own).map_err(|_| error)
        }
        offered => offered,
    };
    offered.map_err(|error| match error.code() {
        Code::AlreadyProvided => {
            let text = format!("{}, and only its owner sends its events", error.message());
            Error::new(error.code(), text).at_gate(gate)
        }
        _ => error,
    })
}

/// A topic's capacity for an event of so many bytes of JSON. An event that is too long is refused when it is sent.
fn capacity(length: usize) -> usize {
    const LEAST: usize = 256 << 10;
    const MOST: usize = 16 << 20;
    /// More bytes than an event has besides its parameters.
    const HEAD: usize = 64;
    // The ring of JSON has four times the capacity, and an event may take a quarter of that.
    let needed = length.saturating_add(HEAD).min(MOST);
    needed.next_power_of_two().max(LEAST)
}

fn say(common: &Common, options: &Options, listeners: usize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let topic = &*options.gate;
    match listeners {
        _ if common.json => {
            let document = json!({ "topic": topic, "listeners": listeners });
            writeln!(out, "{}", shown_json(&document))?;
        }
        0 => writeln!(
            io::stderr(),
            "nobody listens to {} who could take this event",
            shown(topic)
        )?,
        1 => writeln!(out, "1 listener has it")?,
        many => writeln!(out, "{many} listeners have it")?,
    }
    out.flush()
}
