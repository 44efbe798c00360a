//! Gates that answer later, from threads that do not belong to the plugin.

use std::sync::{Arc, OnceLock};
use std::thread;

use callgate_client::dynamic::{self, Gate, Responder, Signature};
use callgate_client::{
    Code, Context, Error, GateOptions, HandlerError, Plugin, Result, signature_of,
};
use serde_json::json;

use super::{Own, Stage, lock};

/// The signature of this file's gates that take bytes. Nobody looks into the bytes.
pub fn bytes() -> Signature {
    signature_of::<(Vec<u8>,), Vec<u8>>()
}

/// The signature of a gate of numbers, whose archives this file reads and writes as bytes.
pub fn number() -> Signature {
    signature_of::<(u32,), u32>()
}

pub(super) fn provide(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    // The first byte says what the gate does.
    let own = Arc::downgrade(stage);
    let later =
        dynamic::provide_later(plugin, "S.Later", &bytes(), move |_, request, responder| {
            obey(&own, request, responder);
        })?;
    stage.keep("S.Later", later);
    plugin.set_gate_options("S.LaterAlone", GateOptions::new().limit(1))?;
    let own = Arc::downgrade(stage);
    let alone =
        dynamic::provide_later(plugin, "S.LaterAlone", &bytes(), move |_, _, responder| {
            if let Some(stage) = own.upgrade() {
                lock(&stage.held).push(responder);
            }
        })?;
    stage.keep("S.LaterAlone", alone);
    let next =
        dynamic::provide_later(plugin, "S.LaterNext", &number(), |_, request, responder| {
            let next = plus_one(request);
            thread::spawn(move || responder.reply(&next));
        })?;
    stage.keep("S.LaterNext", next);
    held(plugin, stage)?;
    passing_on(plugin, stage)
}

fn obey(own: &Own, request: &[u8], responder: Responder) {
    match request.first() {
        Some(b'h') => {
            if let Some(stage) = own.upgrade() {
                lock(&stage.held).push(responder);
            }
        }
        Some(b'p') => std::panic::resume_unwind(Box::new("on purpose")),
        Some(b'd') => drop(responder),
        Some(b'f') => {
            let error = HandlerError::new("NO_SUCH_SLOT", "there is none");
            let error = error.with_context(json!({ "highest": 7 }));
            thread::spawn(move || responder.fail(error));
        }
        // As a bridge does whose other side is not ready, or is gone.
        Some(b'r') => {
            let error = Error::new(Code::NotReady, "the other side is not ready");
            thread::spawn(move || responder.refuse(error));
        }
        Some(b'g') => {
            let error = Error::new(Code::ProviderGone, "the other side was killed");
            let error = error.with_context(json!({ "signal": 9 })).maybe_run();
            thread::spawn(move || responder.refuse(error));
        }
        // Answers before the handler has returned.
        Some(b'n') => drop(responder.reply(request)),
        _ => {
            let back = request.to_vec();
            thread::spawn(move || responder.reply(&back));
        }
    }
}

/// The archive of the number in a request plus one.
pub fn plus_one(request: &[u8]) -> [u8; 4] {
    let number = request.try_into().map_or(0, u32::from_le_bytes);
    number.wrapping_add(1).to_le_bytes()
}

/// Gates that count the held calls, say whether none of their callers waits any more, and answer all of them.
fn held(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    let own = Arc::downgrade(stage);
    let count = plugin.provide("S.Held", move || -> (u64, u64) {
        own.upgrade().map_or((0, 0), |stage| {
            let held = lock(&stage.held);
            let given_up = held.iter().filter(|responder| responder.is_cancelled());
            (held.len() as u64, given_up.count() as u64)
        })
    })?;
    stage.keep("S.Held", count);
    let own = Arc::downgrade(stage);
    let release = plugin.provide("S.Release", move || {
        let held = own
            .upgrade()
            .map(|stage| std::mem::take(&mut *lock(&stage.held)));
        thread::spawn(move || {
            for responder in held.into_iter().flatten() {
                // The caller may be gone.
                let _ = responder.reply(b"released");
            }
        });
    })?;
    stage.keep("S.Release", release);
    Ok(())
}

/// Gates that make another call before they answer.
fn passing_on(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    let other = Other::new(stage, "T.Next");
    let call = move |_: Context<'_>, request: &[u8], responder: Responder| {
        let outcome = other.gate().and_then(|other| other.call(request));
        thread::spawn(move || match outcome {
            Ok(number) => responder.reply(&plus_one(&number)),
            Err(error) => responder.fail(error),
        });
    };
    let calls = dynamic::provide_later(plugin, "S.LaterCalls", &number(), call)?;
    stage.keep("S.LaterCalls", calls);
    for (name, other) in [("S.LaterSends", "T.Later"), ("S.LaterSelf", "S.LaterNext")] {
        let other = Other::new(stage, other);
        let send = move |_: Context<'_>, request: &[u8], responder: Responder| match other.gate() {
            Ok(other) => pass_on(&other, request, responder),
            Err(error) => drop(responder.fail(error)),
        };
        let sends = dynamic::provide_later(plugin, name, &number(), send)?;
        stage.keep(name, sends);
    }
    Ok(())
}

/// A gate of numbers that is opened when it is called for the first time: not every test lets this plugin open it, or
/// expects the link.
struct Other {
    own: Own,
    name: &'static str,
    gate: OnceLock<Gate>,
}

impl Other {
    fn new(stage: &Arc<Stage>, name: &'static str) -> Other {
        let (own, gate) = (Arc::downgrade(stage), OnceLock::new());
        Other { own, name, gate }
    }

    fn gate(&self) -> Result<Gate> {
        if let Some(gate) = self.gate.get() {
            return Ok(gate.clone());
        }
        let plugin = self.own.upgrade().and_then(|stage| stage.plugin());
        let closed = || Error::new(Code::Closed, "the plugin has closed");
        let gate = dynamic::open(&*plugin.ok_or_else(closed)?, self.name, &number())?;
        let gate = gate.with_timeout(crate::PATIENCE);
        Ok(self.gate.get_or_init(|| gate).clone())
    }
}

/// Sends a call to another gate, and answers with its result plus one.
pub fn pass_on(other: &Gate, request: &[u8], responder: Responder) {
    match other.send(request) {
        Err(error) => drop(responder.fail(error)),
        Ok(sent) => drop(thread::spawn(move || match sent.wait() {
            Ok(back) => responder.reply(&plus_one(&back)),
            Err(error) => responder.fail(error),
        })),
    }
}
