//! Sending calls once more after the broker has told how their gates stand.

use std::sync::Arc;

use super::Shared;
use super::asking::{Asking, Standing};
use super::completion::{Completion, Lost};
use super::state::{Outcomes, State};
use crate::base::error::Result;
use crate::base::thread::discard;
use crate::link::Link;

impl Shared {
    /// Asks the broker about calls that were refused, and sends those again about whose gates it has answered. To
    /// be called without a lock: asking may wait a moment for room in the broker's socket, and a gate that is
    /// dropped here may drop the program's values. Returns whether there was no room, so that some questions have
    /// to be asked at the next look.
    pub(super) fn look_at_asking(&self, outcomes: &mut Outcomes) -> bool {
        let asking: Vec<_> = {
            let state = self.state.lock();
            let calls = state.asking.iter();
            let parts = |(number, asking): (&u64, &Asking)| {
                (
                    *number,
                    asking.gate.clone(),
                    asking.question,
                    (asking.call.kind, asking.call.encoding),
                )
            };
            calls.map(parts).collect()
        };
        let mut asks_later = false;
        for (number, gate, question, call) in asking {
            let gate = gate.and_then(|gate| gate.upgrade());
            let stands = match (&gate, question) {
                (None, _) => Standing::Unknown,
                // Once the socket was full, no more is asked in this look, because each question waits a moment for
                // room.
                _ if asks_later => continue,
                (Some(gate), None) => gate.ask(),
                (Some(gate), Some(question)) => gate.look(question, call),
            };
            let mut state = self.state.lock();
            let ended = match stands {
                Standing::Unknown => state.end_asking(number),
                Standing::Told(way) => {
                    let way = way.and_then(|way| self.attend(&way.0).map(|()| way));
                    state.send_again(number, way)
                }
                Standing::Later => {
                    asks_later = true;
                    None
                }
                Standing::Away => {
                    if let Some(asking) = state.asking.get_mut(&number) {
                        asking.question = None;
                    }
                    None
                }
                Standing::Asked(question) => {
                    if let Some(asking) = state.asking.get_mut(&number) {
                        asking.question = Some(question);
                    }
                    None
                }
            };
            outcomes.extend(ended.map(|(completion, lost)| (completion, Err(lost))));
            // A leader does not know yet that a call waits for a slot.
            let tells_leader = state.has_leader() && state.waits();
            drop(state);
            if tells_leader {
                self.ring_pages();
            }
            discard(gate);
        }
        asks_later
    }
}

impl State {
    /// Sends a call once more, over the way that its gate has now.
    fn send_again(
        &mut self,
        number: u64,
        way: Result<(Arc<Link>, u16)>,
    ) -> Option<(Arc<Completion>, Lost)> {
        let Asking {
            mut call,
            completion,
            error: first,
            ..
        } = self.asking.remove(&number)?;
        let failed = match way {
            Err(error) => Lost {
                error: error.after(first),
                link: None,
            },
            Ok((link, index)) => {
                call.index = index;
                let calls = self.of_link(&link);
                match calls.send((number, call), completion.clone()) {
                    Ok(_) => return None,
                    Err(refused) => Lost {
                        error: refused.error,
                        link: Some(link),
                    },
                }
            }
        };
        Some((completion, failed))
    }
}
