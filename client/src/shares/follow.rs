//! How followers of a share's versions learn what its page cannot show: that the share now exists, that another
//! broker has another page for it, that it has ended for good.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;

use callgate_layout::sys::futex::{self, Awaited};
use parking_lot::Mutex;

use crate::base::error::Error;
use crate::base::thread;

/// The followers of all shares that a plugin follows.
#[derive(Default)]
pub(crate) struct Follows(Mutex<Vec<Weak<Follow>>>);

impl Follows {
    pub(crate) fn add(&self, follow: &Arc<Follow>) {
        let mut all = self.0.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(follow));
    }

    /// Has each follower look again.
    pub(crate) fn changed(&self) {
        let all: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        all.iter().for_each(|follow| follow.changed());
    }
}

/// One follower of the versions of a share.
#[derive(Default)]
pub(crate) struct Follow {
    /// Counts changes. A follower's thread sleeps on it as a private futex.
    word: AtomicU32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The question to the broker that is not answered yet: the membership, and the number of the request
    /// `WatchShare`.
    watch: Option<(u64, u32)>,
    /// Why the broker refused to answer.
    refused: Option<Error>,
    /// The wakers of tasks that wait.
    wakers: Vec<Waker>,
}

impl Follow {
    /// The value of the word. To be read before the look, so that later changes end the wait.
    pub(crate) fn seen(&self) -> u32 {
        self.word.load(Ordering::Acquire)
    }

    /// The word and value on which a thread sleeps that has read `seen`.
    pub(crate) fn awaited(&self, seen: u32) -> Awaited<'_> {
        Awaited::private(&self.word, seen)
    }

    /// Wakes all threads and tasks that wait, because there is something to look at.
    pub(crate) fn changed(&self) {
        self.word.fetch_add(1, Ordering::Release);
        futex::wake_private(&self.word);
        let wakers = std::mem::take(&mut self.state.lock().wakers);
        wakers.into_iter().for_each(thread::wake);
    }

    /// Handles the broker's answer to a request: how the tag stands has changed, or the request was refused.
    pub(crate) fn answered(&self, request: u32, refused: Option<Error>) {
        let mut state = self.state.lock();
        if state.watch.is_some_and(|(_, other)| other == request) {
            state.watch = None;
            state.refused = refused;
        }
        drop(state);
        self.changed();
    }

    /// Takes the reason why the broker refused to answer; each reason is returned once.
    pub(crate) fn refused(&self) -> Option<Error> {
        self.state.lock().refused.take()
    }

    /// Whether the caller has to send this request: it has not if that membership's broker was asked already.
    pub(crate) fn begin_watch(&self, of: u64, request: u32) -> bool {
        let mut state = self.state.lock();
        let is_asked = state.watch.is_some_and(|(other, _)| other == of);
        if !is_asked {
            state.watch = Some((of, request));
        }
        !is_asked
    }

    /// Forgets the open question, and returns it so that the caller can take it back from the broker.
    pub(crate) fn end_watch(&self) -> Option<(u64, u32)> {
        self.state.lock().watch.take()
    }

    /// Has the waker called at the next change.
    pub(crate) fn wake(&self, waker: &Waker) {
        // Cloned before the lock is taken: cloning a waker runs code of the program.
        let waker = waker.clone();
        let mut state = self.state.lock();
        if !state.wakers.iter().any(|other| other.will_wake(&waker)) {
            state.wakers.push(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use callgate_layout::Code;

    use super::*;

    /// Each look at a share that had not changed asked the broker once more.
    #[test]
    fn a_broker_is_asked_once_until_it_has_answered() {
        let follow = Follow::default();
        assert!(follow.begin_watch(1, 10));
        assert!(!follow.begin_watch(1, 11));
        assert!(follow.begin_watch(2, 12), "another broker is asked anew");
        let why = || Some(Error::new(Code::PermissionDenied, "no"));
        follow.answered(10, why());
        assert!(
            !follow.begin_watch(2, 13),
            "that was the other one's answer"
        );
        assert!(follow.refused().is_none());
        follow.answered(12, why());
        assert!(follow.refused().is_some() && follow.refused().is_none());
        assert!(follow.begin_watch(2, 14));
        assert_eq!(
            (follow.end_watch(), follow.end_watch()),
            (Some((2, 14)), None)
        );
    }

    /// Who had followed a share and did not any more was remembered for as long as its plugin lived.
    #[test]
    fn who_follows_no_more_is_forgotten() {
        let (all, stays) = (Follows::default(), Arc::default());
        all.add(&stays);
        for _ in 0..3 {
            all.add(&Arc::default());
        }
        assert_eq!(all.0.lock().len(), 2);
        let before = stays.seen();
        all.changed();
        assert_ne!(stays.seen(), before);
    }
}
