//! Where a plugin's calls come in: its links' rings, looked at in turn, and the calls that were
//! taken while another chain had the thread.
//!
//! Nothing here runs a handler or drops one, so it is only ever borrowed for a moment.

mod rounds;

use std::collections::VecDeque;
use std::sync::Arc;

use callgate_layout::envelope::Violation;

use crate::error::{Error, Result};
use crate::gates::Served;
use crate::link::Link;
use crate::serve::{Frame, Tools};
use crate::server::{Job, Server};

use rounds::Rounds;

/// Which calls somebody is ready to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    /// Those of one chain, because this thread waits inside it.
    Chain(u64),
}

impl Wanted {
    #[inline]
    fn has(self, job: &Job) -> bool {
        match self {
            Wanted::Any => true,
            Wanted::Chain(id) => job.chain.id == id,
        }
    }
}

/// Why a peer's results found no room, to be logged.
pub(crate) type Notes = Vec<(Arc<Link>, Vec<Error>)>;

/// A peer broke the protocol.
pub(crate) type Broken = (Arc<Link>, Violation);

pub(crate) struct Intake {
    version: u64,
    servers: Vec<Server>,
    /// Calls that were taken by who did not want them, in the order in which they came. There are
    /// no more of them than the links have slots.
    queue: VecDeque<Job>,
    rounds: Rounds,
    /// Whether calls are looked for once in a while only.
    is_pumped: bool,
    /// Whether there is a call that the last look did not come by.
    is_missing: bool,
    /// Whether any server may have late answers, or something to say of them.
    may_be_late: bool,
    next_key: u64,
    /// Frames of nested calls that are not in use.
    spare: Vec<Frame>,
}

impl Intake {
    pub(crate) fn new(is_pumped: bool) -> Intake {
        Intake {
            version: 0,
            servers: Vec::new(),
            queue: VecDeque::new(),
            rounds: Rounds::new(),
            is_pumped,
            is_missing: false,
            may_be_late: false,
            next_key: 0,
            spare: Vec::new(),
        }
    }

    /// The change after which it last took note of links.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Takes note of links that came and went, if anything changed.
    pub(crate) fn refresh(&mut self, served: &Served, version: u64) {
        if self.version == version {
            return;
        }
        self.version = version;
        let links = served.links();
        self.servers
            .retain(|server| links.iter().any(|link| Arc::ptr_eq(link, server.link())));
        for link in links {
            let is_known = |server: &Server| Arc::ptr_eq(&link, server.link());
            if !self.servers.iter().any(is_known) {
                self.servers.push(Server::new(self.next_key, link));
                self.next_key += 1;
            }
        }
        self.rounds.renumber(self.servers.len());
        let servers = &self.servers;
        self.queue
            .retain(|job| servers.iter().any(|server| server.key() == job.key));
    }

    /// Whether anything lies in a ring.
    #[inline]
    pub(crate) fn has_call(&self) -> bool {
        self.servers.iter().any(Server::has_call)
    }

    /// Whether there is any call. The next look finds it, wherever it is.
    pub(crate) fn has_work(&mut self) -> bool {
        self.is_missing = self.has_call();
        self.is_missing || !self.queue.is_empty()
    }

    /// Whether a call that was taken before waits for this one.
    #[inline]
    pub(crate) fn has_queued(&self, wanted: Wanted) -> bool {
        self.queue.iter().any(|job| wanted.has(job))
    }

    /// Takes the next call that is wanted into `job`, if this look finds one. Others that are found on
    /// the way are queued, and so stay in order.
    #[inline(always)]
    pub(crate) fn next(&mut self, job: &mut Job, wanted: Wanted) -> Option<Result<(), Broken>> {
        if !self.queue.is_empty()
            && let Some(place) = self.queue.iter().position(|job| wanted.has(job))
            && let Some(queued) = self.queue.remove(place)
        {
            *job = queued;
            return Some(Ok(()));
        }
        // Where nobody looks again at once, nothing may be missed.
        let thorough =
            self.is_pumped || wanted != Wanted::Any || std::mem::take(&mut self.is_missing);
        loop {
            if let Err(broken) = self.next_in_rings(job, thorough)? {
                return Some(Err(broken));
            }
            if wanted.has(job) {
                return Some(Ok(()));
            }
            self.queue.push_back(job.clone());
        }
    }

    /// Puts a call back that cannot be run yet, in front of what came after it.
    #[cold]
    pub(crate) fn put_back(&mut self, job: &Job) {
        self.queue.push_front(job.clone());
    }

    /// Takes the next call from the rings, in the order of [`Rounds`].
    #[inline(always)]
    fn next_in_rings(&mut self, job: &mut Job, thorough: bool) -> Option<Result<(), Broken>> {
        let Intake {
            servers, rounds, ..
        } = self;
        rounds.look(servers.len(), thorough, |at| {
            let server = servers.get_mut(at)?;
            if server.link().is_gone() {
                return None;
            }
            let taken = server.take(job, at)?;
            Some(taken.map_err(|violation| (server.link().clone(), violation)))
        })
    }

    /// Answers the call in `tools.job`, which was taken here; where its link is gone, nobody waits
    /// for it.
    #[inline(always)]
    pub(crate) fn answer(&mut self, outcome: Result<()>, tools: &mut Tools) {
        match self.server(&tools.job) {
            Some(server) => self.may_be_late |= server.answer(outcome, tools),
            // Nobody else is to find it in the place of his own.
            None => tools.tidy(None),
        }
    }

    #[inline(always)]
    fn server(&mut self, job: &Job) -> Option<&mut Server> {
        let is_it = |server: &Server| server.key() == job.key;
        let index = match self.servers.get(job.index) {
            Some(server) if is_it(server) => job.index,
            _ => self.servers.iter().position(is_it)?,
        };
        self.servers.get_mut(index)
    }

    /// When the next late answer's time is up.
    #[inline]
    pub(crate) fn late_deadline(&mut self) -> Option<u64> {
        match self.may_be_late {
            true => self.find_late(),
            false => None,
        }
    }

    #[cold]
    fn find_late(&mut self) -> Option<u64> {
        let next = self.servers.iter().filter_map(Server::late_deadline).min();
        self.may_be_late = next.is_some();
        next
    }

    /// Publishes late answers for which there is room now.
    pub(crate) fn settle(&mut self) {
        self.servers.iter_mut().for_each(Server::settle);
    }

    /// What is to be said of links whose results found no room.
    pub(crate) fn take_notes(&mut self) -> Notes {
        self.servers
            .iter_mut()
            .filter_map(Server::take_notes)
            .collect()
    }

    /// Answers everything that is left without running it.
    pub(crate) fn refuse_all(&mut self) {
        for job in std::mem::take(&mut self.queue) {
            if let Some(server) = self.server(&job) {
                server.refuse(&job);
            }
        }
        let mut job = Job::none();
        for server in &mut self.servers {
            server.refuse_all(&mut job);
        }
    }

    /// A frame for a nested call.
    pub(crate) fn frame(&mut self) -> Frame {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps a frame for the next nested call.
    pub(crate) fn keep(&mut self, frame: Frame) {
        self.spare.push(frame);
    }

    /// Lets go of frames that are not in use.
    pub(crate) fn take_spare(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.spare)
    }
}
