//! Counts who has said how much in a chat. The same plugin exists beside this one in Python and in JavaScript, where
//! it exchanges JSON on its pipes; this one uses shared memory.
//!
//! ```text
//! callgate call counter-rust.say '{"text": "Hello"}'    # says it to all, as the event chat.rust
//! callgate call counter-rust.say '{"text": "Hello"}'    # sends it to all, as the event chat.rust
//! callgate call counter-rust.counts '{}'                # how often each speaker has spoken
//! callgate call counter-rust.compare '{}'               # the same, and the counts of counter-python
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use callgate_client::{HandlerError, Plugin, Result, SortedMap, gate_type};

/// The event that all three plugins send when somebody speaks.
#[gate_type]
struct Message {
    from: String,
    text: String,
}

/// The parameter of `say`.
#[gate_type]
struct Say {
    text: String,
}

/// The parameter of `counts` and `compare`.
#[gate_type]
struct Asked {
    /// If set, only the count of this speaker.
    #[serde(default)]
    from: Option<String>,
}

/// The result of `compare`.
#[gate_type]
struct Compared {
    mine: SortedMap<String, u64>,
    theirs: SortedMap<String, u64>,
}

/// How often each speaker has spoken.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counts {
    fn count(&self, message: Message) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(message.from).or_default() += 1;
    }

    fn of(&self, asked: &Asked) -> SortedMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = counts.iter().filter(|(name, _)| {
            let from = asked.from.as_ref();
            from.is_none_or(|from| from == *name)
        });
        wanted.map(|(name, count)| (name.clone(), *count)).collect()
    }
}

fn main() -> Result<()> {
    // This uses the connection that the runtime has left for this process.
    let plugin = Plugin::connect("counter-rust")?;
    let counts = Counts::default();
    let heard = counts.clone();
    let _hears = plugin.subscribe("chat.*", move |message: Message| heard.count(message))?;

    let chat = plugin.open_topic::<(Message,)>("chat.rust")?;
    let _say = plugin.provide("counter-rust.say", move |said: Say| {
        let from = "rust".to_owned();
        let event = (Message {
            from,
            text: said.text,
        },);
        chat.send(&event)?;
        Ok::<_, HandlerError>(event.0)
    })?;
    let counted = counts.clone();
    let _counts = plugin.provide("counter-rust.counts", move |asked: Asked| {
        counted.of(&asked)
    })?;
    let others = plugin.subscriber::<(Asked,), SortedMap<String, u64>>("counter-python.counts")?;
    let _compare = plugin.provide("counter-rust.compare", move |asked: Asked| {
        let mine = counts.of(&asked);
        let theirs = others.invoke((asked,))?;
        Ok::<_, HandlerError>(Compared { mine, theirs })
    })?;
    // The library handles calls and events on a thread of its own. This thread waits until the runtime ends the
    // plugin.
    plugin.wait_closed();
    Ok(())
}
