//! PERMIT-ENDED and PERMIT-OR-WAITER: calls of a gate that has no more than one under way.

use std::sync::Arc;

use callgate_layout::blocks::{self, Blocks, Region, Run};
use callgate_layout::pages::Doorbell;
use callgate_layout::permits::{Asks, Entry, Permits};
use callgate_layout::view::{Use, WriteView};
use loom::thread;

use crate::bench::{Futex, Without, check};

/// A gate with one call at a time.
struct Gate {
    permits: Permits,
    visitors: Futex,
    /// The dispatcher's doorbell.
    bell: Doorbell,
    queue: Futex,
    /// Handlers write this: loom fails if nothing orders two of them.
    memory: WriteView,
    place: Run,
    without: Without,
}

const REGION: Region = Region::extent(512);

impl Gate {
    fn new(without: Without) -> Arc<Gate> {
        Arc::new(Gate {
            permits: Permits::new(1),
            visitors: Futex::new(),
            bell: Doorbell::new(WriteView::heap([Use::Narrow])),
            queue: Futex::new(),
            memory: WriteView::heap([Use::Data; 64]),
            place: Blocks::new(REGION).allocate(8).unwrap(),
            without,
        })
    }

    /// As the client: runs the handler, gives the permit back, and tells the threads that wait.
    fn run(&self, permit: u8) {
        blocks::write(&self.memory, REGION, self.place, &[0; 8]);
        let waiting = self.permits.end(permit);
        if self.without == Without::ThePoint {
            return;
        }
        if waiting.visitors {
            self.permits.change();
            self.visitors.wake();
        }
        if waiting.queue {
            self.ring();
        }
    }

    fn ring(&self) {
        self.bell.touch();
        self.queue.wake();
    }

    fn take(&self, chain: u64, asks: Asks) -> Option<u8> {
        match self.permits.take(chain, asks, || chain) {
            Entry::Permit(permit) => Some(permit),
            Entry::Full => None,
            Entry::Inside => panic!("no chain comes back"),
        }
    }

    /// A call of another plugin of the process.
    fn visit(&self, chain: u64) {
        if let Some(permit) = self.take(chain, Asks::First) {
            return self.run(permit);
        }
        let sleep = |seen| {
            self.visitors.wait(|| self.permits.seen() == seen);
            true
        };
        let attempt = || self.take(chain, Asks::Visitor);
        let (permit, tell_queue) = self.permits.wait_for(attempt, sleep);
        if tell_queue {
            self.ring();
        }
        self.run(permit.unwrap());
    }

    /// A call of a link, which waits in the dispatcher's queue. The doorbell is read before the look.
    fn serve(&self, chain: u64) {
        if let Some(permit) = self.take(chain, Asks::First) {
            return self.run(permit);
        }
        self.permits.queue();
        loop {
            let seen = self.bell.value();
            if self.without != Without::SecondLook
                && self.permits.could_take(chain, Asks::Queue)
                && let Some(permit) = self.take(chain, Asks::Queue)
            {
                self.permits.unqueue();
                return self.run(permit);
            }
            self.queue.wait(|| self.bell.value() == seen);
            if let Some(permit) = self.take(chain, Asks::Queue) {
                self.permits.unqueue();
                return self.run(permit);
            }
        }
    }
}

/// Calls of one gate, each on a thread of its own, except the first, which is on this thread.
fn at_once(without: Without, calls: &[fn(&Gate, u64)]) {
    let gate = Gate::new(without);
    let threads: Vec<_> = calls[1..]
        .iter()
        .zip(2..)
        .map(|(call, chain)| {
            let (call, gate) = (*call, gate.clone());
            thread::spawn(move || call(&gate, chain))
        })
        .collect();
    calls[0](&gate, 1);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Each of two visitors runs its handler, one after the other: the one that waits is told.
#[test]
fn two_visitors_have_the_permit_one_after_the_other() {
    check(None, || {
        at_once(Without::Nothing, &[Gate::visit, Gate::visit])
    });
}

/// The same for a visitor and a call in the dispatcher's queue.
#[test]
fn a_visitor_and_a_queued_call_have_it_one_after_the_other() {
    check(None, || {
        at_once(Without::Nothing, &[Gate::serve, Gate::visit])
    });
}

/// At most two preemptions.
#[test]
fn two_visitors_and_a_queued_call_all_have_it() {
    check(Some(2), || {
        at_once(Without::Nothing, &[Gate::serve, Gate::visit, Gate::visit]);
    });
}

#[test]
#[should_panic]
fn who_is_not_told_sleeps_for_ever() {
    check(None, || {
        at_once(Without::ThePoint, &[Gate::visit, Gate::visit])
    });
}

#[test]
#[should_panic]
fn without_a_look_after_it_was_said_a_queued_call_sleeps_for_ever() {
    check(None, || {
        at_once(Without::SecondLook, &[Gate::serve, Gate::visit])
    });
}
