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

/// What this plugin knows of a gate, beyond its state.
#[derive(Debug, Default)]
struct Progress {
    /// Whether the broker has sent the gate's state, or refused to open it.
    is_known: bool,
    /// Why it cannot be opened, or will not change any more.
    failure: Option<Error>,
    /// Whether the broker will try again by itself to open it.
    is_tried_again: bool,
    /// Changes that a watcher has not read yet; `None` if nobody watches.
    events: Option<VecDeque<GateEvent>>,
    /// The last change that was reported to the watcher.
    told: Option<GateEvent>,
    /// A program that was to provide the gate has ended. One wait is to look into this.
    start_failed: bool,
    /// Whether the broker has sent the state, and the types must still be compared.
    is_compared: bool,
    /// The state from the new broker, while the way of an old broker is still used.
    held: Option<State>,
    /// Whether the broker was asked why nobody provides the gate.
    is_why_asked: bool,
    questions: Questions,
}

/// The outcome of a wait for a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It can be called.
    Ready,
    /// A program that was to provide it has ended before it connected. The broker knows whether another one may
    /// provide it.
    StartFailed,
}

/// How many changes are kept for a watcher that does not read them.
const MAX_EVENTS: usize = 64;

impl Progress {
    /// The reason why waiting is in vain, if it is.
    fn is_final(&self) -> Option<&Error> {
        self.failure.as_ref().filter(|_| !self.is_tried_again)
    }

    /// The gate's state after its way has ended.
    fn instead(&mut self) -> State {
        self.held.take().unwrap_or_else(|| State {
            // If no broker is left that could announce another provider, that is the reason.
            refused: self.failure.clone(),
            ..State::absent()
        })
    }

    /// Records a change for a watcher.
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
    /// The types that this plugin gives to its function and its action, and expects from them.
    wanted: [Wanted; 2],
    state: ArcSwap<State>,
    progress: Mutex<Progress>,
    change: Condvar,
    /// Changes with each answer of the broker to a question about the gate, and with each change of the gate.
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

    /// The types that this plugin gives to one half, and expects from it.
    pub(crate) fn wanted(&self, kind: CallKind) -> &Wanted {
        let [function, action] = &self.wanted;
        match kind {
            CallKind::Function => function,
            CallKind::Action => action,
        }
    }

    /// Sets the state that the broker has sent. If types differ, they were compared before.
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

    /// The broker has sent the state, and the types must still be compared.
    pub(crate) fn begin_comparing(&self) {
        self.progress.lock().is_compared = true;
    }

    /// Logs, once in a process, that the gate's calls are converted, so that the developers of both plugins notice.
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

    /// Looks the gate up again after a provider in this process has changed something.
    #[cold]
    pub(crate) fn renew(&self) {
        // The lock is held while the state is read and changed, as in `lose`.
        let progress = self.progress.lock();
        let mut state = State::clone(&self.state());
        let mut old = None;
        if let Some(way) = &mut state.way
            && let Some(local) = &mut way.local
        {
            *local = local.renewed();
            old = Some(self.state.swap(Arc::new(state)));
        }
        // The old state may hold the last reference to a handler, whose drop may come back here.
        drop(progress);
        discard(old);
    }

    /// A link of a membership is gone. If the gate's calls used it, the gate is no longer there.
    pub(crate) fn lose(&self, link: &Arc<Link>, by: MembershipId) {
        // The lock is held while the state is read and changed, so that a newer state is not overwritten.
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

    /// No more calls are made over links of a membership. If this gate's calls used one, its provider is awaited in
    /// the next membership.
    pub(crate) fn left(&self, by: MembershipId) {
        self.change_if(
            |state| state.by == by && state.way.is_some(),
            |state, _| State {
                way: None,
                ..state.clone()
            },
        );
    }

    /// The same for one link.
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

    /// Providers have had time to come to the bus of this membership. If this gate's has not come, the gate is gone.
    pub(crate) fn settle(&self, by: MembershipId) {
        self.change_if(
            |state| state.is_awaited(by),
            |_, progress| progress.instead(),
        );
    }

    /// Whether its provider may still come to the bus of this membership.
    pub(crate) fn is_awaited(&self, by: MembershipId) -> bool {
        self.state().is_awaited(by)
    }

    /// Replaces the state if `is_so` holds for it.
    fn change_if(
        &self,
        is_so: impl Fn(&State) -> bool,
        change: impl FnOnce(&State, &mut Progress) -> State,
    ) {
        // The lock is held while the state is read and changed, as in `lose`.
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

    /// The broker has ended. The next one will be asked again.
    pub(super) fn lost(&self) {
        self.forget_questions();
        let mut progress = self.progress.lock();
        // The next broker may grant what this one did not.
        progress.failure = None;
        progress.is_compared = false;
    }

    /// The broker refuses to open the gate.
    pub(crate) fn fail(&self, reason: Error) {
        // Something was missing that may be available again soon.
        let is_tried_again = matches!(reason.code(), Code::System | Code::Timeout);
        // The gate is no longer granted, or there is no way to it: calls are told why. Other failures do not end an
        // existing way.
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

    /// The session is over, for any reason, and this plugin does not try again: from now on the state changes only
    /// when links end.
    pub(crate) fn session_ended(&self, reason: &Error) {
        // A provider with other types is there as before, and its types are the reason.
        self.refuse(reason.clone(), false, |state| {
            state.way.is_none() && !state.is_mismatch()
        });
        self.end_questions();
    }

    /// This plugin closes: all holders of the gate are told so from now on.
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
            // What the broker sent while the plugin closed no longer matters.
            progress.held = None;
            progress.note(&state);
            old = Some(self.state.swap(state.clone()));
            // The gate's present state counts, and no longer that it could not be opened.
            progress.failure = None;
            progress.start_failed &= self.state().owner.is_none();
        }
        progress.is_known = true;
        progress.is_compared = false;
        self.notify();
        drop(progress);
        // The new state, if it is not used, may also hold the last reference to a handler.
        discard((old, state));
    }

    /// Wakes the threads that wait for a change.
    fn notify(&self) {
        self.change.notify_all();
        self.answers.fetch_add(1, Ordering::Relaxed);
        futex::wake_private(&self.answers);
    }

    /// A program that was to provide the gate has ended. A thread that waits for the gate, or the next one that does,
    /// checks whether any provider can still come.
    pub(crate) fn start_failed(&self) {
        self.progress.lock().start_failed = true;
        self.notify();
    }
}

#[cfg(test)]
mod tests;
