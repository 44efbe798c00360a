//! What the broker of one membership was asked about shares, and who gets the answers.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::desk::{Desk, News};
use crate::base::error::Error;
use crate::shares::follow::Follow;
use crate::shares::made::Type;
use crate::shares::used::{Made, Used};
use crate::shares::watched::Watched;

/// Who gets the answer to a request.
#[derive(Clone)]
pub(crate) enum Asker {
    /// A thread that waits for it.
    Thread(Arc<Desk>),
    /// No thread: a plugin that has come back continues this use, in this type.
    Return(Arc<Used>, Type),
    /// A follower of a tag's versions.
    Follow(Arc<Follow>),
    /// A watch of a tag.
    Watched(Arc<Watched>),
}

/// What one broker was asked.
#[derive(Default)]
pub(crate) struct Asked(Mutex<Known>);

#[derive(Default)]
struct Known {
    requests: HashMap<u32, Asker>,
    makings: HashMap<u64, Arc<Desk>>,
    shares: HashMap<u64, Weak<Used>>,
    /// Versions that this plugin has made, by the broker's numbers for them.
    made: HashMap<u64, Weak<Made>>,
}

impl Asked {
    pub(crate) fn ask(&self, request: u32, asker: Asker) {
        self.0.lock().requests.insert(request, asker);
    }

    /// Who gets the answer to a request. The request stays.
    pub(crate) fn asker(&self, request: u32) -> Option<Asker> {
        self.0.lock().requests.get(&request).cloned()
    }

    /// Whether a use of this tag was returned to the broker and not answered yet.
    pub(crate) fn is_returning(&self, tag: &str) -> bool {
        let is_its = |asker: &Asker| matches!(asker, Asker::Return(used, _) if &*used.tag == tag);
        self.0.lock().requests.values().any(is_its)
    }

    /// Whether a request with this number waits for an answer.
    pub(crate) fn has(&self, request: u32) -> bool {
        self.0.lock().requests.contains_key(&request)
    }

    /// Removes a request that was answered for good, or whose answer nobody waits for any more.
    pub(crate) fn forget(&self, request: u32) -> Option<Asker> {
        self.0.lock().requests.remove(&request)
    }

    /// Notes a making, and the desk of the thread that makes the version.
    pub(crate) fn begin_making(&self, making: u64, desk: &Arc<Desk>) {
        self.0.lock().makings.insert(making, desk.clone());
    }

    pub(crate) fn making(&self, making: u64) -> Option<Arc<Desk>> {
        self.0.lock().makings.get(&making).cloned()
    }

    /// Removes the makings whose thread does not use this desk any more.
    pub(crate) fn close(&self, desk: &Arc<Desk>) {
        let is_other = |_: &u64, other: &mut Arc<Desk>| !Arc::ptr_eq(other, desk);
        self.0.lock().makings.retain(is_other);
    }

    /// Notes the broker's number for a version that this plugin has made.
    pub(crate) fn made(&self, version: u64, made: &Arc<Made>) {
        let mut known = self.0.lock();
        known.made.retain(|_, made| made.strong_count() > 0);
        known.made.insert(version, Arc::downgrade(made));
    }

    /// A version that this plugin has made, if it is still kept.
    pub(crate) fn version_made(&self, version: u64) -> Option<Arc<Made>> {
        self.0.lock().made.get(&version)?.upgrade()
    }

    /// Notes the broker's number for a use.
    pub(crate) fn use_share(&self, share: u64, used: &Arc<Used>) {
        let mut known = self.0.lock();
        known.shares.retain(|_, used| used.strong_count() > 0);
        known.shares.insert(share, Arc::downgrade(used));
    }

    pub(crate) fn share(&self, share: u64) -> Option<Arc<Used>> {
        self.0.lock().shares.get(&share)?.upgrade()
    }

    /// Fails everything, because the connection is over.
    pub(crate) fn end(&self, reason: &Error) {
        let known = std::mem::take(&mut *self.0.lock());
        for asker in known.requests.into_values() {
            // Followers and watches are told when there is another broker, or when there will be none any more.
            if let Asker::Thread(desk) = asker {
                desk.put(News::Failed(reason.clone()));
            }
        }
        for desk in known.makings.into_values() {
            desk.put(News::Failed(reason.clone()));
        }
    }
}
