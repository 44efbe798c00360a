//! An open gate: how it stands now, and where its calls go.

mod absence;
mod event;
mod half;
mod nobody;
mod questions;
mod state;
mod told;
mod waits;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use callgate_layout::Code;
use callgate_layout::control::{Availability, GateState};
use callgate_layout::envelope::CallKind;
use callgate_layout::sys::futex;
use parking_lot::{Condvar, Mutex};

use crate::base::error::Error;
use crate::base::thread::discard;
use crate::call::in_process::Local;
use crate::link::Link;
use crate::link::peer::Caller;
use crate::session::numbers::MembershipId;
use crate::session::verdict::{Verdict, Verdicts};
use crate::session::wanted::Wanted;

pub use event::GateEvent;
use half::Half;
pub(crate) use nobody::{NOBODY, is_known, nobody};
use questions::Questions;
pub(crate) use questions::{Asked, Question};
pub(crate) use state::{State, Way};

/// What is known of a gate, beyond how it stands.
#[derive(Debug, Default)]
struct Progress {
    /// Whether the broker has said how it stands, or that it cannot be opened.
    is_known: bool,
    /// Why it cannot be opened, or will not change any more.
    failure: Option<Error>,
    /// Whether the broker tries by itself to open it again.
    is_tried_again: bool,
    /// What a watcher has not seen yet; `None` where nobody watches.
    events: Option<VecDeque<GateEvent>>,
    /// What it was told last.
    told: Option<GateEvent>,
    /// A program has ended that was to provide the gate; for one wait to look into.
    start_failed: bool,
    /// Whether the broker has said how it stands, and its types are still to be compared.
    is_compared: bool,
    /// What the new broker says, while the way of an old one goes on.
    held: Option<State>,
    /// Whether the broker is asked why nobody provides the gate.
    is_why_asked: bool,
    questions: Questions,
}

/// What a wait for a gate came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It can be called.
    Ready,
    /// A program has ended, before it connected, that was to provide it; the broker knows whether anybody is left.
    StartFailed,
}

/// Changes that are kept for a watcher that does not look.
const MAX_EVENTS: usize = 64;

impl Progress {
    /// Why waiting is in vain, if it is.
    fn is_final(&self) -> Option<&Error> {
        self.failure.as_ref().filter(|_| !self.is_tried_again)
    }

    /// How the gate stands where a way of it is over.
    fn instead(&mut self) -> State {
        self.held.take().unwrap_or_else(|| State {
            // Where nobody is left who could announce another provider, that is what is wrong.
            refused: self.failure.clone(),
            ..State::absent()
        })
    }

    /// Notes a change for who watches.
    fn note(&mut self, state: &State) {
        let Some(events) = &mut self.events else {
            return;
        };
        let before = self.told.as_ref().map_or(0, |event| event.generation);
        let event = GateEvent {
            owner: state.owner.clone(),
            generation: match state.generation {
                0 => before,
                generation => generation,
            },
            has_function: state.has(CallKind::Function),
            has_action: state.has(CallKind::Action),
        };
        if self.told.as_ref() != Some(&event) {
            if events.len() == MAX_EVENTS {
                events.pop_front();
            }
            events.push_back(event.clone());
            self.told = Some(event);
        }
    }
}

/// A gate that this plugin has opened.
#[derive(Debug)]
pub(crate) struct OpenGate {
    gate: Arc<str>,
    /// What this plugin means to give to its function and its action, and to get from them.
    wanted: [Wanted; 2],
    state: ArcSwap<State>,
    progress: Mutex<Progress>,
    change: Condvar,
    /// Changes with each answer of the broker to a question about the gate, and with the gate.
    answers: AtomicU32,
}

impl OpenGate {
    pub(crate) fn new(gate: Arc<str>, wanted: [Wanted; 2]) -> OpenGate {
        OpenGate {
            gate,
            wanted,
            state: ArcSwap::from_pointee(State::absent()),
            progress: Mutex::default(),
            change: Condvar::new(),
            answers: AtomicU32::new(0),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.gate
    }

    #[inline(always)]
    pub(crate) fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    /// What this plugin means to give to one half, and to get from it.
    pub(crate) fn wanted(&self, kind: CallKind) -> &Wanted {
        let [function, action] = &self.wanted;
        match kind {
            CallKind::Function => function,
            CallKind::Action => action,
        }
    }

    /// The broker says how the gate stands, whose types have been compared where they differ.
    pub(crate) fn set(
        &self,
        by: MembershipId,
        me: &Arc<Caller>,
        (state, verdicts): (GateState, Verdicts),
        link: Option<Arc<Link>>,
    ) {
        let way = state.route.zip(link).map(|(route, link)| Way {
            local: Local::find(me, &link, route.index),
            link,
            index: route.index,
        });
        self.log_differences(&state, &verdicts);
        self.stand(by, (state, verdicts), way);
    }

    fn stand(&self, by: MembershipId, (state, verdicts): (GateState, Verdicts), way: Option<Way>) {
        self.replace(State::new(by, state, (&self.wanted, verdicts), way));
    }

    /// The broker says how the gate stands, and its types are still to be compared.
    pub(crate) fn begin_comparing(&self) {
        self.progress.lock().is_compared = true;
    }

    /// Tells the log, once in a process, that the gate's calls are converted: whoever develops either plugin is to see it.
    fn log_differences(&self, state: &GateState, verdicts: &Verdicts) {
        let halves = [&state.function, &state.action].into_iter().zip(verdicts);
        for (half, verdict) in halves {
            if let Availability::Differs { json: true, .. } = half
                && let Some(Verdict::Converts {
                    difference,
                    is_meant: false,
                }) = verdict
                && told::is_news(&self.gate, difference)
            {
                let (gate, provider) = (&*self.gate, state.owner.as_deref());
                tracing::warn!(
                    gate,
                    provider,
                    difference,
                    "the types of a gate differ from those of its provider, so that its calls are converted"
                );
            }
        }
    }

    /// Looks the gate up anew, where its provider is in this process and has changed something.
    #[cold]
    pub(crate) fn renew(&self) {
        // Held across look and change, as in `lose`.
        let progress = self.progress.lock();
        let mut state = State::clone(&self.state());
        let mut old = None;
        if let Some(way) = &mut state.way
            && let Some(local) = &mut way.local
        {
            *local = local.renewed();
            old = Some(self.state.swap(Arc::new(state)));
        }
        // What it leads to may be the last of a handler, which may come back here.
        drop(progress);
        discard(old);
    }

    /// A link of a membership is gone; if calls went through it, the gate is no longer there.
    pub(crate) fn lose(&self, link: &Arc<Link>, by: MembershipId) {
        // Held across look and change, so that a newer state is not overwritten.
        let (mut progress, mut old) = (self.progress.lock(), None);
        if self.state().is_lost_with(link, by) {
            let absent = progress.instead();
            progress.note(&absent);
            old = Some(self.state.swap(Arc::new(absent)));
            progress.is_known = true;
            self.notify();
        }
        drop(progress);
        discard(old);
    }

    /// No calls are made any more over links of a membership. If this gate's were, its provider is awaited in the next
    /// one.
    pub(crate) fn left(&self, by: MembershipId) {
        self.change_if(
            |state| state.by == by && state.way.is_some(),
            |state, _| State {
                way: None,
                ..state.clone()
            },
        );
    }

    /// The same of one link.
    pub(crate) fn go_without(&self, link: &Arc<Link>) {
        let is_its = |way: &Way| Arc::ptr_eq(&way.link, link);
        self.change_if(
            |state| state.way.as_ref().is_some_and(is_its),
            |state, _| State {
                way: None,
                ..state.clone()
            },
        );
    }

    /// Providers have had time to come to the bus of this membership: if this gate's has not, it is gone.
    pub(crate) fn settle(&self, by: MembershipId) {
        self.change_if(
            |state| state.is_awaited(by),
            |_, progress| progress.instead(),
        );
    }

    /// Whether its provider may yet come to the bus of this membership.
    pub(crate) fn is_awaited(&self, by: MembershipId) -> bool {
        self.state().is_awaited(by)
    }

    /// Puts another state in the place of one that is so.
    fn change_if(
        &self,
        is_so: impl Fn(&State) -> bool,
        change: impl FnOnce(&State, &mut Progress) -> State,
    ) {
        // Held across look and change, as in `lose`.
        let (mut progress, mut old) = (self.progress.lock(), None);
        let state = self.state();
        if is_so(&state) {
            let new = change(&state, &mut progress);
            progress.note(&new);
            old = Some(self.state.swap(Arc::new(new)));
            self.notify();
        }
        drop((state, progress));
        discard(old);
    }

    /// The broker has ended, and another one is to come, which is asked again.
    pub(super) fn lost(&self) {
        self.forget_questions();
        let mut progress = self.progress.lock();
        // What it did not grant, the next one may.
        progress.failure = None;
        progress.is_compared = false;
    }

    /// The broker refuses to open the gate.
    pub(crate) fn fail(&self, reason: Error) {
        // For want of something that may be there again soon.
        let is_tried_again = matches!(reason.code(), Code::System | Code::Timeout);
        // What was granted before is not any more, or there is no way to the gate: calls are told
        // why. Other failures end no way that there is.
        let is_denied = reason.code() == Code::PermissionDenied;
        self.refuse(reason, is_tried_again, |state| {
            is_denied || state.way.is_none()
        });
    }

    fn refuse(&self, reason: Error, is_tried_again: bool, ends: impl Fn(&State) -> bool) {
        let (mut progress, mut old) = (self.progress.lock(), None);
        let state = self.state();
        if ends(&state) && !state.is_closed {
            let refused = State {
                refused: Some(reason.clone()),
                ..State::absent()
            };
            progress.note(&refused);
            old = Some(self.state.swap(Arc::new(refused)));
            progress.held = None;
        }
        drop(state);
        progress.is_known = true;
        progress.is_compared = false;
        progress.is_tried_again = is_tried_again;
        progress.failure = Some(reason);
        self.notify();
        drop(progress);
        discard(old);
    }

    /// The session is over, and nobody tries again, whatever it is over for: nothing will change any
    /// more, except that links end.
    pub(crate) fn session_ended(&self, reason: &Error) {
        // A provider whose types differ is there as before, and that is what is wrong.
        self.refuse(reason.clone(), false, |state| {
            state.way.is_none() && !state.is_mismatch()
        });
        self.end_questions();
    }

    /// This plugin closes: whoever still holds the gate is told so from now on.
    pub(crate) fn close(&self, reason: &Error) {
        self.replace(State {
            is_closed: true,
            ..State::absent()
        });
        self.session_ended(reason);
    }

    fn replace(&self, state: State) {
        let (mut progress, state) = (self.progress.lock(), Arc::new(state));
        let mut old = None;
        if self.state().outlasts(&state) {
            progress.held = Some(State::clone(&state));
            progress.failure = None;
        } else if !self.state().is_closed {
            // What the broker sent while the plugin closed changes nothing any more.
            progress.held = None;
            progress.note(&state);
            old = Some(self.state.swap(state.clone()));
            // A gate that could not be opened stands as it does now, after all.
            progress.failure = None;
            progress.start_failed &= self.state().owner.is_none();
        }
        progress.is_known = true;
        progress.is_compared = false;
        self.notify();
        drop(progress);
        // What the new one leads to may be the last of a handler, too, where it changes nothing.
        discard((old, state));
    }

    /// Something has changed.
    fn notify(&self) {
        self.change.notify_all();
        self.answers.fetch_add(1, Ordering::Relaxed);
        futex::wake_private(&self.answers);
    }

    /// A program that was to provide the gate has ended: who waits for the gate, or does so next,
    /// looks whether there is anybody left to wait for.
    pub(crate) fn start_failed(&self) {
        self.progress.lock().start_failed = true;
        self.notify();
    }
}

#[cfg(test)]
mod tests;
