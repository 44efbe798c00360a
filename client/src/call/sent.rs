//! Calls that are sent and not waited for on a thread: each is told of by a completion, which a future
//! or a thread waits for.
//!
//! One thread looks after all of them. It sleeps on a bell that each such call names before it is
//! published, takes the answers that are there, sends what waited for a slot, and tells of deadlines and
//! of links that have ended. Calls for which there is no slot wait in private memory, by link, in the
//! order in which they came.

mod completion;
mod links;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;

use callgate_layout::bells::KeptBell;
use callgate_layout::envelope::CallKind;
use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::{Code, clock};
use parking_lot::Mutex;

use super::space::check_here;
use crate::base::bytes::Bytes;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;
use crate::base::thread;
use crate::link::Link;
use crate::link::own_memory::OwnMemory;

pub(crate) use completion::Completion;
use links::{Ended, LinkCalls};

/// At most so many words can be waited for, with some to spare.
const MOST_WORDS: usize = 120;

/// A call to be sent.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) index: u16,
    pub(crate) kind: CallKind,
    /// Nanoseconds of the monotonic clock.
    pub(crate) deadline: u64,
    pub(crate) bytes: Box<[u8]>,
}

/// The calls of a plugin that are under way and that no thread waits for.
#[derive(Debug)]
pub(crate) struct SentCalls {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    memory: Arc<OwnMemory>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// There is one as long as the thread runs.
    bell: Option<Arc<KeptBell>>,
    links: Vec<LinkCalls>,
    /// The link of each call that is not over.
    calls: HashMap<u64, Arc<Link>>,
    /// When each of them has to be over.
    deadlines: BTreeSet<(u64, u64)>,
    last: u64,
    is_closing: bool,
}

/// What came of calls, to be told when nothing is locked: who is told may call this very plugin.
type Outcomes = Vec<(Arc<Completion>, Result<Bytes>)>;

impl SentCalls {
    pub(crate) fn new(memory: Arc<OwnMemory>) -> SentCalls {
        SentCalls {
            shared: Arc::new(Shared {
                memory,
                state: Mutex::default(),
            }),
            thread: Mutex::new(None),
        }
    }

    /// Sends a call, now or as soon as there is a slot; the completion is told what came of it.
    pub(crate) fn send(
        &self,
        link: &Arc<Link>,
        call: Outbound,
        completion: Arc<Completion>,
    ) -> Result<u64> {
        check_here(link)?;
        let bell = self.start()?;
        link.set_late_bell(bell.number());
        let mut state = self.shared.state.lock();
        if state.is_closing {
            return Err(Error::new(Code::Closed, "this plugin has closed"));
        }
        state.last += 1;
        let (number, deadline) = (state.last, call.deadline);
        let is_next = state
            .deadlines
            .first()
            .is_none_or(|(first, _)| deadline < *first);
        let waits = state
            .of_link(link)
            .send(&bell, (number, call), completion)?;
        state.calls.insert(number, link.clone());
        state.deadlines.insert((deadline, number));
        drop(state);
        // The thread sleeps until a later time, or does not know that a call waits for a slot.
        if is_next || waits {
            bell.ring();
        }
        Ok(number)
    }

    /// Gives a call up: nobody is told what comes of it.
    pub(crate) fn give_up(&self, number: u64) {
        let mut state = self.shared.state.lock();
        let forgotten = state.forget(number);
        let bell = state.bell.clone();
        drop(state);
        drop(forgotten);
        // What it waited for may be for another one.
        if let Some(bell) = bell {
            bell.ring();
        }
    }

    /// Starts the thread, if there is none yet.
    fn start(&self) -> Result<Arc<KeptBell>> {
        let mut thread = self.thread.lock();
        if let Some(bell) = &self.shared.state.lock().bell {
            return Ok(bell.clone());
        }
        let bell = KeptBell::take(&self.shared.memory.bells).ok_or_else(|| {
            let text =
                "all 63 bells of this plugin are taken by callers that sleep; nothing was sent";
            Error::new(Code::Overloaded, text)
        })?;
        let bell = Arc::new(bell);
        let (shared, its) = (self.shared.clone(), bell.clone());
        *thread = Some(thread::spawn("callgate-replies", move || shared.run(&its))?);
        self.shared.state.lock().bell = Some(bell.clone());
        Ok(bell)
    }

    /// Tells of all calls that they were given up, and ends the thread.
    pub(crate) fn close(&self) {
        let bell = {
            let mut state = self.shared.state.lock();
            state.is_closing = true;
            state.bell.clone()
        };
        if let Some(bell) = bell {
            bell.ring();
        }
        if let Some(thread) = self.thread.lock().take() {
            thread::join(thread);
        }
    }

    /// In a forked child, where there is no thread.
    pub(crate) fn forget(&self) {
        std::mem::forget(self.thread.lock().take());
    }
}

impl Shared {
    /// The thread that looks after calls.
    fn run(&self, bell: &KeptBell) {
        loop {
            // Before the look, so that nothing that comes after it is slept through.
            let seen = bell.value();
            let own_bell = self.memory.bell.value();
            let (outcomes, until, waiting, is_over) = {
                let mut state = self.state.lock();
                let outcomes = state.look(bell);
                let until = state.deadlines.first().map_or(u64::MAX, |(at, _)| *at);
                let is_over = state.is_closing && state.calls.is_empty();
                (outcomes, until, state.waiting_links(), is_over)
            };
            let found = !outcomes.is_empty();
            for (completion, outcome) in outcomes {
                completion.complete(outcome);
            }
            futex_refused::log();
            if is_over {
                return;
            }
            if !found {
                self.sleep(bell.word(seen), own_bell, &waiting, until);
            }
        }
    }

    /// Sleeps until the bell is rung, or where calls wait for a slot, until one may have come free.
    fn sleep(&self, bell: Awaited<'_>, own_bell: u32, waiting: &[Arc<Link>], until: u64) {
        if waiting.is_empty() {
            return futex::wait_any(&[bell], until);
        }
        let mut words = vec![bell, self.memory.bell.word_seen(own_bell)];
        words.extend(waiting.iter().flat_map(|link| link.abandoned_words()));
        words.truncate(MOST_WORDS);
        futex::wait_any_of(&words, until);
    }
}

impl State {
    fn of_link(&mut self, link: &Arc<Link>) -> &mut LinkCalls {
        let known = self.links.iter().position(|calls| calls.is_of(link));
        let place = known.unwrap_or_else(|| {
            self.links.push(LinkCalls::new(link.clone()));
            self.links.len() - 1
        });
        &mut self.links[place]
    }

    /// Forgets a call, whose slot comes back with its late answer.
    fn forget(&mut self, number: u64) -> Option<Arc<Completion>> {
        let link = self.calls.remove(&number)?;
        let (deadline, completion) = self.of_link(&link).take(number)?;
        self.deadlines.remove(&(deadline, number));
        Some(completion)
    }

    /// Takes the answers that are there, and whatever else has ended calls; sends what can be sent.
    fn look(&mut self, bell: &KeptBell) -> Outcomes {
        let mut ended = Vec::new();
        for calls in &mut self.links {
            calls.take_answers(&mut ended);
            calls.send_waiting(bell, &mut ended);
        }
        let mut outcomes = Outcomes::new();
        for one in ended {
            let Ended {
                number,
                deadline,
                completion,
                outcome,
            } = one;
            self.calls.remove(&number);
            self.deadlines.remove(&(deadline, number));
            outcomes.push((completion, outcome));
        }
        self.end_late(&mut outcomes);
        self.links.retain(|calls| !calls.is_idle());
        outcomes
    }

    /// Ends calls whose time is up, and all where the plugin closes.
    fn end_late(&mut self, outcomes: &mut Outcomes) {
        let now = clock::now();
        while let Some(&(deadline, number)) = self.deadlines.first()
            && (deadline <= now || self.is_closing)
        {
            let Some(link) = self.calls.get(&number).cloned() else {
                self.deadlines.pop_first();
                continue;
            };
            let error = self.of_link(&link).why_late(number);
            if let Some(completion) = self.forget(number) {
                outcomes.push((completion, Err(error)));
            }
        }
    }

    fn waiting_links(&self) -> Vec<Arc<Link>> {
        let waiting = self.links.iter().filter(|calls| calls.waits());
        waiting.map(|calls| calls.link().clone()).collect()
    }
}
