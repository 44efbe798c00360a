//! Which of a plugin's memberships are used and which are closed. Pure decisions: no threads, no input or output.
//!
//! ```text
//! stage      calls are made over its links        ends when
//! current    yes                                  the plugin has joined another bus
//! used       if the current bus has no way yet    its time is up and there is a broker; or a third used membership begins;
//!                                                 or it has no link left and nobody listens to the plugin there
//! closing    no; calls already taken finish       its dispatcher has let it go, and no call from this plugin is under way
//! ```

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

/// How long links of an older broker are still used, at most, once the plugin has joined a new one.
pub(super) const DRAINING: Duration = Duration::from_secs(5);
/// How often the plugin looks whether calls over links of an older broker are still under way, and whether peers
/// there still listen to its events.
const LINGERING: Duration = Duration::from_millis(200);

/// Questions to a membership that decide how long it is kept.
pub(super) trait Used {
    /// Whether it has links, or the plugin takes events from rings of its broker.
    fn has_links(&self) -> bool;

    /// Whether peers there listen to the plugin's events or may read its cells. Peers that leave do not announce
    /// it, so this has to be asked again.
    fn is_heard(&self) -> bool;

    /// Whether anything of it is still used.
    fn is_used(&self) -> bool {
        self.has_links() || self.is_heard()
    }

    /// Whether its dispatcher has finished with it: no call of it will be answered any more.
    fn is_let_go(&self) -> bool;

    /// Whether no thread of this process waits for a call over its links.
    fn is_idle(&self) -> bool;
}

/// The memberships of a plugin: the current one, and older ones that are not finished yet.
#[derive(Debug)]
pub(super) struct Course<T> {
    current: T,
    /// Sorted by age, the oldest first.
    older: Vec<Older<T>>,
}

/// A membership of an older broker.
#[derive(Debug)]
struct Older<T> {
    membership: T,
    stage: Stage,
}

/// How far an older membership is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its links are used until this time, and longer while there is no broker.
    Used(Instant),
    /// No more calls are taken from its links, and none are made over them.
    Closing,
}

/// What the caller of [`Course::look`] has to do.
#[derive(Debug)]
pub(super) struct Due<T> {
    /// Memberships that are to be closed now.
    pub(super) close: Vec<T>,
    /// Memberships that are finished and are to be dropped.
    pub(super) over: Vec<T>,
    /// When to look again. A dispatcher that lets a membership go asks for a look by itself.
    pub(super) next: Option<Instant>,
}

impl<T: Used + Clone> Course<T> {
    pub(super) fn new(current: T) -> Course<T> {
        Course {
            current,
            older: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn current(&self) -> &T {
        &self.current
    }

    /// Makes `joined` the current membership. Returns an older one that has to be closed now, because only one
    /// older membership may be used at a time.
    pub(super) fn join(&mut self, joined: T, now: Instant) -> Option<T> {
        let due = now + DRAINING;
        for older in &mut self.older {
            if let Stage::Used(until) = &mut older.stage {
                *until = due;
            }
        }
        let before = std::mem::replace(&mut self.current, joined);
        // If the membership before is not used, the next look closes it.
        let is_one_too_many = before.is_used();
        let is_used =
            |older: &&mut Older<T>| older.stage != Stage::Closing && older.membership.is_used();
        let mut used = self.older.iter_mut().filter(|_| is_one_too_many);
        let oldest = used.find(is_used);
        let closed = oldest.map(|older| {
            older.stage = Stage::Closing;
            older.membership.clone()
        });
        self.older.push(Older {
            membership: before,
            stage: Stage::Used(due),
        });
        closed
    }

    /// Returns what is to be done at this time.
    pub(super) fn look(&mut self, now: Instant, is_away: bool) -> Due<T> {
        let mut due = Due {
            close: Vec::new(),
            over: Vec::new(),
            next: None,
        };
        self.older.retain_mut(|older| {
            let membership = &older.membership;
            if let Stage::Used(until) = older.stage {
                let is_over = !is_away && until <= now;
                let has_links = membership.has_links();
                if (has_links || membership.is_heard()) && !is_over {
                    let next = match has_links {
                        true => until,
                        false => until.min(now + LINGERING),
                    };
                    // Without a broker nothing is due; the plugin looks again when it has joined one.
                    due.wake((!is_away).then_some(next));
                    return true;
                }
                older.stage = Stage::Closing;
                due.close.push(membership.clone());
                // Closing may have been all that was left, so look again at once.
                due.wake(Some(now));
                return true;
            }
            if !membership.is_let_go() {
                // The dispatcher asks for another look when it has let it go.
                return true;
            }
            if !membership.is_idle() {
                due.wake(Some(now + LINGERING));
                return true;
            }
            due.over.push(membership.clone());
            false
        });
        due
    }
}

impl<T> Due<T> {
    fn wake(&mut self, at: Option<Instant>) {
        self.next = self.next.into_iter().chain(at).min();
    }
}
