//! TURN-ENDED, TURN-LENT and TURN-OR-WAITER: threads that take turns at running handlers. The steps are those of the
//! client; this file has what the threads sleep on, and what a dispatcher runs.

use std::sync::Arc;

use callgate_layout::turns::{Dispatching, Lent, Then, Turn, Turns, Watch};
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
    /// Handlers read and write this, ordered only by their turns.
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
            self.turns.tell(|| self.queue.wake());
        }
    }

    fn sleep(&self, seen: u32) {
        // As if the kernel did not compare the value.
        let blindly = self.without == Without::SecondLook;
        self.queue.wait(|| blindly || self.turns.seen() == seen);
    }

    fn end(&self, turn: Turn) {
        self.tell_if(self.turns.end(turn));
    }

    fn visit(&self, chain: u64, me: u64) -> Turn {
        if let Some(turn) = self.turns.visit(chain, me) {
            return turn;
        }
        self.visit_until(chain, me, || false).unwrap()
    }

    fn visit_until(&self, chain: u64, me: u64, is_over: impl Fn() -> bool) -> Option<Turn> {
        let sleep = |seen| self.sleep(seen);
        let (turn, is_awaited) = self.turns.visit_until((chain, me), is_over, sleep);
        self.tell_if(is_awaited);
        turn
    }

    /// A visit.
    fn call(&self, chain: u64, me: u64) {
        let turn = self.visit(chain, me);
        self.handle();
        self.end(turn);
    }

    /// A visit of a re-entrant gate.
    fn call_on_top(&self, chain: u64, me: u64) {
        let sleep = |seen| self.sleep(seen);
        let turns = &self.turns;
        let (turn, is_awaited) = turns.visit_on_top_until((chain, me), || false, sleep);
        self.tell_if(is_awaited);
        self.handle();
        self.end(turn.unwrap());
    }

    /// The dispatcher runs calls, and lets visitors go first after each.
    fn dispatch(&self, chain: u64, calls: u32) {
        self.serve(chain, DISPATCHER, calls, &|| {});
        self.tell_if(self.turns.release());
    }

    /// The same without letting go in the end, on a thread with this number; each call does something.
    fn serve(&self, chain: u64, me: u64, calls: u32, work: &dyn Fn()) {
        let mut dispatcher = Dispatcher {
            token: self,
            chain,
            me,
            calls,
            work,
        };
        while dispatcher.calls > 0 {
            if !dispatcher.serve_one() && self.turns.holder(|| me).is_some() {
                let is_awaited = self.turns.await_turn(me, &mut dispatcher);
                self.tell_if(is_awaited);
            }
            self.tell_if(self.turns.offer());
        }
    }

    fn lend(&self, chain: u64, me: u64) -> Lent {
        let (lent, is_awaited) = self.turns.begin_lending(chain, me).unwrap();
        self.tell_if(is_awaited);
        lent
    }

    fn take_back(&self, lent: Lent, me: u64) {
        while !self.turns.end_lending(lent, me) {
            self.turns.await_return(lent, |seen| self.sleep(seen));
        }
    }

    /// Waits inside its handler, which continues when the lent turn is back.
    fn wait_inside(&self, chain: u64, me: u64) {
        let lent = self.lend(chain, me);
        self.take_back(lent, me);
        self.handle();
    }
}

/// A dispatcher's thread with calls of one chain.
struct Dispatcher<'a> {
    token: &'a Token,
    chain: u64,
    me: u64,
    calls: u32,
    work: &'a dyn Fn(),
}

impl Dispatcher<'_> {
    fn serve_one(&mut self) -> bool {
        if self.calls == 0 {
            return false;
        }
        let Some(turn) = self.token.turns.begin(self.chain, || self.me) else {
            return false;
        };
        self.calls -= 1;
        self.token.handle();
        (self.work)();
        self.token.end(turn);
        true
    }
}

impl Dispatching for Dispatcher<'_> {
    fn has_work(&mut self) -> bool {
        self.calls > 0
    }

    fn serve(&mut self, holder: u64, _: impl Fn() -> bool) -> Then {
        if holder == self.chain {
            self.serve_one();
        }
        Then::Sleep
    }

    fn sleep(&mut self, holder: u64, watch: &Watch<'_>) {
        // The set of calls that may run has changed.
        let may_run = holder == self.chain && self.token.turns.could_begin(holder, self.me);
        if self.calls == 0 || !may_run {
            self.token.queue.wait(|| watch.is_unchanged());
        }
    }

    fn run(&mut self) {
        self.serve_one();
    }
}

fn a_dispatcher_and_a_visitor(without: Without, calls: u32) {
    let token = Token::new(without);
    let visitor = thread::spawn({
        let token = token.clone();
        move || token.call(TWO, VISITOR)
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
            move || match token.visit_until(TWO, VISITOR, || true) {
                Some(turn) => token.end(turn),
                None => {}
            }
        });
        token.dispatch(ONE, 2);
        visitor.join().unwrap();
        assert_eq!(token.handled.load(Ordering::Relaxed), 2);
    });
}

/// A thread that sleeps even though something has changed since its look sleeps through the end of a turn.
#[test]
#[should_panic(expected = "deadlock")]
fn without_comparing_the_changes_a_turn_is_slept_through() {
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
            thread::spawn(move || token.call(chain, VISITOR + chain))
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
        token.wait_inside(ONE, VISITOR);
        token.end(turn);
        dispatcher.join().unwrap();
        assert_eq!(token.handled.load(Ordering::Relaxed), 3);
        assert_eq!(token.turns.holder(|| DISPATCHER), None);
    });
}

/// A thread lends its turn to two calls of its chain, one after the other, on another thread, and wants it
/// back: if it comes between them, the second one waits until the handler has ended. At most three
/// preemptions.
#[test]
fn a_lender_is_told_and_so_is_who_comes_back_after_it() {
    check(Some(3), || {
        let token = Token::new(Without::Nothing);
        let turn = token.visit(ONE, VISITOR);
        token.handle();
        let borrower = thread::spawn({
            let token = token.clone();
            move || (0..2).for_each(|_| token.call(ONE, VISITOR + 1))
        });
        token.wait_inside(ONE, VISITOR);
        token.end(turn);
        borrower.join().unwrap();
        assert_eq!(token.handled.load(Ordering::Relaxed), 4);
        assert_eq!(token.turns.holder(|| DISPATCHER), None);
    });
}

/// A call of a re-entrant gate runs on top of another chain's wait, or after that chain's turn, and the lender goes
/// on when it has ended. At most three preemptions.
#[test]
fn a_lender_and_a_guest_of_another_chain_take_turns() {
    check(Some(3), || {
        let token = Token::new(Without::Nothing);
        let turn = token.visit(ONE, VISITOR);
        token.handle();
        let guest = thread::spawn({
            let token = token.clone();
            move || token.call_on_top(TWO, VISITOR + 1)
        });
        token.wait_inside(ONE, VISITOR);
        token.end(turn);
        guest.join().unwrap();
        assert_eq!(token.handled.load(Ordering::Relaxed), 3);
        assert_eq!(token.turns.holder(|| DISPATCHER), None);
    });
}

/// A thread that has reserved the next turn gets one because its chain lends it. The reservation ends, and the next
/// thread, here the lender in another chain, is told.
fn an_unused_reservation(
    preemptions: usize,
    borrow: impl Fn(&Token) + Copy + Send + Sync + 'static,
) {
    check(Some(preemptions), move || {
        let token = Token::new(Without::Nothing);
        let turn = token.visit(ONE, VISITOR);
        token.handle();
        let lender = thread::spawn({
            let token = token.clone();
            move || {
                token.wait_inside(ONE, VISITOR);
                token.end(turn);
                token.call(TWO, VISITOR);
            }
        });
        borrow(&token);
        lender.join().unwrap();
        assert_eq!(token.handled.load(Ordering::Relaxed), 4);
        assert_eq!(token.turns.holder(|| DISPATCHER), None);
    });
}

/// At most three preemptions.
#[test]
fn a_visitors_unused_reservation_holds_nobody_up() {
    an_unused_reservation(3, |token| token.call(ONE, VISITOR + 1));
}

/// At most one preemption.
#[test]
fn a_dispatchers_unused_reservation_holds_nobody_up() {
    an_unused_reservation(1, |token| token.dispatch(ONE, 1));
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
            token.serve(chain, me, 1, &|| token.wait_inside(chain, me));
            if without != Without::ThePoint {
                token.tell_if(token.turns.release());
            }
            drop(alone);
        }
    };
    let other = thread::spawn(pump(TWO, DISPATCHER + 4));
    let visitor = thread::spawn({
        let token = token.clone();
        move || token.call(TWO + 1, VISITOR)
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
