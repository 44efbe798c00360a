//! The dispatcher: one thread that serves all links of a plugin, round-robin, and parks on the
//! plugin's doorbell when there is nothing to do.

use std::sync::Arc;

use callgate_layout::{Code, clock};

use crate::error::Error;
use crate::gates::Served;
use crate::link::Link;
use crate::serve::{Server, Tools};
use crate::wait::Patience;

/// Calls taken from one link before the next one gets its turn.
const BATCH: usize = 16;
/// Nanoseconds to stay awake at most while answers wait for room.
const LATE_LOOK: u64 = 200_000;

/// Tells the control side that a peer broke the protocol.
pub(crate) type Report = Box<dyn Fn(&Link, &Error) + Send>;

pub(crate) struct Dispatcher {
    served: Arc<Served>,
    servers: Vec<Server>,
    tools: Tools,
    patience: Patience,
    version: u64,
    /// The link with which the last round began.
    first: usize,
    report: Report,
}

impl Dispatcher {
    pub(crate) fn new(served: Arc<Served>, patience: Patience, report: Report) -> Dispatcher {
        Dispatcher {
            served,
            servers: Vec::new(),
            tools: Tools::new(),
            patience,
            version: 0,
            first: 0,
            report,
        }
    }

    /// Serves until the plugin closes.
    pub(crate) fn run(mut self) {
        while !self.served.is_closing() {
            self.refresh();
            if !self.serve_round() && !self.stay_awake() {
                self.park();
            }
        }
        self.served.status.close();
        self.refresh();
        for server in &mut self.servers {
            server.refuse_all(&mut self.tools);
        }
    }

    /// Takes new copies of links, grants and gates if any of them changed.
    #[inline]
    fn refresh(&mut self) {
        let version = self.served.version();
        if version != self.version {
            self.version = version;
            self.take_copies();
        }
    }

    #[cold]
    fn take_copies(&mut self) {
        let links = self.served.links();
        self.servers
            .retain(|server| links.iter().any(|link| Arc::ptr_eq(link, server.link())));
        for link in links {
            if !self
                .servers
                .iter()
                .any(|server| Arc::ptr_eq(&link, server.link()))
            {
                self.servers.push(Server::new(link));
            }
        }
        for server in &mut self.servers {
            server.refresh(&self.served);
        }
    }

    /// Gives every link its turn; false when none had anything.
    fn serve_round(&mut self) -> bool {
        let mut worked = false;
        // Where a round is cut short, the next one does not begin with the same link.
        self.first = (self.first + 1) % self.servers.len().max(1);
        let (behind, ahead) = self.servers.split_at_mut(self.first);
        for server in ahead.iter_mut().chain(behind) {
            if server.link().is_gone() {
                continue;
            }
            if server.late_deadline().is_some() {
                server.settle(&mut self.tools);
            }
            for _ in 0..BATCH {
                match server.serve_next(&mut self.tools, &self.served, self.version) {
                    Ok(true) => worked = true,
                    Ok(false) => break,
                    Err(violation) => {
                        let name = server.link().peer().name();
                        let text = format!("plugin {name}: {violation}; the link is closed");
                        (self.report)(server.link(), &Error::new(Code::Protocol, text));
                        break;
                    }
                }
                // What a handler withdrew or a broker granted meanwhile counts from the next call.
                if self.served.version() != self.version {
                    return true;
                }
            }
        }
        worked
    }

    fn stay_awake(&self) -> bool {
        // Late answers have deadlines, which are looked at before parking.
        let is_late = self
            .servers
            .iter()
            .any(|server| server.late_deadline().is_some());
        let until = if is_late {
            clock::now() + LATE_LOOK
        } else {
            u64::MAX
        };
        self.patience.stay_awake(until, || self.has_work())
    }

    /// Whether to look at everything again rather than sleep. The end is asked for here, too: the
    /// change of the version that came with it may have been taken note of already.
    fn has_work(&self) -> bool {
        self.served.version() != self.version
            || self.served.is_closing()
            || self.servers.iter().any(Server::has_work)
    }

    fn park(&mut self) {
        let seen = self.served.bell.value();
        self.served.status.park();
        // WORK-OR-PARKED: the second look, after the fence in `park`.
        for server in &mut self.servers {
            server.settle(&mut self.tools);
        }
        if !self.has_work() {
            let deadline = self.servers.iter().filter_map(Server::late_deadline).min();
            self.served.bell.wait(seen, deadline);
        }
        self.served.status.awake();
    }
}
