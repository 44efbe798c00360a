//! What the broker of one membership was asked about shares, and who is to hear the answers.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::desk::{Desk, News};
use crate::base::error::Error;
use crate::shares::follow::Follow;
use crate::shares::made::Type;
use crate::shares::used::{Made, Used};
use crate::shares::watched::Watched;

/// Who hears the answer to a request.
#[derive(Clone)]
pub(crate) enum Asker {
    /// A thread that waits for it.
    Thread(Arc<Desk>),
    /// Nobody: a use is taken up again by a plugin that has come back, in this type.
    Return(Arc<Used>, Type),
    /// Who follows a tag.
    Follow(Arc<Follow>),
    /// Who watches one.
    Watched(Arc<Watched>),
}

/// What was asked of one broker.
#[derive(Default)]
pub(crate) struct Asked(Mutex<Known>);

#[derive(Default)]
struct Known {
    requests: HashMap<u32, Asker>,
    makings: HashMap<u64, Arc<Desk>>,
    shares: HashMap<u64, Weak<Used>>,
    /// By the broker's numbers of the versions.
    made: HashMap<u64, Weak<Made>>,
}

impl Asked {
    pub(crate) fn ask(&self, request: u32, asker: Asker) {
        self.0.lock().requests.insert(request, asker);
    }

    /// Who asked; that is not forgotten.
    pub(crate) fn asker(&self, request: u32) -> Option<Asker> {
        self.0.lock().requests.get(&request).cloned()
    }

    /// Whether a use of a tag is about to be taken up again.
    pub(crate) fn is_returning(&self, tag: &str) -> bool {
        let is_its = |asker: &Asker| matches!(asker, Asker::Return(used, _) if &*used.tag == tag);
        self.0.lock().requests.values().any(is_its)
    }

    /// Whether something was asked by this request.
    pub(crate) fn has(&self, request: u32) -> bool {
        self.0.lock().requests.contains_key(&request)
    }

    /// A request was answered for good, or nobody waits for the answer any more.
    pub(crate) fn forget(&self, request: u32) -> Option<Asker> {
        self.0.lock().requests.remove(&request)
    }

    /// A making has begun, of which this thread is told.
    pub(crate) fn begin_making(&self, making: u64, desk: &Arc<Desk>) {
        self.0.lock().makings.insert(making, desk.clone());
    }

    pub(crate) fn making(&self, making: u64) -> Option<Arc<Desk>> {
        self.0.lock().makings.get(&making).cloned()
    }

    /// Nobody takes anything from this desk any more.
    pub(crate) fn close(&self, desk: &Arc<Desk>) {
        let is_other = |_: &u64, other: &mut Arc<Desk>| !Arc::ptr_eq(other, desk);
        self.0.lock().makings.retain(is_other);
    }

    /// A version was made here, which this broker knows by a number.
    pub(crate) fn made(&self, version: u64, made: &Arc<Made>) {
        let mut known = self.0.lock();
        known.made.retain(|_, made| made.strong_count() > 0);
        known.made.insert(version, Arc::downgrade(made));
    }

    /// A version that was made here, if it is kept.
    pub(crate) fn version_made(&self, version: u64) -> Option<Arc<Made>> {
        self.0.lock().made.get(&version)?.upgrade()
    }

    /// The broker knows a use by this number.
    pub(crate) fn use_share(&self, share: u64, used: &Arc<Used>) {
        let mut known = self.0.lock();
        known.shares.retain(|_, used| used.strong_count() > 0);
        known.shares.insert(share, Arc::downgrade(used));
    }

    pub(crate) fn share(&self, share: u64) -> Option<Arc<Used>> {
        self.0.lock().shares.get(&share)?.upgrade()
    }

    /// The connection is over: nothing is answered any more.
    pub(crate) fn end(&self, reason: &Error) {
        let known = std::mem::take(&mut *self.0.lock());
        for asker in known.requests.into_values() {
            // The others are told when there is another broker, or none any more.
            if let Asker::Thread(desk) = asker {
                desk.put(News::Failed(reason.clone()));
            }
        }
        for desk in known.makings.into_values() {
            desk.put(News::Failed(reason.clone()));
        }
    }
}
