//! Records about waits. What a plugin reports is checked here and added to the graph ([`crate::waits`]); the graph's decisions are sent as
//! records.

use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, Held, Needs, WaitToBroker, WaitToPlugin, check_gate_name};
use callgate_layout::envelope::MAX_DEPTH;

use super::{Awaited, Bus, Member, Weight, protocol};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::quota::Charge;
use crate::waits::{Decision, Hold, Resource, Stop, Wait, WaitId};

/// How much of waits a plugin may report. Each wait counts one, and one more for each thing that it holds and each call that it serves:
/// enough for a thousand threads.
pub(super) const MOST_PARTS: u32 = 4096;
/// A thread has at most so many handlers on its stack, and each holds a turn and a permit of its gate.
const MOST_HELD: usize = 2 * MAX_DEPTH as usize;
/// How many waits are looked at before the broker does something else: about a millisecond of work.
const AT_ONCE: usize = 1024;
/// If more than so many were looked at, the broker does not look again for a time.
const FEW: usize = 64;
/// That time, for each wait looked at: as long as the look took, and as long again.
const REST: Duration = Duration::from_micros(2);
/// How many waits of a circle are named in the failure's message.
const MOST_NAMED: usize = 8;

/// The end of the message where a plugin in the circle waits for its events to be handled.
const EVENTS: &str = ": this is a circle, in which none could go on before a time had passed. What is named first waits no longer: a \
    flush ends, and who sends keeps nothing for that listener, which may lose events. If this recurs, send from a \
    thread that runs no handler, let the topic drop the oldest, or have the listener send its call without waiting for it";

/// A wait as a plugin reports it.
struct Report {
    chain: u64,
    callee: PluginId,
    gate: String,
    needs: Needs,
    holds: Vec<Held>,
    serves: Vec<u64>,
}

impl Report {
    fn is_impossible(&self) -> bool {
        self.holds.len() > MOST_HELD || self.serves.len() > usize::from(MAX_DEPTH)
    }
}

impl Bus {
    pub(super) fn wait_record(
        &mut self,
        from: PluginId,
        record: WaitToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let mut weight = Weight::Charged;
        match record {
            WaitToBroker::Waiting {
                wait,
                chain,
                callee,
                gate,
                needs,
                holds,
                serves,
            } => {
                let callee = PluginId(callee);
                let report = Report {
                    chain,
                    callee,
                    gate,
                    needs,
                    holds,
                    serves,
                };
                if report.is_impossible() {
                    return Err(protocol("a thread of it holds more than a stack can have"));
                }
                if let Some((reported, charge)) = self.check_wait(from, report) {
                    self.waits.begin(wait_id(from, wait), reported, charge);
                }
            }
            WaitToBroker::Over { wait } => self.waits.end(wait_id(from, wait)),
            WaitToBroker::Confirmed { wait, round } => {
                if self.waits.confirm(wait_id(from, wait), round) {
                    weight = Weight::Expected;
                }
            }
        }
        self.look_at_waits(now);
        Ok(weight)
    }

    /// Checks a report. Returns the wait for the graph, with its charge; `None` if the report is to be ignored.
    fn check_wait(&self, from: PluginId, report: Report) -> Option<(Wait, Charge)> {
        let member = self.members.get(&from)?;
        let callee = self.members.get(&report.callee)?;
        let is_near = member.pid == callee.pid;
        let is_linked = || self.link_of(from, report.callee).is_some();
        if report.holds.is_empty() || check_gate_name(&report.gate).is_err() {
            return None;
        }
        let call = match report.needs {
            Needs::Answer { call } | Needs::Outcome { call } => Some(call),
            Needs::Turn | Needs::Permit | Needs::Handled => None,
        };
        let is_handled = report.needs == Needs::Handled;
        let is_known = match report.needs {
            Needs::Handled => self.topics.is_heard_by(from, &report.gate, report.callee),
            _ => call.is_some() && is_linked(),
        };
        if !is_near && !is_known {
            return None;
        }
        let parts = 1 + report.holds.len() + report.serves.len();
        let charge = member.waits.charge_many(parts as u32)?;
        let held = report.holds.iter();
        let holds: Option<Vec<_>> = held.map(|held| self.check_held(member, held)).collect();
        let permit = self.registry.provided_by(report.callee, &report.gate);
        let permit = permit.filter(|_| !is_handled);
        // The gate's name, which the caller has used; where a prefix provides it, that says more than the prefix.
        let named = permit.clone().filter(|gate| **gate == *report.gate);
        let permit = permit.map(|gate| Resource::Permit(report.callee, gate));
        let turn = (report.needs != Needs::Permit).then_some(Resource::Turn(callee.dispatcher));
        let wait = Wait {
            chain: report.chain,
            process: member.pid,
            callee_process: callee.pid,
            callee: report.callee,
            gate: named.unwrap_or_else(|| report.gate.into()),
            call,
            is_sent: is_handled || matches!(report.needs, Needs::Outcome { .. }),
            needs: turn.into_iter().chain(permit).collect(),
            holds: holds?.into_iter().flatten().collect(),
            serves: report.serves,
        };
        Some((wait, charge))
    }

    /// What a thread of the plugin's process holds, as the plugin says. `Some(None)` if that gate is not provided; `None` if it belongs to
    /// another process, which makes the report invalid.
    fn check_held(&self, member: &Member, held: &Held) -> Option<Option<Hold>> {
        let plugin = PluginId(held.plugin);
        let owner = self.members.get(&plugin)?;
        if owner.pid != member.pid {
            return None;
        }
        let what = match &held.gate {
            None => Some(Resource::Turn(owner.dispatcher)),
            Some(gate) => {
                let gate = self.registry.provided(plugin, gate);
                gate.map(|gate| Resource::Permit(plugin, gate))
            }
        };
        let of = held.of;
        Some(what.map(|what| Hold { what, of }))
    }

    /// Notes which dispatcher serves a plugin: it is named by the plugin for which its doorbell was made.
    pub(crate) fn is_served_with(&mut self, plugin: PluginId, first: PluginId) {
        if let Some(member) = self.members.get_mut(&plugin) {
            member.dispatcher = first;
        }
    }

    /// The time for the answers of a round has passed.
    pub(super) fn round_is_late(&mut self, round: u64, now: Instant) {
        self.waits.late(round);
        self.look_at_waits(now);
    }

    /// Looks at a limited number of waits, and at the rest later: no plugin can make the broker look for long at a stretch, or most of the
    /// time.
    pub(super) fn look_at_waits(&mut self, now: Instant) {
        let mut count = 0;
        while count < AT_ONCE
            && self.looks_from.is_none_or(|from| from <= now)
            && let Some(more) = self.waits.work()
        {
            count += more;
        }
        if count > FEW {
            self.looks_from = Some(now + REST * count as u32);
        }
        // Later than now: [`Bus::expire`] would otherwise take this deadline out again and again.
        let soon = now + Duration::from_nanos(1);
        let next = self.looks_from.map_or(soon, |from| from.max(soon));
        let next = self.waits.has_work().then_some(next);
        self.deadlines.set(Awaited::Looks, next);
        self.decide_about_waits(now);
    }

    fn decide_about_waits(&mut self, now: Instant) {
        while let Some(decision) = self.waits.next_decision() {
            match decision {
                Decision::Ask { wait, round } => {
                    let (to, wait) = (wait.from, wait.number);
                    self.send(to, WaitToPlugin::Confirm { wait, round });
                }
                Decision::Await(round) => {
                    let due = now + self.step;
                    self.deadlines.set(Awaited::Round(round), Some(due));
                }
                Decision::Done(round) => self.deadlines.set(Awaited::Round(round), None),
                Decision::GiveUp { wait, circle } => {
                    let text = self.name_circle(&circle);
                    self.effects.push_back(Effect::Deadlocked(text.clone()));
                    let (to, wait) = (wait.from, wait.number);
                    let failure = Failure::new(Code::Deadlock, text);
                    self.send(to, WaitToPlugin::Deadlock { wait, failure });
                }
            }
        }
    }

    /// The text of a circle: who waits for whom, beginning with the wait that is given up.
    fn name_circle(&self, circle: &[Stop]) -> String {
        let mut text = String::new();
        let mut before = None;
        for stop in circle.iter().take(MOST_NAMED) {
            let from = self.name_of(stop.from);
            text += &match before {
                None => format!("plugin `{from}`"),
                Some(callee) if callee == stop.from => ", which".into(),
                // Another thread of the callee's process: one that has its turn, or runs a handler for another plugin's call.
                Some(_) => format!(", where a call of plugin `{from}`"),
            };
            let (gate, callee) = (&stop.gate, self.name_of(stop.callee));
            text += &match stop.is_for_events {
                true => format!(" waits until plugin `{callee}` has handled events of `{gate}`"),
                false => format!(" waits for `{gate}` of plugin `{callee}`"),
            };
            before = Some(stop.callee);
        }
        let more = circle.len().saturating_sub(MOST_NAMED);
        if more > 0 {
            text += &format!(", and so on through {more} more waits back to the first");
        }
        if circle.first().is_some_and(|stop| stop.is_for_events) {
            return text + EVENTS;
        }
        text + ": this is a circle, in which none could go on before a deadline passed. The call named first was \
                given up so that the others go on: of those that no handler had begun, it began to wait last. \
                Calling again can succeed. If this recurs, send one of these calls without waiting for it, \
                answer it later, use a pool, or declare the gate that is called back re-entrant"
    }
}

fn wait_id(from: PluginId, number: u64) -> WaitId {
    WaitId { from, number }
}
