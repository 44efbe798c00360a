//! What a thread that waits for listeners has to do with the handlers on its stack. Where those are known is above this floor.

use std::fmt::Debug;
use std::sync::Arc;

use callgate_layout::sys::futex::Awaited;

use super::peers::Peer;
use crate::base::error::Error;

/// Knows the handlers on this thread's stack, and what they keep from others.
pub(crate) trait Inside: Debug + Send + Sync {
    /// Whether a plugin's handlers cannot run before the one that runs on this thread has returned.
    fn stands_still(&self, peer: &Peer) -> bool;

    /// A wait that begins on this thread; `None` where that keeps nothing from others.
    fn begin(&self) -> Option<Box<dyn Lasting>>;
}

/// A wait inside a handler, of which the broker is told if it lasts.
pub(crate) trait Lasting {
    /// Tells the broker if it has lasted: that a plugin is to handle events of a topic.
    fn tell(&mut self, now: u64, topic: &str, peer: &Peer);

    /// A word that changes when the broker says something.
    fn word(&self) -> Option<Awaited<'_>>;

    /// What the broker says, if anything. The cursors are to be looked at after this.
    fn heard(&mut self) -> Option<Said>;

    /// The wait stands, in this round: that look has shown it.
    fn confirm(&mut self, round: u64);

    /// It is over, or is for another plugin from here on.
    fn over(&mut self);
}

/// What the broker says of such a wait.
pub(crate) enum Said {
    /// Whether it stands, in this round.
    Confirm(u64),
    /// It is in vain: the plugin waits for what this thread keeps.
    InVain(Error),
}

/// The wait of one thread, for one plugin after the other.
pub(super) struct Waiting {
    lasting: Option<Box<dyn Lasting>>,
    /// Whom the broker may have been told of.
    of: Option<Arc<Peer>>,
}

/// What came of a look into the mailbox.
#[derive(Default)]
pub(super) struct Asked {
    round: Option<u64>,
    /// A plugin that is waited for in vain, and why.
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

    /// What the broker asks and says. The cursors are to be looked at after this, and [`Waiting::answer`] after that.
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

    /// Answers after that look, which has found that this plugin is the one to be waited for.
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

    /// Tells the broker if it has lasted.
    pub(super) fn tell(&mut self, now: u64, topic: &str) {
        if let (Some(lasting), Some(peer)) = (&mut self.lasting, &self.of) {
            lasting.tell(now, topic, peer);
        }
    }
}
