//! Whose a turn is, or a pool's threads: for who tells the broker of a wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callgate_layout::control::Held;
use parking_lot::Mutex;

use super::outstanding::Outstanding;

/// A plugin, as all buses know it.
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
}

#[derive(Debug, Default)]
struct State {
    plugins: Vec<Identity>,
    outstanding: Arc<Outstanding>,
}

impl Owners {
    /// From now on it is these.
    pub(super) fn set(
        &self,
        plugins: impl Iterator<Item = Identity>,
        outstanding: &Arc<Outstanding>,
    ) {
        let mut state = self.state.lock();
        state.plugins = plugins.collect();
        state.outstanding = outstanding.clone();
    }

    pub(super) fn set_reentrant(&self, has_reentrant: bool) {
        self.has_reentrant.store(has_reentrant, Ordering::Relaxed);
    }

    /// Whether any of their gates is re-entrant, as far as their dispatcher knows.
    pub(super) fn has_reentrant(&self) -> bool {
        self.has_reentrant.load(Ordering::Relaxed)
    }

    /// What a thread holds that has one of so many turns or threads of theirs, as the broker of a bus is
    /// told; `None` where no plugin of theirs is on that bus.
    pub(crate) fn held(&self, bus: u64, of: u32) -> Option<Held> {
        let state = self.state.lock();
        let plugin = state
            .plugins
            .iter()
            .find(|plugin| plugin.bus == bus)?
            .plugin;
        // Others than those who hold it may answer calls.
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
