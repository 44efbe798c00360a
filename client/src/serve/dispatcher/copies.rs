//! Copies of what may be called: renewed when they are out of date. The old ones are dropped where nothing is
//! borrowed or locked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Dispatcher, Door};
use crate::base::chain;
use crate::events::feed::Feed;
use crate::serve::frame::{Frame, Table};
use crate::serve::member::Member;
use crate::serve::scheduler::{Notes, Scheduler};

/// Copies of what may be called that are out of date.
#[must_use = "plugins are let go when it is discarded"]
pub(crate) struct Old {
    tables: Vec<Table>,
    spare: Vec<Frame>,
    feeds: Vec<Arc<Feed>>,
    /// Plugins that are let go once these copies are dropped, because then none of their handlers runs here; and
    /// the errors to be logged for their links.
    left: Vec<Arc<Member>>,
    notes: Notes,
}

impl Dispatcher {
    /// Renews the copies of links, grants and gates if any of them has changed.
    #[inline]
    pub(super) fn refresh(&self, door: &Door<'_>, frame: &mut Frame) {
        if let Some(old) = self.take_copies(door, frame) {
            self.discard_copies(old);
        }
    }

    /// As [`Dispatcher::refresh`], but returns the old copies.
    #[inline]
    pub(super) fn take_copies(&self, door: &Door<'_>, frame: &mut Frame) -> Option<Old> {
        let version = self.changes.version();
        (version != frame.version).then(|| self.take_copies_of(door, frame, version))
    }

    #[cold]
    pub(super) fn take_copies_of(&self, door: &Door<'_>, frame: &mut Frame, version: u64) -> Old {
        self.changes.note(version);
        door.with(|scheduler| {
            self.refresh_scheduler(scheduler, version);
            let tables = frame.refresh(scheduler.sides(), version);
            // The frame may have been in use when a link's last call ended.
            scheduler.may_have_drained();
            self.old_copies(scheduler, tables)
        })
    }

    pub(super) fn old_copies(&self, scheduler: &mut Scheduler, tables: Vec<Table>) -> Old {
        Old {
            tables,
            spare: scheduler.take_spare(),
            feeds: scheduler.take_old_feeds(),
            left: match chain::nesting() {
                0 => scheduler.take_left(),
                _ => Vec::new(),
            },
            notes: scheduler.take_parting_notes(),
        }
    }

    /// As [`Dispatcher::refresh`], with a call in the frame. The call is answered with an error if its plugin is
    /// served no more.
    #[inline(always)]
    pub(super) fn refresh_for_call(&self, door: &Door<'_>, frame: &mut Frame) {
        if let Some(old) = self.take_copies(door, frame) {
            frame.refuse_gone(&old.tables);
            self.discard_copies(old);
        }
    }

    /// Drops copies that are out of date; called where nothing is borrowed or locked.
    #[cold]
    pub(crate) fn discard_copies(&self, old: Old) {
        let Old {
            tables,
            spare,
            feeds,
            left,
            notes,
        } = old;
        self.say(notes);
        self.discard((tables, spare, feeds));
        left.iter().for_each(|member| member.let_go());
    }

    /// Keeps a frame for the next call. If the plugin closes, or the frame is out of date, it is dropped with its
    /// handlers instead, because nobody would renew it before the next change. Also logs the errors that its calls
    /// have left.
    pub(super) fn keep_frame(&self, door: &Door<'_>, frame: Frame) {
        let (old, notes, is_owed_less) = door.with(|scheduler| {
            let notes = scheduler.take_notes();
            let is_current = frame.version == scheduler.version() || frame.version == 0;
            if self.changes.is_closing() || !is_current {
                return (Some(frame), notes, scheduler.may_have_drained());
            }
            scheduler.keep(frame);
            (None, notes, false)
        });
        if is_owed_less {
            self.wake_leader();
        }
        self.say(notes);
        if let Some(old) = old {
            self.discard(old);
        }
    }

    /// Has the scheduler notice plugins and links that came and went.
    pub(super) fn refresh_scheduler(&self, scheduler: &mut Scheduler, version: u64) {
        if version == scheduler.version() {
            return;
        }
        self.changes.look_at_each();
        scheduler.refresh(self.take_members(), version);
        self.turn_lock
            .owners()
            .set_reentrant(scheduler.has_reentrant());
        self.has_feeds
            .store(scheduler.has_feeds(), Ordering::Relaxed);
    }
}
