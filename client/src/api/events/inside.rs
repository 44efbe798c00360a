//! Waits for listeners inside handlers: what the waiting thread keeps from other plugins, and how they are told.

use std::sync::{Arc, Weak};

use callgate_layout::sys::futex::Awaited;

use crate::base::chain;
use crate::call::lasting;
use crate::events::inside::{Inside, Lasting, Said};
use crate::events::peers::Peer;
use crate::serve::dispatcher::serving_thread;
use crate::serve::owners::Identity;
use crate::serve::stack;
use crate::serve::waits::{Reporter, Wait, Word};
use crate::session::plugin_state::PluginState;

/// Finds the handlers that are on the stack of a thread which sends on a topic of this plugin.
#[derive(Debug)]
pub(crate) struct InHandlers {
    /// The plugin that has the topic.
    state: Weak<PluginState>,
}

impl InHandlers {
    pub(crate) fn new(state: &Arc<PluginState>) -> InHandlers {
        InHandlers {
            state: Arc::downgrade(state),
        }
    }
}

impl Inside for InHandlers {
    /// Whether a handler on this thread's stack holds the turn of `peer`'s plugin, so that no other handler of that
    /// plugin can run.
    fn stands_still(&self, peer: &Peer) -> bool {
        let mut is_it = false;
        let identity = Identity {
            bus: peer.bus,
            plugin: peer.who.plugin(),
        };
        stack::each_turn_lock(|turn_lock| is_it |= turn_lock.owners().are(identity));
        is_it
    }

    fn begin(&self) -> Option<Box<dyn Lasting>> {
        let keeps = chain::current().is_some() || serving_thread::dispatchers().is_some();
        let reporter: Arc<dyn Reporter> = self.state.upgrade().filter(|_| keeps)?;
        let wait = Wait::keeping(reporter.clone());
        Some(Box::new(Reported { reporter, wait }))
    }
}

struct Reported {
    reporter: Arc<dyn Reporter>,
    wait: Wait<'static>,
}

impl Lasting for Reported {
    fn tell(&mut self, now: u64, topic: &str, peer: &Peer) {
        // The wait counts as lasting from the first report on.
        self.wait.until(now);
        let whom = (peer.bus, peer.who.plugin());
        let about = || lasting::handled((&*self.reporter, topic), whom);
        self.wait.tell(now, about);
    }

    fn word(&self) -> Option<Awaited<'_>> {
        self.wait.word()
    }

    fn heard(&mut self) -> Option<Said> {
        Some(match self.wait.heard()? {
            Word::Confirm(round) => Said::Confirm(round),
            Word::Deadlock(error) => Said::InVain(error),
        })
    }

    fn confirm(&mut self, round: u64) {
        self.wait.confirm(round);
    }

    fn over(&mut self) {
        self.wait.over();
    }
}
