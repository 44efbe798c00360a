//! The threads that start programs. Exec can hang, and the broker's own thread must not wait for it.
//!
//! The kernel kills a program when the thread that started it ends, so these threads live as long as the broker.

use std::collections::VecDeque;
use std::io;

use super::commands::{Outcome, WayBack};
use crate::helper::Helper;

/// How many threads there are at most; if so many programs hang in exec, no other can be started.
pub(super) const MOST: usize = 8;

/// Starts one program. It gets the number of the thread that it runs on; its outcome must [free](Spawners::free) that thread.
pub(super) type Job = Box<dyn FnOnce(usize) -> Outcome + Send>;

/// Threads that start programs; each starts one at a time.
#[derive(Default)]
pub(super) struct Spawners {
    threads: Vec<Thread>,
    /// Jobs for which no thread is idle, each with the number of the start.
    waiting: VecDeque<(u64, Job)>,
}

struct Thread {
    helper: Helper<Outcome>,
    is_busy: bool,
}

impl Thread {
    fn run(&mut self, number: usize, job: Job) {
        self.is_busy = true;
        self.helper.run(move || job(number));
    }
}

impl Spawners {
    /// Has a thread do a job: an idle one, or a new one, or, if there are enough, the next one that becomes idle.
    pub(super) fn run(&mut self, way_back: &WayBack, id: u64, job: Job) -> io::Result<()> {
        if let Some(number) = self.threads.iter().position(|thread| !thread.is_busy) {
            self.threads[number].run(number, job);
            return Ok(());
        }
        let number = self.threads.len();
        if number >= MOST {
            self.waiting.push_back((id, job));
            return Ok(());
        }
        let mut thread = Thread {
            helper: way_back.helper("callgate-spawn")?,
            is_busy: false,
        };
        thread.run(number, job);
        self.threads.push(thread);
        Ok(())
    }

    /// A thread has finished its job; it begins with the next one that waits.
    pub(super) fn free(&mut self, number: usize) {
        let Some(thread) = self.threads.get_mut(number) else {
            return;
        };
        thread.is_busy = false;
        if let Some((_, job)) = self.waiting.pop_front() {
            thread.run(number, job);
        }
    }

    /// Forgets a job that waits. Returns `false` if it does not wait any more.
    pub(super) fn forget(&mut self, id: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.waiting.len() < before
    }
}

impl Drop for Spawners {
    fn drop(&mut self) {
        for thread in self.threads.drain(..) {
            // Exec may hang for ever. If it starts the program after all, dropping the outcome, which nobody takes any more, kills that
            // program.
            if thread.is_busy {
                thread.helper.leave();
            }
        }
    }
}
