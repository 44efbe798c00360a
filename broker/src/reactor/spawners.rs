//! The threads that start programs: exec can hang, and the broker's own thread must not.
//!
//! The kernel kills what a thread has started when that thread ends, so these live as long as the
//! broker does.

use std::collections::VecDeque;
use std::io;

use super::commands::{Outcome, WayBack};
use crate::helper::Helper;

/// The most threads, and so the most programs that may hang in exec before no other can be started.
pub(super) const MOST: usize = 8;

/// Starts one program; told which thread it runs on, which its outcome has to
/// [free](Spawners::free).
pub(super) type Job = Box<dyn FnOnce(usize) -> Outcome + Send>;

/// Threads that start programs, one at a time each.
#[derive(Default)]
pub(super) struct Spawners {
    threads: Vec<Thread>,
    /// What every thread is too busy for, with the number of the start.
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
    /// Has a thread do a job: one that is idle, or a new one, or the next to be idle where there are
    /// enough.
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

    /// A thread has done its job, and does the next one that waits.
    pub(super) fn free(&mut self, number: usize) {
        let Some(thread) = self.threads.get_mut(number) else {
            return;
        };
        thread.is_busy = false;
        if let Some((_, job)) = self.waiting.pop_front() {
            thread.run(number, job);
        }
    }

    /// Forgets a job that still waits; `false` where it does not wait any more.
    pub(super) fn forget(&mut self, id: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.waiting.len() < before
    }
}

impl Drop for Spawners {
    fn drop(&mut self) {
        for thread in self.threads.drain(..) {
            // Exec may hang for ever. What it starts after all is killed by its job's outcome, which
            // nobody takes any more.
            if thread.is_busy {
                thread.helper.leave();
            }
        }
    }
}
