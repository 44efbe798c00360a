//! Versions are sealed: a few of each maker at once, by their makers or on threads of the shell.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::Failure;

use crate::bus::{Awaited, Bus};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::shares::{Kind, Progress};

impl Bus {
    /// Has a version sealed when it is its turn.
    pub(super) fn wait_for_seal(&mut self, number: u64, now: Instant) {
        self.deadlines.set(Awaited::Making(number), None);
        let Some(making) = self.shares.making_mut(number) else {
            return;
        };
        making.progress = Progress::Waiting;
        let plugin = making.plugin;
        if self.shares.sealing.may_begin(plugin, number) {
            self.begin_sealing(number, now);
        }
    }

    fn begin_sealing(&mut self, number: u64, now: Instant) {
        let due = Some(now + self.sealing_time());
        let Some(making) = self.shares.making_mut(number) else {
            return;
        };
        making.progress = Progress::Sealing;
        let (from, share, len) = (making.plugin, making.share, making.len);
        let memory = AnyMemory::Version(number);
        self.effects.push_back(match making.kind {
            Kind::Return { .. } => Effect::Examine {
                from,
                version: number,
                share,
                len,
            },
            _ => Effect::Seal(from, memory),
        });
        self.deadlines.set(Awaited::Memory(memory), due);
    }

    /// The shell is done with sealing a version, whatever came of it: it is the next one's turn. Whether that is still of interest.
    fn is_sealing_over(&mut self, number: u64, now: Instant) -> bool {
        let memory = AnyMemory::Version(number);
        self.deadlines.set(Awaited::Memory(memory), None);
        let Some(making) = self.shares.making_mut(number) else {
            return false;
        };
        if making.progress != Progress::Sealing {
            return false;
        }
        let plugin = making.plugin;
        self.seal_next(plugin, now);
        true
    }

    pub(super) fn seal_next(&mut self, plugin: PluginId, now: Instant) {
        if let Some(next) = self.shares.sealing.next(plugin) {
            self.begin_sealing(next, now);
        }
    }

    /// A version is sealed, and all of it is there.
    pub(in crate::bus) fn version_sealed(&mut self, number: u64, now: Instant) {
        let making = self.shares.making(number);
        let is_copied = making.is_some_and(|making| making.progress == Progress::Copying);
        if !is_copied && !self.is_sealing_over(number, now) {
            return;
        }
        match self.must_be_saved(number) {
            true => self.wait_to_be_saved(number, now),
            false => self.register(number, now),
        }
    }

    /// A version cannot be sealed, is not all there, or is not what its plugin says.
    pub(in crate::bus) fn version_not_sealed(
        &mut self,
        number: u64,
        failure: &Failure,
        now: Instant,
    ) {
        if self.is_sealing_over(number, now) {
            self.lose_making(number, (failure, true), now);
        }
    }

    /// A maker keeps the kernel from sealing.
    pub(in crate::bus) fn sealing_is_late(&mut self, number: u64, now: Instant) {
        let Some(making) = self.shares.making(number) else {
            return;
        };
        let (plugin, time) = (making.plugin, self.sealing_time());
        let message = format!(
            "the share {} could not be sealed within {time:?}",
            making.tag
        );
        let failure = Failure::new(Code::Timeout, message);
        self.lose_making(number, (&failure, true), now);
        self.late_within(plugin, "let its share be sealed", time);
    }
}
