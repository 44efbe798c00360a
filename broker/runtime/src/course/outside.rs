//! What the loop does not do itself: the bus.

use std::sync::Arc;

use super::Plan;
use super::mailbox::Mailbox;
use super::member::Member;
use super::message::Message;
use super::worker::Jobs;
use crate::process::Stdin;

use callgate::supervision::Status;

/// What the loop does not do itself.
pub(crate) trait Outside: Send + Sync {
    /// Makes a child a member of the bus that nobody can call yet. May wait for the broker.
    fn connect(&self, plan: &Plan, stdin: Stdin, way_back: WayBack) -> Result<Arc<dyn Member>, String>;

    /// Tells those who list plugins how one stands. Must not wait.
    fn publish(&self, name: &str, status: Status);
}

/// How a member reaches the loop that it belongs to, and the worker.
#[derive(Clone)]
pub(crate) struct WayBack {
    life: u64,
    mailbox: Mailbox<Message>,
    jobs: Jobs,
}

impl WayBack {
    pub(super) fn new(life: u64, mailbox: Mailbox<Message>, jobs: Jobs) -> WayBack {
        WayBack {
            life,
            mailbox,
            jobs,
        }
    }

    /// Has the loop sweep the member, and read from its child where it did not.
    pub(crate) fn nudge(&self) {
        let life = self.life;
        self.mailbox.tell(Message::Nudge { life });
    }

    /// Has the loop look at the queue to the child.
    pub(super) fn stdin_changed(&self) {
        let life = self.life;
        self.mailbox.tell(Message::Stdin { life });
    }

    /// Has the worker do something that may block.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.run(job);
    }
}
