//! Sending calls once more, when the broker has said how their gates stand.

use std::sync::Arc;

use callgate_layout::bells::KeptBell;

use super::Shared;
use super::asking::Asking;
use super::completion::{Completion, Lost};
use super::state::{Outcomes, State};
use crate::base::error::Result;
use crate::base::thread::discard;
use crate::link::Link;

impl Shared {
    /// Has the broker asked about calls that were refused, and sends those once more about whose gates it
    /// has answered. To be called where nothing is locked: what is asked may wait a moment for room in the
    /// broker's socket, and a gate that is dropped here drops what it leads to.
    pub(super) fn look_at_asking(&self, bell: &KeptBell, outcomes: &mut Outcomes) {
        let asking: Vec<_> = {
            let state = self.state.lock();
            let calls = state.asking.iter();
            let parts = |(number, asking): (&u64, &Asking)| {
                (
                    *number,
                    asking.gate.clone(),
                    asking.question,
                    asking.call.kind,
                )
            };
            calls.map(parts).collect()
        };
        for (number, gate, question, kind) in asking {
            let gate = gate.and_then(|gate| gate.upgrade());
            let next = match (&gate, question) {
                (None, _) => Next::End,
                (Some(gate), None) => gate.ask().map_or(Next::End, Next::Await),
                (Some(gate), Some(question)) => match gate.is_told(question) {
                    None => Next::End,
                    Some(false) => continue,
                    Some(true) => Next::Send(gate.way(kind)),
                },
            };
            let mut state = self.state.lock();
            let ended = match next {
                Next::End => state.end_asking(number),
                Next::Send(way) => state.send_again(number, way, bell),
                Next::Await(question) => {
                    if let Some(asking) = state.asking.get_mut(&number) {
                        asking.question = Some(question);
                    }
                    None
                }
            };
            outcomes.extend(ended.map(|(completion, lost)| (completion, Err(lost))));
            drop(state);
            discard(gate);
        }
    }
}

/// What is done about a call that waits for an answer.
enum Next {
    Await(u64),
    Send(Result<(Arc<Link>, u16)>),
    End,
}

impl State {
    /// Sends a call once more, over the way that its gate has now.
    fn send_again(
        &mut self,
        number: u64,
        way: Result<(Arc<Link>, u16)>,
        bell: &KeptBell,
    ) -> Option<(Arc<Completion>, Lost)> {
        let Asking {
            mut call,
            completion,
            error: first,
            ..
        } = self.asking.remove(&number)?;
        let deadline = call.deadline;
        let failed = match way {
            Err(error) => Lost {
                error: error.after(first),
                link: None,
            },
            Ok((link, index)) => {
                call.index = index;
                link.set_late_bell(bell.number());
                let calls = self.of_link(&link);
                match calls.send(bell, (number, call), completion.clone()) {
                    Ok(_) => {
                        self.calls.insert(number, link);
                        return None;
                    }
                    Err(refused) => Lost {
                        error: refused.error,
                        link: Some(link),
                    },
                }
            }
        };
        self.deadlines.remove(&(deadline, number));
        Some((completion, failed))
    }
}
