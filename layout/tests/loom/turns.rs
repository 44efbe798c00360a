//! TURN-ENDED, TURN-LENT and TURN-OR-WAITER: threads that take turns at running handlers, as in the
//! client's `turn.rs` and `lending.rs`.

use std::sync::Arc;

use callgate_layout::turns::{Lent, Turn, Turns};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use crate::bench::{Futex, Without, check};

const ONE: u64 = 1 << 63 | 1;
const TWO: u64 = 1 << 63 | 2;
/// The numbers of threads.
const DISPATCHER: u64 = 7;
const VISITOR: u64 = 8;

struct Token {
    turns: Turns,
    queue: Futex,
    /// Read and written by handlers, without more order than turns give.
    handled: AtomicU32,
    without: Without,
}

impl Token {
    fn new(without: Without) -> Arc<Token> {
        Arc::new(Token {
            turns: Turns::default(),
            queue: Futex::new(),
            handled: AtomicU32::new(0),
            without,
        })
    }

    fn handle(&self) {
        let before = self.handled.load(Ordering::Relaxed);
        self.handled.store(before + 1, Ordering::Relaxed);
    }

    fn tell_if(&self, is_awaited: bool) {
        if is_awaited {
            self.turns.change();
            self.queue.wake();
        }
    }

    fn end(&self, turn: Turn) {
        self.tell_if(self.turns.end(turn));
    }

    /// Waits until `attempt` gives something.
    fn wait_for<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        loop {
            let seen = self.turns.seen();
            if self.without != Without::SecondLook
                && let Some(found) = attempt()
            {
                break found;
            }
            self.queue.wait(|| self.turns.seen() == seen);
            if let Some(found) = attempt() {
                break found;
            }
        }
    }

    fn visit(&self, chain: u64, me: u64) -> Turn {
        if let Some(turn) = self.turns.visit(chain, me) {
            return turn;
        }
        self.turns.begin_wanting();
        let first = self.turns.seen();
        let turn = self.wait_for(|| {
            if self.turns.seen() != first {
                self.turns.reserve(me);
            }
            self.turns.visit(chain, me)
        });
        self.turns.end_wanting();
        turn
    }

    /// As [`Token::visit`], where the time is up after one look: without a turn it tells the others that it
    /// wants none any more.
    fn visit_in_vain(&self, chain: u64, me: u64) {
        self.turns.begin_wanting();
        let turn = self.turns.visit(chain, me);
        self.turns.end_wanting();
        match turn {
            Some(turn) => self.end(turn),
            None => self.tell_if(true),
        }
    }

    fn begin(&self, chain: u64) -> Turn {
        self.begin_on(chain, DISPATCHER)
    }

    fn begin_on(&self, chain: u64, me: u64) -> Turn {
        if let Some(turn) = self.turns.begin(chain, || me) {
            return turn;
        }
        self.turns.begin_waiting();
        let first = self.turns.seen();
        let turn = self.wait_for(|| {
            if self.turns.seen() != first {
                self.turns.reserve(me);
            }
            self.turns.begin(chain, || me)
        });
        self.turns.end_waiting();
        turn
    }

    /// The dispatcher runs calls, and lets visitors go first after each.
    fn dispatch(&self, chain: u64, calls: u32) {
        for _ in 0..calls {
            let turn = self.begin(chain);
            self.handle();
            self.end(turn);
            self.tell_if(self.turns.offer());
        }
        self.tell_if(self.turns.release());
    }

    fn lend(&self, chain: u64, me: u64) -> Lent {
        let (lent, is_awaited) = self.turns.begin_lending(chain, me).unwrap();
        self.tell_if(is_awaited);
        lent
    }

    fn take_back(&self, lent: Lent, me: u64) {
        if self.turns.end_lending(lent, me) {
            return;
        }
        self.turns.begin_waiting();
        self.wait_for(|| self.turns.end_lending(lent, me).then_some(()));
        self.turns.end_waiting();
    }
}

fn a_dispatcher_and_a_visitor(without: Without, calls: u32) {
    let token = Token::new(without);
    let visitor = thread::spawn({
        let token = token.clone();
        move || {
            let turn = token.visit(TWO, VISITOR);
            token.handle();
            token.end(turn);
        }
    });
    token.dispatch(ONE, calls);
    visitor.join().unwrap();
    assert_eq!(token.handled.load(Ordering::Relaxed), calls + 1);
    assert_eq!(token.turns.holder(|| DISPATCHER), None);
}

#[test]
fn a_dispatcher_and_a_visitor_take_turns() {
    check(None, || a_dispatcher_and_a_visitor(Without::Nothing, 1));
}

/// At most two preemptions.
#[test]
fn a_dispatcher_between_two_calls_and_a_visitor_take_turns() {
    check(Some(2), || a_dispatcher_and_a_visitor(Without::Nothing, 2));
}

/// A visitor goes without a turn while the dispatcher, which has offered it one, waits until nobody wants
/// any: the visitor has no fence of its own before it tells. At most three preemptions.
#[test]
fn a_visitor_that_goes_without_a_turn_is_not_waited_for() {
    check(Some(3), || {
        let token = Token::new(Without::Nothing);
        let visitor = thread::spawn({
            let token = token.clone();
            move || token.visit_in_vain(TWO, VISITOR)
        });
        token.dispatch(ONE, 2);
        visitor.join().unwrap();
        assert_eq!(token.handled.load(Ordering::Relaxed), 2);
    });
}

/// Who waits without looking once more after it was counted sleeps through the end of a turn.
#[test]
#[should_panic(expected = "deadlock")]
fn without_the_second_look_a_turn_is_slept_through() {
    check(None, || a_dispatcher_and_a_visitor(Without::SecondLook, 1));
}

/// Two visitors and the dispatcher, who reserve the next turn where they had to wait. At most two
/// preemptions.
#[test]
fn a_claim_holds_nobody_up_for_ever() {
    check(Some(2), || {
        let token = Token::new(Without::Nothing);
        let visitors = [TWO, TWO + 1].map(|chain| {
            let token = token.clone();
            thread::spawn(move || {
                let turn = token.visit(chain, VISITOR + chain);
                token.handle();
                token.end(turn);
            })
        });
        token.dispatch(ONE, 1);
        for visitor in visitors {
            visitor.join().unwrap();
        }
        assert_eq!(token.handled.load(Ordering::Relaxed), 3);
    });
}

/// A visitor lends its turn, and gives up waiting while its chain may have come back on the
/// dispatcher's thread. At most three preemptions.
#[test]
fn a_lender_and_its_chain_take_turns() {
    check(Some(3), || {
        let token = Token::new(Without::Nothing);
        let turn = token.visit(ONE, VISITOR);
        token.handle();
        let dispatcher = thread::spawn({
            let token = token.clone();
            move || token.dispatch(ONE, 1)
        });
        let lent = token.lend(ONE, VISITOR);
        token.take_back(lent, VISITOR);
        token.handle();
        token.end(turn);
        dispatcher.join().unwrap();
        assert_eq!(token.handled.load(Ordering::Relaxed), 3);
        assert_eq!(token.turns.holder(|| DISPATCHER), None);
    });
}

/// Two threads pump one plugin, one after the other: each begins as the dispatcher, with its own number,
/// lends its turn while its handler waits, and lets go before the other may pump.
fn two_pumps(without: Without) {
    let token = Token::new(without);
    let door = Arc::new(Mutex::new(()));
    let pump = |chain: u64, me: u64| {
        let (token, door) = (token.clone(), door.clone());
        move || {
            let alone = door.lock().unwrap();
            let turn = token.begin_on(chain, me);
            token.handle();
            let lent = token.lend(chain, me);
            token.take_back(lent, me);
            token.handle();
            token.end(turn);
            token.tell_if(token.turns.offer());
            if without != Without::ThePoint {
                token.tell_if(token.turns.release());
            }
            drop(alone);
        }
    };
    let other = thread::spawn(pump(TWO, DISPATCHER + 4));
    let visitor = thread::spawn({
        let token = token.clone();
        move || {
            let turn = token.visit(TWO + 1, VISITOR);
            token.handle();
            token.end(turn);
        }
    });
    pump(ONE, DISPATCHER)();
    other.join().unwrap();
    visitor.join().unwrap();
    assert_eq!(token.handled.load(Ordering::Relaxed), 5);
    assert_eq!(token.turns.holder(|| VISITOR), None);
}

/// At most two preemptions.
#[test]
fn two_threads_that_pump_and_a_visitor_take_turns() {
    check(Some(2), || two_pumps(Without::Nothing));
}

/// The other thread would take a turn that the first one still counts as its own, and could not lend it.
#[test]
#[should_panic]
fn without_letting_go_the_next_thread_that_pumps_has_no_turn_of_its_own() {
    check(Some(2), || two_pumps(Without::ThePoint));
}
