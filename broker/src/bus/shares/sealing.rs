//! Sealing versions against every change. The shell does it on threads of its own, for a few versions of each maker at once.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::Failure;

use crate::bus::{Awaited, Bus};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::shares::{Kind, Progress};

impl Bus {
    /// Has a version sealed now, or puts it into its maker's queue if the maker has as many under way as it may.
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

    /// The shell has finished with sealing a version, whatever came of it: begins with the next one of the same maker. Returns whether the
    /// making still waits for this: false if it has ended meanwhile.
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

    /// Called when a version is sealed and all of its memory is allocated: it is saved first, if it has to be, and then registered.
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

    /// Called when a version could not be sealed, is not allocated in full, or its memory is not what the plugin has said.
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

    /// The time for sealing has passed: the maker keeps the kernel from sealing. The making ends, and so does the maker's session.
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
