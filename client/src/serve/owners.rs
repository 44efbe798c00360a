//! The plugins to which a turn lock or a pool's threads belong, for threads that report a wait to the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use callgate_layout::control::Held;
use callgate_layout::pages::Doorbell;
use parking_lot::Mutex;

use super::outstanding::Outstanding;
use crate::base::chain::thread_number;

/// Names a plugin across buses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The number of its bus.
    pub(crate) bus: u64,
    pub(crate) plugin: u64,
}

/// The plugins that share a dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    state: Mutex<State>,
    /// Whether any of their gates is re-entrant.
    has_reentrant: AtomicBool,
    /// See [`Owners::pumped_by`].
    pumped_by: AtomicU64,
    /// While their dispatcher sleeps because it found nothing to serve: the values at which it has looked.
    rest: Mutex<Option<Rest>>,
}

/// A dispatcher's thread has looked at everything that it could serve, and sleeps while none of these values
/// changes.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Its bells, with their values before it looked.
    pub(super) bells: Vec<(Arc<Doorbell>, u32)>,
    /// The turn lock's count of changes before it looked; `None` if no call waited for that.
    pub(super) turns: Option<u32>,
}

#[derive(Debug, Default)]
struct State {
    plugins: Vec<Identity>,
    outstanding: Arc<Outstanding>,
}

/// Takes the place of a thread's number if several threads have pumped.
const SEVERAL: u64 = u64::MAX;

impl Owners {
    /// Replaces the plugins.
    pub(super) fn set(
        &self,
        plugins: impl Iterator<Item = Identity>,
        outstanding: &Arc<Outstanding>,
    ) {
        // The dispatcher will wake up and look at the new ones too.
        self.set_rest(None);
        let mut state = self.state.lock();
        state.plugins = plugins.collect();
        state.outstanding = outstanding.clone();
    }

    /// Whether a plugin is one of them.
    pub(crate) fn are(&self, plugin: Identity) -> bool {
        self.state.lock().plugins.contains(&plugin)
    }

    pub(super) fn set_reentrant(&self, has_reentrant: bool) {
        self.has_reentrant.store(has_reentrant, Ordering::Relaxed);
    }

    /// Whether any of their gates is re-entrant, as far as their dispatcher knows.
    pub(super) fn has_reentrant(&self) -> bool {
        self.has_reentrant.load(Ordering::Relaxed)
    }

    /// Whether a call of a re-entrant gate was taken and waits to be run.
    pub(super) fn has_queued_reentrant(&self) -> bool {
        self.state.lock().outstanding.has_reentrant()
    }

    /// Notes that this thread pumps.
    pub(super) fn note_pumping(&self) {
        let by = match self.pumped_by() {
            0 => thread_number(),
            by if by == thread_number() => by,
            _ => SEVERAL,
        };
        self.pumped_by.store(by, Ordering::Relaxed);
    }

    /// Forgets who has pumped, because another dispatcher uses the turn lock from here on.
    pub(super) fn forget_pumping(&self) {
        self.pumped_by.store(0, Ordering::Relaxed);
    }

    /// The number of the only thread that has ever pumped; 0 if none has, and a number that no thread has if
    /// several have.
    pub(super) fn pumped_by(&self) -> u64 {
        self.pumped_by.load(Ordering::Relaxed)
    }

    /// Whether other threads than this have pumped, and so may pump again.
    pub(super) fn may_others_pump(&self) -> bool {
        !matches!(self.pumped_by(), by if by == 0 || by == thread_number())
    }

    /// Notes that their dispatcher sleeps with these values, or with `None` that it does not sleep.
    pub(super) fn set_rest(&self, rest: Option<Rest>) {
        *self.rest.lock() = rest;
    }

    /// Whether their dispatcher has found nothing to serve, and nothing has come in since. `turns` is the turn
    /// lock's present count of changes.
    pub(super) fn is_at_rest(&self, turns: u32) -> bool {
        self.rest.lock().as_ref().is_some_and(|rest| {
            let is_as_it_was = |(bell, then): &(Arc<Doorbell>, u32)| bell.value() == *then;
            rest.turns.is_none_or(|then| then == turns) && rest.bells.iter().all(is_as_it_was)
        })
    }

    /// What a thread holds that has one of `of` turns or threads of theirs, as the broker of a bus is told; `None`
    /// if none of the plugins is on that bus.
    pub(crate) fn held(&self, bus: u64, of: u32) -> Option<Held> {
        let state = self.state.lock();
        let plugin = state
            .plugins
            .iter()
            .find(|plugin| plugin.bus == bus)?
            .plugin;
        // Calls may also be answered by threads that hold none.
        let of = match state.outstanding.are_any() {
            true => 0,
            false => of,
        };
        Some(Held {
            plugin,
            gate: None,
            of,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that pumped was taken for the only one, although another one would pump next.
    #[test]
    fn whoever_has_pumped_may_do_it_again() {
        let owners = Owners::default();
        assert!(!owners.may_others_pump(), "nobody has");
        owners.note_pumping();
        owners.note_pumping();
        assert_eq!(owners.pumped_by(), thread_number());
        assert!(!owners.may_others_pump());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(owners.may_others_pump());
                owners.note_pumping();
                assert!(owners.may_others_pump());
            });
        });
        assert!(owners.may_others_pump());
        owners.note_pumping();
        assert!(owners.may_others_pump(), "the other one may still");
    }
}
