//! The other member of the bus: it provides the gates that children call.
//!
//! | gate | |
//! |---|---|
//! | `host.echo` | gives its arguments back |
//! | `host.echo` | returns its arguments |
//! | `host.refuse` | fails with a code of the library |
//! | `host.long` | returns as many bytes as `bytes` in its argument says |
//! | `host.hold` | is answered when the story says so |
//! | `core.hold` | the same, but plugins need not declare it |
//! | `host.owned` | an exact gate, under no prefix |
//! | services (`data.`, `http.` and so on) | return who called which gate with which arguments |

use std::sync::{Arc, Mutex};

use callgate::Broker;
use callgate_client::dynamic::{Responder, Takes, provide_prefix};
use callgate_client::{Code, Context, Error, HandlerError, Plugin, Provider};
use serde_json::json;

use crate::story::parse;

const SERVICES: [&str; 10] = [
    "data.",
    "schedule.",
    "http.",
    "storage.",
    "broadcast.",
    "presence.",
    "permissions.",
    "resources.",
    "voice.",
    "core.",
];

/// Calls that wait for an answer, with their callers' names.
type Held = Arc<Mutex<Vec<(String, Responder)>>>;

pub(crate) struct Host {
    pub(crate) plugin: Plugin,
    held: Held,
    _provided: Vec<Provider>,
}

impl Host {
    pub(crate) fn new(broker: &Broker) -> Host {
        let builder = Plugin::builder("host").descriptor(broker.connect().expect("a connection"));
        let plugin = builder.display_name("The host");
        let plugin = plugin.connect().expect("it joins");
        let held = Held::default();
        let holds = held.clone();
        let own = Takes::json_later(move |context, arguments, responder| {
            answer(&holds, (&context, arguments), responder);
        });
        let mut provided = vec![provide_prefix(&plugin, "host.", own).expect("its gates")];
        for prefix in SERVICES {
            let holds = held.clone();
            let takes = Takes::json_later(move |context, arguments, responder| {
                answer(&holds, (&context, arguments), responder);
            });
            provided.push(provide_prefix(&plugin, prefix, takes).expect("its services"));
        }
        let gate = plugin.provide("host.owned", |number: u32| number);
        provided.push(gate.expect("a gate"));
        Host {
            plugin,
            held,
            _provided: provided,
        }
    }

    /// How many calls of a plugin wait for an answer.
    pub(crate) fn held(&self, caller: &str) -> usize {
        let held = self.held.lock().expect("a lock");
        held.iter().filter(|(by, _)| by == caller).count()
    }

    /// The first call of a plugin that waits for an answer.
    pub(crate) fn take_held(&self, caller: &str) -> Option<Responder> {
        let mut held = self.held.lock().expect("a lock");
        let at = held.iter().position(|(by, _)| by == caller)?;
        Some(held.remove(at).1)
    }
}

fn answer(held: &Held, (context, arguments): (&Context<'_>, &str), responder: Responder) {
    // Whether anybody still waits for the answer does not matter.
    match context.gate() {
        "host.echo" => drop(responder.reply(arguments.as_bytes())),
        "host.fail" => {
            let error = HandlerError::new("NO_ROW", "there is none");
            drop(responder.fail(error.with_context(json!({"row": 3}))));
        }
        "host.refuse" => drop(responder.refuse(Error::new(Code::Overloaded, "too much"))),
        "host.long" => {
            let bytes = parse(arguments)[0]["bytes"].as_u64().unwrap_or(0);
            let text = "x".repeat(usize::try_from(bytes).unwrap_or(0));
            drop(responder.reply_value(&text.into()));
        }
        "host.hold" | "core.hold" => {
            let caller = context.caller().name().to_owned();
            held.lock().expect("a lock").push((caller, responder));
        }
        gate => {
            let by = context.caller().name();
            let told = json!({"gate": gate, "by": by, "arguments": parse(arguments)});
            drop(responder.reply_value(&told));
        }
    }
}
