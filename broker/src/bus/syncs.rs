//! Plugins that ask how an open gate stands. The broker tells them, and then answers; how many it answers is limited by time. Why they ask
//! is explained in `layout/src/control/gates.rs`.

use std::time::Instant;

use callgate_layout::control::{Failure, GateToPlugin};

use super::{Awaited, Bus, Weight, protocol};
use crate::id::PluginId;
use crate::quota::TokenBucket;

/// How many questions are answered a second where the plugin is not told news anyway: about a twentieth of the broker's time, however many
/// plugins ask.
const RATE: u32 = 4000;
/// How many are answered at once after a quiet time.
const BURST: u32 = 1000;

impl Bus {
    /// A plugin asks how an open gate stands. It may ask once for each gate that it has open, and again only after the answer.
    pub(super) fn sync(
        &mut self,
        from: PluginId,
        open: u32,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match self.registry.ask(from, open) {
            Some(true) => {}
            Some(false) => {
                return Err(protocol(
                    "it asked twice how a gate stands, before the answer",
                ));
            }
            // Another thread of the plugin has closed the gate, and that record came first: nobody waits for an answer.
            None => return Ok(Weight::Charged),
        }
        // Answered at once only if no earlier question waits.
        match self.asked.is_empty() && self.rate(now).take(now) {
            true => self.refresh(from, open, now),
            false => {
                self.asked.insert(from, open);
                self.await_turn(now);
            }
        }
        Ok(Weight::Expected)
    }

    /// Answers as many questions as the rate allows.
    pub(super) fn answer_next(&mut self, now: Instant) {
        while !self.asked.is_empty() && self.rate(now).take(now) {
            if let Some((plugin, open)) = self.asked.next() {
                self.refresh(plugin, open, now);
            }
        }
        self.await_turn(now);
    }

    fn await_turn(&mut self, now: Instant) {
        let next = match self.asked.is_empty() {
            true => None,
            false => self.rate(now).next(now),
        };
        self.deadlines.set(Awaited::Sync, next);
    }

    fn rate(&mut self, now: Instant) -> &mut TokenBucket {
        let full = || TokenBucket::new(RATE, BURST, now);
        self.syncs.get_or_insert_with(full)
    }

    /// The plugin was told how a gate stands: if it had asked, it is answered.
    pub(super) fn answer_sync(&mut self, plugin: PluginId, open: u32) {
        if self.registry.answer(plugin, open) {
            self.asked.remove(plugin, open);
            self.send(plugin, GateToPlugin::Synced { open });
        }
    }
}
