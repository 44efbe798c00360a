//! Callgate's large payloads: memory on loan that the caller fills in place, and a handler of
//! raw bytes that reads there.
//!
//! A loan of 64 bytes, `callgate-loan64`, takes part beside that of 1 MiB with the same words
//! first, in the middle and last: what it costs less is what the length costs.

use std::any::Any;
use std::sync::mpsc;
use std::time::Duration;

use callgate_client::{Context, Payload, Plugin, RawSubscriber};

use super::plugins::{Callee, Payload64, connect, start_broker};
use super::{Client, Server, Setup, System};
use crate::Result;
use crate::payload::{self, LARGE_WORDS, large};
use crate::scenario::Scenario;

const GATE: &str = "Bench.Raw";

/// Where a word of the large payload lies in one of `words` words: the first first, the last
/// last.
#[inline]
fn place(at: usize, words: usize) -> usize {
    at * words / LARGE_WORDS
}

/// The callee's end, for payloads of any length.
pub(super) fn server(setup: &Setup) -> Result<Box<dyn Server>> {
    let plugin = connect(setup, "Callee")?;
    let (stop, stopped) = mpsc::channel();
    let handler = move |_: Context<'_>, request: Payload<'_>| {
        let words = request.len() / 8;
        let request = large::read(|at| request.word(place(at, words)).unwrap_or_default());
        if payload::is_stop(&request) {
            // The receiver lives as long as this process.
            let _ = stop.send(());
        }
        Payload64 {
            words: payload::answer(request),
        }
    };
    let provider = plugin.provide_raw(GATE, handler)?;
    Ok(Box::new(Callee::new(stopped, provider, plugin)))
}

/// The caller's end, for payloads of so many words.
pub(super) fn client(setup: &Setup, words: usize) -> Result<Box<dyn Client>> {
    let plugin = connect(setup, "Caller")?;
    let gate = plugin.raw_subscriber(GATE)?;
    gate.wait_ready(Duration::from_secs(5))?;
    Ok(Box::new(Lender {
        gate,
        words,
        _plugin: plugin,
    }))
}

struct Lender {
    gate: RawSubscriber<Payload64>,
    words: usize,
    _plugin: Plugin,
}

impl Client for Lender {
    #[inline]
    fn call(&mut self, number: u64) -> Result<()> {
        let mut loan = self.gate.loan(self.words * 8)?;
        let bytes = loan.bytes();
        large::write(number, |at, word| {
            let at = place(at, self.words) * 8;
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        });
        large::check(number, loan.invoke()?.words)
    }
}

/// A loan of 64 bytes, for comparison with one of 1 MiB.
pub(super) struct SmallLoan;

impl System for SmallLoan {
    fn name(&self) -> &'static str {
        "callgate-loan64"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        scenario == Scenario::LargeHot
    }

    fn host(&self, setup: &Setup) -> Result<Box<dyn Any>> {
        start_broker(setup)
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        server(setup)
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        client(setup, 8)
    }
}
