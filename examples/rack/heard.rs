//! What the host hears of its plugins beside their answers: the meter's levels, and which parameters have changed.
//!
//! It subscribes once, before the plugins are started. A plugin that is killed and started again is heard again.

use std::sync::Arc;
use std::time::Duration;

use callgate_client::{EventContext, EventNotice, Plugin, Subscription};
use parking_lot::{Condvar, Mutex};

use crate::cli::Role;
use crate::meter::Levels;

/// What was heard so far; it changes as long as this lives.
pub(crate) struct Heard {
    shared: Arc<Shared>,
    _subscriptions: Vec<Subscription>,
}

#[derive(Default)]
struct Shared {
    meter: Mutex<Metered>,
    metered: Condvar,
    changes: Mutex<[Changes; Role::ALL.len()]>,
}

/// What the meter said last.
#[derive(Clone, Copy, Default)]
struct Metered {
    levels: Levels,
    /// How many blocks it has heard.
    blocks: u64,
}

/// What a plugin has said of its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// How often one has changed, or was set at the start.
    pub(crate) count: u64,
    /// How many processes in a row were heard.
    pub(crate) processes: u64,
}

impl Heard {
    /// Hears all plugins, whenever they come. Handlers run on the host's own thread for them, and none is missed from
    /// here on.
    pub(crate) fn subscribe(host: &Plugin) -> callgate_client::Result<Heard> {
        let shared = Arc::<Shared>::default();
        let meter = shared.clone();
        let levels = move |event: EventContext<'_>, levels: Levels| {
            // It sends one event a block, and they are counted.
            meter.metered(levels, event.number() + 1);
        };
        let mut subscriptions = vec![host.subscribe(Role::Meter.gate(), levels)?];
        for role in Role::ALL {
            let (changes, senders) = (shared.clone(), shared.clone());
            let subscription = host
                .subscription(role.changed())
                .on_notice(move |notice| senders.noticed(role, notice))
                .subscribe(move |_name: String, _value: f32| changes.changed(role))?;
            subscriptions.push(subscription);
        }
        Ok(Heard {
            shared,
            _subscriptions: subscriptions,
        })
    }

    /// The levels that were heard last.
    pub(crate) fn levels(&self) -> Levels {
        self.shared.meter.lock().levels
    }

    /// The levels after so many blocks, if they come in time.
    pub(crate) fn levels_after(&self, blocks: u64, timeout: Duration) -> Option<Levels> {
        let mut meter = self.shared.meter.lock();
        let is_behind = |meter: &mut Metered| meter.blocks < blocks;
        let waited = self
            .shared
            .metered
            .wait_while_for(&mut meter, is_behind, timeout);
        (!waited.timed_out()).then_some(meter.levels)
    }

    /// What each plugin has said of its parameters.
    pub(crate) fn changes(&self) -> [Changes; Role::ALL.len()] {
        *self.shared.changes.lock()
    }
}

impl Shared {
    fn metered(&self, levels: Levels, blocks: u64) {
        *self.meter.lock() = Metered { levels, blocks };
        self.metered.notify_all();
    }

    fn changed(&self, role: Role) {
        self.changes.lock()[role as usize].count += 1;
    }

    fn noticed(&self, role: Role, notice: &EventNotice) {
        if matches!(notice, EventNotice::Here { .. }) {
            self.changes.lock()[role as usize].processes += 1;
        }
    }
}
