//! All sent calls of a plugin, or of several plugins that share a doorbell. A call is on a link, or waits for the
//! broker to say how its gate stands.

use std::sync::Arc;

use callgate_layout::pending::Ticket;
use callgate_layout::{Code, clock};

use super::asking::{Asking, AskingCalls, Refused};
use super::completion::{Completion, Lost, Outcome};
use super::lead::Lead;
use super::links::{Ended, LinkCalls};
use crate::base::error::{Error, Result};
use crate::link::Link;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) links: Vec<LinkCalls>,
    /// The calls that are on no link, because the broker was asked how their gates stand.
    pub(super) asking: AskingCalls,
    /// No call has a deadline before this. Calls that end leave it as it is, so it may be too early; then it is found anew when
    /// it has passed.
    pub(super) earliest: Option<u64>,
    pub(super) last: u64,
    /// The number of plugins that have not closed.
    pub(super) plugins: usize,
    /// Whether all plugins have closed.
    pub(super) is_closing: bool,
    pub(super) lead: Lead,
}

/// Outcomes of calls. They are handed over when nothing is locked, because whoever gets one may call this very
/// plugin.
pub(super) type Outcomes = Vec<(Arc<Completion>, Outcome)>;

impl State {
    pub(super) fn of_link(&mut self, link: &Arc<Link>) -> &mut LinkCalls {
        let known = self.links.iter().position(|calls| calls.is_of(link));
        let place = known.unwrap_or_else(|| {
            self.links.push(LinkCalls::new(link.clone()));
            self.links.len() - 1
        });
        &mut self.links[place]
    }

    /// The calls of the link that a call is on.
    fn holder_of(&mut self, number: u64) -> Option<&mut LinkCalls> {
        self.links.iter_mut().find(|calls| calls.has(number))
    }

    /// The link that a call is on.
    pub(super) fn link_of(&self, number: u64) -> Option<&Arc<Link>> {
        let calls = self.links.iter().find(|calls| calls.has(number));
        calls.map(LinkCalls::link)
    }

    /// How many calls are on links.
    pub(super) fn count(&self) -> usize {
        self.links.iter().map(LinkCalls::count).sum()
    }

    /// Whether a call with this deadline is to be looked after earlier than all others, so that the thread which looks
    /// after them sleeps too long.
    pub(super) fn is_next(&self, deadline: u64) -> bool {
        deadline < self.next_deadline()
    }

    /// Takes note of the deadline of a new call.
    pub(super) fn note(&mut self, deadline: u64) {
        self.earliest = Some(self.earliest.map_or(deadline, |known| known.min(deadline)));
    }

    /// When to look for calls whose time is up: at the first deadline, or earlier.
    pub(super) fn next_deadline(&self) -> u64 {
        match self.is_idle() {
            true => u64::MAX,
            false => self.earliest.unwrap_or(u64::MAX),
        }
    }

    /// The deadline and the number of each call.
    fn deadlines(&self) -> impl Iterator<Item = (u64, u64)> {
        let asking = self.asking.iter();
        let asking = asking.map(|(number, asking)| (asking.deadline(), *number));
        let sent = self.links.iter().flat_map(LinkCalls::deadlines);
        sent.chain(asking)
    }

    /// Whether calls are under way on a link, so that the thread sleeps on its bell already.
    pub(super) fn has_link(&self, link: &Arc<Link>) -> bool {
        self.links.iter().any(|calls| calls.is_of(link))
    }

    /// The link and slot in which a call was sent, if it was, and whether the call has ended already.
    pub(super) fn sent_in(&mut self, number: u64) -> Option<(Arc<Link>, Ticket, bool)> {
        let calls = self.holder_of(number)?;
        let (ticket, is_over) = calls.sent_in(number)?;
        Some((calls.link().clone(), ticket, is_over))
    }

    /// Forgets a call that is given up. If it was sent, its slot becomes free with its late answer.
    pub(super) fn forget(&mut self, number: u64) -> Option<Arc<Completion>> {
        if let Some((completion, _)) = self.end_asking(number) {
            return Some(completion);
        }
        self.holder_of(number)?.take(number)
    }

    /// Takes the answers that have come, ends the calls that fail for other reasons, and sends those that can be
    /// sent.
    pub(super) fn look(&mut self) -> Outcomes {
        let mut ended = Vec::new();
        for calls in &mut self.links {
            calls.look(&mut ended);
        }
        let mut outcomes = Outcomes::new();
        for one in ended {
            let Ended {
                number,
                call,
                link,
                completion,
                outcome,
            } = one;
            let may_be_sent =
                |error: &Error| error.is_refusal() || !error.may_have_run() && link.is_gone();
            match outcome {
                Err(error) if call.gate.is_some() && may_be_sent(&error) => {
                    let asking = Asking::new(Refused {
                        call,
                        completion,
                        error,
                    });
                    self.asking.insert(number, asking);
                }
                outcome => {
                    let link = Some(link);
                    let outcome = outcome.map_err(|error| Lost { error, link });
                    outcomes.push((completion, outcome));
                }
            }
        }
        self.end_late(&mut outcomes);
        self.forget_idle();
        outcomes
    }

    /// Ends calls whose time is up, or all calls if the plugin is closing.
    pub(super) fn end_late(&mut self, outcomes: &mut Outcomes) {
        let now = clock::now();
        if self.next_deadline() > now && !self.is_closing {
            return;
        }
        let is_late = |(deadline, _): &(u64, u64)| *deadline <= now || self.is_closing;
        let mut late: Vec<_> = self.deadlines().filter(is_late).collect();
        late.sort_unstable();
        for (_, number) in late {
            outcomes.extend(self.end(number));
        }
        self.earliest = self.deadlines().map(|(deadline, _)| deadline).min();
    }

    /// Ends a call whose time is up.
    pub(super) fn end(&mut self, number: u64) -> Option<(Arc<Completion>, Outcome)> {
        if let Some((completion, lost)) = self.end_asking(number) {
            return Some((completion, Err(lost)));
        }
        let calls = self.holder_of(number)?;
        let error = calls.why_late(number);
        let link = Some(calls.link().clone());
        Some((calls.take(number)?, Err(Lost { error, link })))
    }

    /// Gives out the number of the next call.
    pub(super) fn next_number(&mut self) -> Result<u64> {
        if self.is_closing {
            return Err(closed());
        }
        self.last += 1;
        Ok(self.last)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.asking.is_empty() && self.links.iter().all(LinkCalls::is_idle)
    }

    pub(super) fn forget_idle(&mut self) {
        self.links.retain(|calls| !calls.is_idle());
    }

    /// Whether any call waits for a slot.
    pub(super) fn waits(&self) -> bool {
        self.links.iter().any(LinkCalls::waits)
    }

    /// Ends a call that waits for the broker to say how its gate stands. Returns the error that it fails with.
    pub(super) fn end_asking(&mut self, number: u64) -> Option<(Arc<Completion>, Lost)> {
        let asking = self.asking.remove(&number)?;
        let (error, link) = (asking.error, None);
        Some((asking.completion, Lost { error, link }))
    }
}

pub(super) fn closed() -> Error {
    Error::new(Code::Closed, "this plugin has closed")
}
