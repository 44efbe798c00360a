//! What a thread that waits for listeners needs to know about the handlers on its stack. The implementation is in
//! `api`, where those are known.

use std::fmt::Debug;
use std::sync::Arc;

use callgate_layout::sys::futex::Awaited;

use super::peers::Peer;
use crate::base::error::Error;

/// Knows the handlers on this thread's stack, and what they keep from other plugins.
pub(crate) trait Inside: Debug + Send + Sync {
    /// Whether `peer`'s handlers cannot run before the handler on this thread has returned.
    fn stands_still(&self, peer: &Peer) -> bool;

    /// Begins a wait of this thread; `None` if the wait keeps nothing from other plugins.
    fn begin(&self) -> Option<Box<dyn Lasting>>;
}

/// A wait inside a handler. If it lasts, the broker is told, so that it can find circles of waits.
pub(crate) trait Lasting {
    /// Tells the broker that this thread waits until `peer` has handled events of a topic, if the wait has lasted
    /// long enough.
    fn tell(&mut self, now: u64, topic: &str, peer: &Peer);

    /// The word that changes when the broker answers.
    fn word(&self) -> Option<Awaited<'_>>;

    /// The broker's answer, if there is a new one. The caller looks at the cursors after this.
    fn heard(&mut self) -> Option<Said>;

    /// Tells the broker that the wait still stands in this round: a look after the question has shown it.
    fn confirm(&mut self, round: u64);

    /// Tells the broker that this wait is over; another one for another plugin may follow.
    fn over(&mut self);
}

/// What the broker says about such a wait.
pub(crate) enum Said {
    /// It asks whether the wait still stands, in this round.
    Confirm(u64),
    /// The wait is in vain: the plugin itself waits for something that this thread keeps from it.
    InVain(Error),
}

/// The waits of one thread for listeners, one plugin at a time.
pub(super) struct Waiting {
    lasting: Option<Box<dyn Lasting>>,
    /// The plugin that it waits for, of which the broker may have been told.
    of: Option<Arc<Peer>>,
}

/// What the broker has said at the last look.
#[derive(Default)]
pub(super) struct Asked {
    round: Option<u64>,
    /// A plugin that is waited for in vain, with the error.
    pub(super) in_vain: Option<(Arc<Peer>, Error)>,
}

impl Waiting {
    pub(super) fn begin(inside: &dyn Inside) -> Waiting {
        let (lasting, of) = (inside.begin(), None);
        Waiting { lasting, of }
    }

    pub(super) fn word(&self) -> Option<Awaited<'_>> {
        self.lasting.as_ref()?.word()
    }

    /// Reads what the broker asks and says. After this the caller looks at the cursors, and then calls
    /// [`Waiting::answer`].
    pub(super) fn asked(&mut self) -> Asked {
        let said = self.lasting.as_mut().and_then(|lasting| lasting.heard());
        match said {
            None => Asked::default(),
            Some(Said::Confirm(round)) => Asked {
                round: Some(round),
                in_vain: None,
            },
            Some(Said::InVain(why)) => Asked {
                round: None,
                in_vain: self.of.take().map(|of| (of, why)),
            },
        }
    }

    /// Answers the broker after that look. `slowest` is the plugin that the look has found to be farthest behind.
    pub(super) fn answer(&mut self, asked: &Asked, slowest: Option<&Arc<Peer>>) {
        let Some(lasting) = &mut self.lasting else {
            return;
        };
        let is_same = match (&self.of, slowest) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        if !is_same {
            lasting.over();
            self.of = slowest.cloned();
        } else if let Some(round) = asked.round {
            lasting.confirm(round);
        }
    }

    /// Tells the broker about the wait, if it has lasted.
    pub(super) fn tell(&mut self, now: u64, topic: &str) {
        if let (Some(lasting), Some(peer)) = (&mut self.lasting, &self.of) {
            lasting.tell(now, topic, peer);
        }
    }
}
