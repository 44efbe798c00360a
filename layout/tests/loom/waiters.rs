//! FREED-OR-WAITER: waiting for a pending call, as in the client's `room.rs`.

use std::sync::Arc;

use callgate_layout::slot;
use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::thread;

use crate::bench::{Link, Provider, Without, check};

/// The waiters for room on one link. They sleep where those sleep who wait for answers.
struct Space {
    link: Arc<Link>,
    waiters: AtomicU32,
    changes: AtomicU32,
}

impl Space {
    fn new(link: &Arc<Link>) -> Arc<Space> {
        Arc::new(Space {
            link: link.clone(),
            waiters: AtomicU32::new(0),
            changes: AtomicU32::new(0),
        })
    }

    fn freed(&self) {
        // The client's accesses are sequentially consistent instead.
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) != 0 {
            self.changes.fetch_add(1, Ordering::AcqRel);
            self.link.slot_queue.wake();
        }
    }

    /// Frees what can be freed, and tells those who did not see it.
    fn sweep(&self) {
        let before = self.link.pending.in_flight();
        self.link.sweep_alone();
        let is_less = self.link.pending.in_flight() < before;
        if is_less && self.link.without != Without::ThePoint {
            self.freed();
        }
    }

    /// Tries `attempt` until it gives something; only once where there is no time.
    fn wait_for<T>(&self, has_time: bool, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
        self.waiters.fetch_add(1, Ordering::AcqRel);
        let found = loop {
            let seen = self.changes.load(Ordering::Acquire);
            fence(Ordering::SeqCst);
            let words: Vec<_> = self
                .link
                .pending
                .abandoned()
                .map(|slot| (slot, self.state(slot)))
                .collect();
            let found = attempt();
            if found.is_some() || !has_time {
                break found;
            }
            self.link.slot_queue.wait(|| {
                self.changes.load(Ordering::Relaxed) == seen
                    && words.iter().all(|&(slot, seen)| self.state(slot) == seen)
            });
        };
        self.waiters.fetch_sub(1, Ordering::AcqRel);
        found
    }

    fn state(&self, slot: u8) -> u32 {
        slot::state(self.link.replies.as_read(), self.link.geometry, slot)
    }
}

/// One waits for a slot; another waits for something else, and not for long. Meanwhile the
/// answer to a call comes that was given up.
fn two_wait(without: Without) {
    let link = Link::new(1, without);
    let room = Space::new(&link);
    let lost = link.take();
    link.publish(lost, 1);
    link.abandon(lost);
    let provider = thread::spawn({
        let link = link.clone();
        move || {
            let mut provider = Provider::new(&link);
            let call = provider.take();
            provider.answer(call);
        }
    });
    let hasty = thread::spawn({
        let room = room.clone();
        move || {
            room.wait_for::<()>(false, || {
                room.sweep();
                None
            })
        }
    });
    let slot = room.wait_for(true, || {
        room.sweep();
        link.pending.take(0)
    });
    assert!(slot.is_some());
    assert!(hasty.join().unwrap().is_none());
    provider.join().unwrap();
}

/// Who sweeps leaves the slots that are not answered in sight, so that the other goes on
/// watching them, and tells the other of those it freed, for it has put their waiter flags out.
/// At most two preemptions.
#[test]
fn a_late_answer_ends_the_wait_for_a_slot() {
    check(Some(2), || two_wait(Without::Nothing));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_telling_what_was_swept_a_slot_is_waited_for_in_vain() {
    check(Some(2), || two_wait(Without::ThePoint));
}
