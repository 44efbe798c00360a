//! A Callgate plugin over shared memory: it has one action, and says what it did as an event.
//!
//! ```text
//! callgate run .                                        # here: a bus with this plugin on it, which is built first
//! callgate call my-plugin.hello '{"name": "Ada"}'       # elsewhere: the action
//! callgate listen my-plugin.greeted                     # its events
//! ```
#![forbid(unsafe_code)]

use callgate_client::{HandlerError, Plugin, gate_type};

/// What the action takes.
#[gate_type]
struct Hello {
    name: String,
}

/// What it gives.
#[gate_type]
struct Greeting {
    text: String,
}

fn main() -> callgate_client::Result<()> {
    // Over the connection that the runtime has left for this process.
    let plugin = Plugin::connect("my-plugin")?;
    let greeted = plugin.topic::<(String,)>("my-plugin.greeted")?;
    let _hello = plugin.provide("my-plugin.hello", move |params: Hello| {
        let text = format!("Hello, {}!", params.name);
        greeted.send(&(params.name,))?;
        Ok::<_, HandlerError>(Greeting { text })
    })?;
    // Calls are handled on a thread of the plugin's; this one waits until it is sent away.
    plugin.wait_closed();
    Ok(())
}
