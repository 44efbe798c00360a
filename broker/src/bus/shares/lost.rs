//! Makings that end without a version: given up by the maker, late, refused, or without memory.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, ShareToPlugin};

use crate::bus::{Awaited, Bus, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::shares::{Kind, Making, Progress, Twin};

impl Bus {
    /// The maker says that it will not finish a making.
    pub(super) fn maker_gave_up(
        &mut self,
        from: PluginId,
        number: u64,
        failure: &Failure,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let Some(making) = self.own_making(from, number)? else {
            return self.acknowledged(from);
        };
        if !matches!(making.progress, Progress::Called | Progress::Writing) {
            return Err(protocol("it gave up a share that it had written"));
        }
        let weight = self.acknowledged(from)?;
        self.lose_making(number, (failure, false), now);
        Ok(weight)
    }

    /// The time of a making has passed. For a twin whose maker rests, the rest is over and the conversion begins; every other making ends.
    pub(in crate::bus) fn maker_is_late(&mut self, number: u64, now: Instant) {
        let Some(making) = self.shares.making(number) else {
            return;
        };
        if making.progress == Progress::Resting {
            return self.go_on_with_twin(number, now);
        }
        let (label, tag) = (self.label_of(making.plugin), &making.tag);
        let message = match making.progress {
            Progress::Called => format!("{label} took too long to make the share {tag}"),
            _ => format!("{label} took too long to write the share {tag}"),
        };
        let failure = Failure::new(Code::Timeout, message);
        self.lose_making(number, (&failure, true), now);
    }

    /// Called when the shell could not make the memory of a version, or the page of its share.
    pub(in crate::bus) fn version_not_made(
        &mut self,
        number: u64,
        failure: &Failure,
        now: Instant,
    ) {
        if let Some(making) = self.shares.making_mut(number) {
            // There is no memory to let go, and the maker was never told of any.
            making.charged = None;
            let before = std::mem::replace(&mut making.progress, Progress::Called);
            let (plugin, share) = (making.plugin, making.share);
            if before == Progress::Writing {
                // Counted as sent when the effect was queued; the shell did not send `Write`.
                self.unsent(plugin, 1);
            }
            if self.shares.share(share).is_none() {
                // The shell may have made the share's page before it failed.
                self.effects.push_back(Effect::EndShare(share));
            }
        }
        self.lose_making(number, (failure, true), now);
    }

    /// Removes a making from all tables, and lets go the memory that was made for it.
    pub(super) fn take_making(&mut self, number: u64) -> Option<Making> {
        self.deadlines.set(Awaited::Making(number), None);
        self.deadlines
            .set(Awaited::Memory(AnyMemory::Version(number)), None);
        let mut making = self.shares.remove_making(number)?;
        if let Some(charged) = making.charged.take() {
            self.let_memory_go(number, making.plugin, charged.bus);
            if self.shares.share(making.share).is_none() {
                self.effects.push_back(Effect::EndShare(making.share));
            }
        }
        self.unlink_making(number, &making);
        Some(making)
    }

    /// Removes a making that has ended from its tag, its share, its original (of a twin), and the queue of versions to be sealed.
    pub(super) fn unlink_making(&mut self, number: u64, making: &Making) {
        self.shares.sealing.forget_version(making.plugin, number);
        if let Some(tag) = self.shares.known_tag_mut(&making.tag) {
            tag.creation.take_if(|creation| *creation == number);
            tag.saving.retain(|saved| *saved != number);
            if making.is_publication() {
                tag.publishing.remove(&making.plugin);
            }
        }
        if let Some(share) = self.shares.share_mut(making.share) {
            share.publications.remove(&number);
        }
        if let Kind::Twin { of, .. } = making.kind
            && let Some(of) = self.shares.version_mut(of)
        {
            of.twin.take_if(|twin| *twin == Twin::Made(number));
        }
        if let Kind::Create(wish) = &making.kind {
            self.shares.over(wish.plugin, wish.request);
        }
    }

    /// Ends a making without a version. If `is_told`, the maker is told of it. Then the next plugin in the row makes the share, and those
    /// that wait for a twin are refused.
    pub(super) fn lose_making(
        &mut self,
        number: u64,
        (failure, is_told): (&Failure, bool),
        now: Instant,
    ) {
        let Some(making) = self.shares.making(number) else {
            return;
        };
        let (plugin, progress) = (making.plugin, making.progress);
        let Some(making) = self.take_making(number) else {
            return;
        };
        if progress == Progress::Sealing {
            self.seal_next(plugin, now);
        }
        // The maker of a resting twin was not asked for it yet, and knows nothing of it.
        if is_told && progress != Progress::Resting {
            self.tell_lost(number, (&making, progress), failure);
        }
        if progress == Progress::Saving {
            self.save_next(&making.tag, now);
        }
        self.next_in_row(&making.tag, now);
        self.review_use(making.share, now);
        self.shares.tidy(&making.tag);
        if let Kind::Twin {
            of, waiting, since, ..
        } = making.kind
        {
            if progress != Progress::Resting {
                self.has_converted(of, since, now);
            }
            self.refuse_twin(waiting, plugin, failure);
        }
    }

    fn tell_lost(
        &mut self,
        number: u64,
        (making, progress): (&Making, Progress),
        failure: &Failure,
    ) {
        let failure = failure.clone();
        match making.kind {
            // The maker of a return knows only the number of its request, not that of the making.
            Kind::Return { request, .. } => self.answer(making.plugin, request, Some(failure)),
            Kind::Publish { request, short, .. } if short || progress == Progress::Called => {
                self.answer(making.plugin, request, Some(failure));
            }
            _ => {
                let (to, making) = (making.plugin, number);
                let dropped = ShareToPlugin::Dropped { making, failure };
                self.tell(to, dropped);
            }
        }
    }
}
