//! A small model of plugins: which thread may run what, by the rules of the client. The graph is compared with it; the model knows nothing
//! of graphs.

use std::collections::BTreeSet;

use super::setup::{Mode, Setup, Target};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) target: Target,
    pub(super) chain: usize,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    Queued,
    Runs,
    /// The handler has returned, and the call will be answered later.
    Later,
    Answered,
}

/// One item on a thread's stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    Handler {
        target: Target,
        chain: usize,
        /// The call that it handles, if that came through a link.
        call: Option<usize>,
        /// Whether it runs on top of another chain's wait; then it may not wait itself.
        is_foreign: bool,
    },
    Waits(Wait),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wait {
    /// A number that no other wait has.
    pub(super) number: usize,
    pub(super) chain: usize,
    pub(super) target: Target,
    /// The call that the thread waits for; `None` if the thread will run the handler itself.
    pub(super) call: Option<usize>,
    /// How many guests ran on top of this wait. Each time it begins anew, as far as the broker knows.
    pub(super) times: usize,
    /// The dispatchers that had calls to be answered later when this wait began.
    pub(super) later: Vec<usize>,
    /// The dispatchers whose turn the thread had then. It lends these turns, and goes on when it has them back.
    pub(super) lent: Vec<usize>,
    /// Whether the broker has ended this wait.
    pub(super) is_given_up: bool,
}

/// Everything that changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) calls: Vec<Call>,
    pub(super) stacks: Vec<Vec<Item>>,
    /// For each dispatcher that has turns: who has its turn, with later ones on top of earlier ones.
    pub(super) turns: Vec<Vec<(usize, usize)>>,
    pub(super) numbers: usize,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A thread outside of all plugins makes a call.
    Begin(Target),
    /// A thread that runs makes a call through a link.
    Call(usize, Target),
    /// A thread that runs makes a call inside its process.
    Visit(usize, Target),
    /// A thread takes a call.
    Serve(usize, usize),
    /// A handler returns. With `true`, its call will be answered later.
    Return(usize, bool),
    /// A thread whose wait is over goes on.
    GoOn(usize),
    /// A thread gives up the call that it waits for.
    GiveUp(usize),
    /// A call is answered that was left to be answered later.
    Answer(usize),
}

impl World {
    pub(super) fn new(setup: &Setup) -> World {
        World {
            calls: Vec::new(),
            stacks: vec![Vec::new(); setup.threads.len()],
            turns: vec![Vec::new(); setup.dispatchers.len()],
            numbers: 0,
        }
    }

    fn number(&mut self) -> usize {
        self.numbers += 1;
        self.numbers
    }

    /// The wait that a thread is in, if it waits.
    pub(super) fn wait(&self, thread: usize) -> Option<&Wait> {
        match self.stacks[thread].last() {
            Some(Item::Waits(wait)) => Some(wait),
            _ => None,
        }
    }

    /// Whether a thread is free to make a call, and in which chain.
    fn runs(&self, setup: &Setup, thread: usize) -> Option<Option<usize>> {
        let may_call_outside = match setup.threads[thread].0 {
            None => true,
            Some(dispatcher) => setup.dispatchers[dispatcher].mode == Mode::Pump,
        };
        match self.stacks[thread].last() {
            None => may_call_outside.then_some(None),
            Some(Item::Handler {
                chain, is_foreign, ..
            }) => (!is_foreign).then_some(Some(*chain)),
            Some(Item::Waits(_)) => None,
        }
    }

    /// The dispatcher whose turn a handler of a plugin needs.
    pub(super) fn turn_of(setup: &Setup, plugin: usize) -> Option<usize> {
        let is_pool = matches!(setup.mode_of(plugin), Mode::Pool(_));
        (!is_pool).then_some(setup.plugins[plugin].dispatcher)
    }

    /// Whether a thread may begin a handler in a chain, as far as turns are concerned.
    fn has_turn(&self, setup: &Setup, (thread, chain): (usize, usize), target: Target) -> bool {
        let Some(dispatcher) = World::turn_of(setup, target.plugin) else {
            return true;
        };
        let Some((holder, of)) = self.turns[dispatcher].last() else {
            return true;
        };
        // On top of its own handlers; or in a turn that another thread lends while it waits, which is for the rest of its chain and for
        // calls of re-entrant gates.
        let is_for = *of == chain || setup.gate(target).reentrant;
        *holder == thread || is_for && self.wait(*holder).is_some()
    }

    /// Whether a gate may run one more chain.
    fn has_place(&self, setup: &Setup, chain: usize, target: Target) -> bool {
        let items = self.stacks.iter().flatten();
        let inside: BTreeSet<usize> = items
            .filter_map(|item| match item {
                Item::Handler {
                    target: of, chain, ..
                } => (*of == target).then_some(*chain),
                Item::Waits(_) => None,
            })
            .collect();
        let limit = setup.gate(target).limit;
        limit.is_none_or(|limit| inside.contains(&chain) || inside.len() < limit)
    }

    fn has(&self, thread: usize, dispatcher: usize) -> bool {
        let holder = self.turns[dispatcher].last();
        holder.is_some_and(|(holder, _)| *holder == thread)
    }

    /// Whether a thread has all turns back that it has lent.
    fn has_all_back(&self, thread: usize, wait: &Wait) -> bool {
        wait.lent.iter().all(|lent| self.has(thread, *lent))
    }

    /// Whether a thread may take a call; `Some(true)` if it would run on top of another chain.
    pub(super) fn may_serve(&self, setup: &Setup, thread: usize, call: &Call) -> Option<bool> {
        let Call {
            target,
            chain,
            stage,
        } = *call;
        let dispatcher = setup.plugins[target.plugin].dispatcher;
        let is_its = setup.threads[thread].0 == Some(dispatcher);
        if stage != Stage::Queued || !is_its || !self.has_place(setup, chain, target) {
            return None;
        }
        let is_foreign = match self.stacks[thread].last() {
            None => false,
            Some(Item::Waits(wait)) if wait.call.is_some() => wait.chain != chain,
            Some(_) => return None,
        };
        let is_foreign = is_foreign || self.is_above_another(setup, chain, target.plugin);
        if is_foreign && !setup.gate(target).reentrant {
            return None;
        }
        let may = self.has_turn(setup, (thread, chain), target);
        may.then_some(is_foreign)
    }

    /// Whether a wait is over.
    fn is_over(&self, setup: &Setup, thread: usize, wait: &Wait) -> bool {
        if !self.has_all_back(thread, wait) {
            return false;
        }
        match wait.call {
            _ if wait.is_given_up => true,
            Some(call) => self.calls[call].stage == Stage::Answered,
            None => {
                self.has_turn(setup, (thread, wait.chain), wait.target)
                    && self.has_place(setup, wait.chain, wait.target)
            }
        }
    }

    /// The moves that bring calls under way to an end.
    pub(super) fn progress(&self, setup: &Setup) -> Vec<Move> {
        let mut moves = self.quiet_progress(setup);
        for (thread, stack) in self.stacks.iter().enumerate() {
            if let Some(Item::Handler { .. }) = stack.last() {
                moves.push(Move::Return(thread, false));
            }
        }
        let calls = self.calls.iter().enumerate();
        let later = calls.filter(|(_, call)| call.stage == Stage::Later);
        moves.extend(later.map(|(call, _)| Move::Answer(call)));
        moves
    }

    /// Those of these moves that the library makes at once.
    pub(super) fn quiet_progress(&self, setup: &Setup) -> Vec<Move> {
        let mut moves = Vec::new();
        for thread in 0..self.stacks.len() {
            if self
                .wait(thread)
                .is_some_and(|wait| self.is_over(setup, thread, wait))
            {
                moves.push(Move::GoOn(thread));
            }
            for (number, call) in self.calls.iter().enumerate() {
                if self.may_serve(setup, thread, call).is_some() {
                    moves.push(Move::Serve(thread, number));
                }
            }
        }
        moves
    }

    /// Whether a move is possible that is not among those of [`World::progress`].
    pub(super) fn may(&self, setup: &Setup, step: Move) -> bool {
        match step {
            Move::Begin(_) => true,
            Move::Call(thread, _) => self.runs(setup, thread).is_some(),
            Move::Visit(thread, target) => {
                let of = setup.threads[thread];
                let is_near = setup.process_of(target.plugin) == of.1;
                let is_mine = of.0 == Some(setup.plugins[target.plugin].dispatcher);
                let may_run = setup.mode_of(target.plugin) != Mode::Pump || is_mine;
                is_near && may_run && self.runs(setup, thread).is_some()
            }
            Move::Return(thread, true) => matches!(
                self.stacks[thread].last(),
                Some(Item::Handler { call: Some(_), .. })
            ),
            Move::GiveUp(thread) => self
                .wait(thread)
                .is_some_and(|wait| self.has_all_back(thread, wait)),
            _ => self.progress(setup).contains(&step),
        }
    }

    pub(super) fn make(&mut self, setup: &Setup, step: Move) {
        match step {
            Move::Begin(target) => {
                let chain = self.number();
                self.queue(target, chain);
            }
            Move::Call(thread, target) => {
                let chain = self.chain_of(setup, thread);
                let call = self.queue(target, chain);
                self.begin_wait(setup, thread, (target, chain, Some(call)));
            }
            Move::Visit(thread, target) => {
                let chain = self.chain_of(setup, thread);
                self.begin_wait(setup, thread, (target, chain, None));
                if self
                    .wait(thread)
                    .is_some_and(|wait| self.is_over(setup, thread, wait))
                {
                    self.go_on(setup, thread);
                }
            }
            Move::Serve(thread, number) => {
                let call = self.calls[number];
                let is_foreign = self.may_serve(setup, thread, &call) == Some(true);
                self.calls[number].stage = Stage::Runs;
                let of = (call.target, call.chain);
                self.enter(setup, thread, of, (Some(number), is_foreign));
            }
            Move::Return(thread, later) => self.leave(setup, thread, later),
            Move::GoOn(thread) => self.go_on(setup, thread),
            Move::GiveUp(thread) => {
                self.stacks[thread].pop();
            }
            Move::Answer(call) => self.calls[call].stage = Stage::Answered,
        }
    }

    fn chain_of(&mut self, setup: &Setup, thread: usize) -> usize {
        let chain = self.runs(setup, thread).flatten();
        chain.unwrap_or_else(|| self.number())
    }

    fn queue(&mut self, target: Target, chain: usize) -> usize {
        self.calls.push(Call {
            target,
            chain,
            stage: Stage::Queued,
        });
        self.calls.len() - 1
    }

    fn begin_wait(
        &mut self,
        setup: &Setup,
        thread: usize,
        (target, chain, call): (Target, usize, Option<usize>),
    ) {
        let dispatchers = 0..self.turns.len();
        let wait = Wait {
            lent: dispatchers.filter(|of| self.has(thread, *of)).collect(),
            times: 0,
            later: self.late_dispatchers(setup),
            is_given_up: false,
            number: self.number(),
            chain,
            target,
            call,
        };
        self.stacks[thread].push(Item::Waits(wait));
    }

    pub(super) fn late_dispatchers(&self, setup: &Setup) -> Vec<usize> {
        let calls = self.calls.iter();
        let later = calls.filter(|call| call.stage == Stage::Later);
        let later = later.map(|call| setup.plugins[call.target.plugin].dispatcher);
        later.collect()
    }

    fn go_on(&mut self, setup: &Setup, thread: usize) {
        if let Some(Item::Waits(wait)) = self.stacks[thread].pop()
            && wait.call.is_none()
            && !wait.is_given_up
        {
            let is_foreign = self.is_above_another(setup, wait.chain, wait.target.plugin);
            self.enter(setup, thread, (wait.target, wait.chain), (None, is_foreign));
        }
    }

    fn enter(
        &mut self,
        setup: &Setup,
        thread: usize,
        (target, chain): (Target, usize),
        (call, is_foreign): (Option<usize>, bool),
    ) {
        if let Some(dispatcher) = World::turn_of(setup, target.plugin) {
            self.turns[dispatcher].push((thread, chain));
            if self.has_guest(dispatcher) {
                self.count_guest(setup, dispatcher);
            }
        }
        self.stacks[thread].push(Item::Handler {
            target,
            chain,
            call,
            is_foreign,
        });
    }

    fn leave(&mut self, setup: &Setup, thread: usize, later: bool) {
        if let Some(Item::Handler { target, call, .. }) = self.stacks[thread].pop() {
            let turn = World::turn_of(setup, target.plugin);
            let was_guest = turn.filter(|of| self.has_guest(*of));
            if let Some(dispatcher) = turn {
                self.turns[dispatcher].pop();
            }
            if let Some(call) = call {
                self.calls[call].stage = match later {
                    true => Stage::Later,
                    false => Stage::Answered,
                };
            }
            // The answers that are still to come were left before the waits below the guest begin anew.
            if let Some(dispatcher) = was_guest {
                self.count_guest(setup, dispatcher);
            }
            let late = self.late_dispatchers(setup);
            if let Some(Item::Waits(wait)) = self.stacks[thread].last_mut() {
                (wait.times, wait.later) = (wait.times + 1, late);
            }
        }
    }
}
