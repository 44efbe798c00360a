//! VISIT-OR-CLOSING: a visitor that runs a handler of a pool that closes.

use std::sync::Arc;

use callgate_layout::blocks::{self, Blocks, Region, Run};
use callgate_layout::version::Version;
use callgate_layout::view::{Use, WriteView};
use callgate_layout::visits::Visits;
use loom::thread;

use crate::bench::{Futex, Without, check};

/// A pool in whose process another plugin calls it.
struct Pool {
    version: Version,
    visits: Visits,
    queue: Futex,
    /// Handlers read this, and the thread that has waited for their end writes it: loom fails if nothing orders the
    /// two.
    memory: WriteView,
    place: Run,
    without: Without,
}

const REGION: Region = Region::extent(512);

impl Pool {
    fn new(without: Without) -> Arc<Pool> {
        Arc::new(Pool {
            version: Version::new(),
            visits: Visits::new(),
            queue: Futex::new(),
            memory: WriteView::heap([Use::Data; 64]),
            place: Blocks::new(REGION).allocate(8).unwrap(),
            without,
        })
    }

    /// As the client's direct call: the number that the gate was looked up under is compared once the
    /// visit is counted.
    fn visit(&self) {
        let known = self.version.seen_open().unwrap_or(u64::MAX);
        let may_run = || self.version.seen() == known;
        let too_early = self.without == Without::ThePoint && may_run();
        self.visits.begin();
        if too_early || self.without != Without::ThePoint && may_run() {
            let inbox = self.memory.as_read();
            blocks::read(inbox, REGION, self.place.first(), &mut [0; 8]);
        }
        if self.visits.end(|| self.version.is_closing()) {
            self.queue.wake();
        }
    }

    /// As the pool's last thread: it has seen that the plugin closes.
    fn finish(&self) {
        self.visits
            .await_end(|left| self.queue.wait(|| self.visits.seen() == left));
        blocks::write(&self.memory, REGION, self.place, &[0; 8]);
    }
}

/// The thread that closes the plugin is not the one that waits for the end of visits.
fn close_while_visited(without: Without) {
    let pool = Pool::new(without);
    let visitor = thread::spawn({
        let pool = pool.clone();
        move || pool.visit()
    });
    let closer = thread::spawn({
        let pool = pool.clone();
        move || pool.version.close()
    });
    while !pool.version.is_closing() {
        thread::yield_now();
    }
    pool.finish();
    visitor.join().unwrap();
    closer.join().unwrap();
}

/// A visitor counts itself and looks whether the plugin closes, or the pool sees the visit: no handler
/// runs after the pool has waited for the end of visits, and what it did is seen by the pool.
#[test]
fn no_handler_runs_after_the_end_of_visits() {
    check(None, || close_while_visited(Without::Nothing));
}

/// At most two preemptions.
#[test]
fn two_visitors_end_before_the_pool() {
    check(Some(2), || {
        let pool = Pool::new(Without::Nothing);
        let visitors = [0, 1].map(|_| {
            let pool = pool.clone();
            thread::spawn(move || pool.visit())
        });
        pool.version.close();
        pool.finish();
        for visitor in visitors {
            visitor.join().unwrap();
        }
    });
}

#[test]
#[should_panic]
fn without_looking_after_the_count_a_handler_runs_after_the_end() {
    check(None, || close_while_visited(Without::ThePoint));
}
