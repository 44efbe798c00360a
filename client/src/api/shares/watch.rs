//! The handle of a watched tag.

use std::fmt;
use std::sync::Arc;

use crate::serve::dispatcher::Dispatcher;
use crate::session::plugin_state::PluginState;
use crate::shares::watched::Watched;

/// A tag that is watched for as long as this lives; see [`Shares::watch`](crate::Shares::watch).
///
/// Once the drop has returned, the function runs no more, unless this is dropped inside that function.
#[must_use = "dropping a watch ends it at once"]
pub struct ShareWatch {
    state: Arc<PluginState>,
    dispatcher: Arc<Dispatcher>,
    watched: Arc<Watched>,
}

impl ShareWatch {
    pub(super) fn new(
        state: &Arc<PluginState>,
        dispatcher: &Arc<Dispatcher>,
        watched: Arc<Watched>,
    ) -> ShareWatch {
        ShareWatch {
            state: state.clone(),
            dispatcher: dispatcher.clone(),
            watched,
        }
    }

    /// The tag.
    pub fn tag(&self) -> &str {
        &self.watched.tag
    }
}

impl Drop for ShareWatch {
    fn drop(&mut self) {
        if !self.state.is_here() {
            return;
        }
        self.state.end_share_watch(&self.watched);
        let feeds = self.watched.close();
        // Where handlers run one at a time, any other handler that has begun lies below this one on the stack, and
        // cannot end while this waits.
        if !self.dispatcher.is_pool() && self.dispatcher.is_inside() {
            return;
        }
        for feed in feeds.iter().filter(|feed| !feed.is_here()) {
            feed.await_idle();
        }
    }
}

impl fmt::Debug for ShareWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareWatch")
            .field("tag", &self.tag())
            .finish_non_exhaustive()
    }
}
