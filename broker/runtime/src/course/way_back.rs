//! How a life's bridge, its pipes and its process reach the loop, and the worker.

use std::sync::atomic::{AtomicBool, Ordering};

use super::mailbox::Mailbox;
use super::message::Message;
use super::worker::Jobs;
use crate::bridge::{Job, Tell};

/// How what belongs to a life reaches the loop, and the worker.
#[derive(Debug)]
pub(super) struct WayBack {
    life: u64,
    mailbox: Mailbox<Message>,
    jobs: Jobs,
    /// Whether the loop was woken for the bridge and has not given it its turn since.
    is_woken: AtomicBool,
    /// Whether the loop was told that the child is too slow.
    is_unhealthy: AtomicBool,
}

impl WayBack {
    pub(super) fn new(life: u64, mailbox: Mailbox<Message>, jobs: Jobs) -> WayBack {
        WayBack {
            life,
            mailbox,
            jobs,
            is_woken: AtomicBool::new(false),
            is_unhealthy: AtomicBool::new(false),
        }
    }

    /// The bridge's turn begins: what the loop is woken for from here on makes another one.
    pub(super) fn begins_turn(&self) {
        self.is_woken.store(false, Ordering::Release);
    }

    /// Has the loop look at the queue to the child.
    pub(super) fn stdin_changed(&self) {
        let life = self.life;
        self.mailbox.tell(Message::Stdin { life });
    }

    /// Has the loop look what has become of a process that the broker started.
    pub(super) fn process_changed(&self) {
        let life = self.life;
        self.mailbox.tell(Message::Process { life });
    }
}

impl Tell for WayBack {
    fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            let life = self.life;
            self.mailbox.tell(Message::Wake { life });
        }
    }

    fn work(&self, job: Job) {
        self.jobs.run(job);
    }

    fn unhealthy(&self, subscription: &str) {
        if !self.is_unhealthy.swap(true, Ordering::AcqRel) {
            self.mailbox.tell(Message::Unhealthy {
                life: self.life,
                subscription: subscription.to_owned(),
            });
        }
    }
}
