//! Plugins that ask how an open gate stands: they are answered when they were told, as often as the
//! broker's time allows. Why they ask is written in `layout/src/control/gates.rs`.

use std::time::Instant;

use callgate_layout::control::{Failure, GateToPlugin};

use super::{Awaited, Bus, Weight, protocol};
use crate::id::PluginId;
use crate::quota::TokenBucket;

/// How many are answered a second for whom there is no news: about a twentieth of the broker's time,
/// whoever asks and however many there are.
const RATE: u32 = 4000;
/// How many at once after a quiet time.
const BURST: u32 = 1000;

impl Bus {
    /// A plugin asks. It can do so once for each gate that it has open: more often only after the answer.
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
            // It has closed the gate from another thread, and that came first. Nobody waits.
            None => return Ok(Weight::Charged),
        }
        // Nobody is overtaken who waits.
        match self.asked.is_empty() && self.rate(now).take(now) {
            true => self.refresh(from, open, now),
            false => {
                self.asked.insert(from, open);
                self.await_turn(now);
            }
        }
        Ok(Weight::Expected)
    }

    /// Answers those whose turn it is.
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

    /// The plugin was told how the gate stands: answers it, if it asked.
    pub(super) fn answer_sync(&mut self, plugin: PluginId, open: u32) {
        if self.registry.answer(plugin, open) {
            self.asked.remove(plugin, open);
            self.send(plugin, GateToPlugin::Synced { open });
        }
    }
}
