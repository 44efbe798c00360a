//! Which of a plugin's memberships are used, and which are let go: decisions, without what they are about.
//!
//! ```text
//! stage      calls are made over its links        left when
//! current    yes                                  the plugin has joined another bus
//! used       where there is no other way yet      its time is up and there is a broker, a third membership that is used
//!                                                 begins, or no link is left and nobody listens
//! closing    those that were taken are answered   its dispatcher has let it go, and no call is under way from here
//! ```

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

/// How long links of an older broker are used at most, once there is a new one.
pub(super) const DRAINING: Duration = Duration::from_secs(5);
/// After how long calls are looked for that still are under way over links of an older broker, and those who listen there
/// to the plugin's events.
const LINGERING: Duration = Duration::from_millis(200);

/// What is asked of a membership.
pub(super) trait Used {
    /// Whether it has links, or events are taken from rings of its broker.
    fn has_links(&self) -> bool;

    /// Whether anybody listens there to events of the plugin, or may read its cells. Who has left does not say so.
    fn is_heard(&self) -> bool;

    /// Whether there is anything of it that is used.
    fn is_used(&self) -> bool {
        self.has_links() || self.is_heard()
    }

    /// Whether its dispatcher answers none of its calls any more.
    fn is_let_go(&self) -> bool;

    /// Whether nobody here waits for a call over its links.
    fn is_idle(&self) -> bool;
}

/// A plugin's memberships.
#[derive(Debug)]
pub(super) struct Course<T> {
    current: T,
    /// The oldest first.
    older: Vec<Older<T>>,
}

/// A membership of an older broker.
#[derive(Debug)]
struct Older<T> {
    membership: T,
    stage: Stage,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its links are used until then, and as long as there is no broker.
    Used(Instant),
    /// No more calls are taken from its links, and none are made.
    Closing,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Due<T> {
    /// Memberships that begin to close.
    pub(super) close: Vec<T>,
    /// Memberships of which nothing is used any more.
    pub(super) over: Vec<T>,
    /// When to look again, besides when a dispatcher has let one go.
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

    /// The plugin has joined another bus. Gives back a membership that is to be closed because there would be too
    /// many.
    pub(super) fn join(&mut self, joined: T, now: Instant) -> Option<T> {
        let due = now + DRAINING;
        for older in &mut self.older {
            if let Stage::Used(until) = &mut older.stage {
                *until = due;
            }
        }
        let before = std::mem::replace(&mut self.current, joined);
        // One that is not used closes at the next look.
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

    /// What is to be done by now.
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
                    // While there is no broker, the next look is when it is back.
                    due.wake((!is_away).then_some(next));
                    return true;
                }
                older.stage = Stage::Closing;
                due.close.push(membership.clone());
                // Closing it may be all that there is to do.
                due.wake(Some(now));
                return true;
            }
            if !membership.is_let_go() {
                // Its dispatcher says when it has.
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
