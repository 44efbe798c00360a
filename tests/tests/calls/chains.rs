//! Chains of calls in which a call is slow, has large payloads, competes with many others, or is given up.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{
    CancelToken, Code, Context, Dispatch, HandlerError, Payload, Result, Subscriber,
};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, programs};

/// The only thread of a plugin publishes a large answer also while a handler further down its stack waits for a call
/// of its own. The answer needs an extent, which arrives later. A thread that slept through its arrival would leave
/// the chain waiting until its deadline.
#[test]
fn a_large_answer_gets_out_while_its_thread_waits_in_the_chain() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let bus = Bus::start(programs!());
        let a = bus.builder("A").dispatch(dispatch).connect().unwrap();
        let b = bus.plugin("B");
        let _large = a.provide("A.Large", || vec![7_u8; 300_000]).unwrap();
        let large = open::<(), Vec<u8>>(&b, "A.Large").with_timeout(Duration::from_secs(3));
        let back = move || -> Result<u64, HandlerError> { Ok(large.invoke(())?.len() as u64) };
        let _back = b.provide("B.Back", back).unwrap();
        let back = open::<(), u64>(&a, "B.Back");
        let through = move || -> Result<u64, HandlerError> { Ok(back.invoke(())?) };
        let _through = a.provide("A.Through", through).unwrap();
        let caller = bus.plugin("C");
        let through = open::<(), u64>(&caller, "A.Through");
        let start = Instant::now();
        assert_eq!(through.invoke(()).unwrap(), 300_000, "{dispatch:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{dispatch:?}");
    }
}

/// A call that its caller gives up while its handler runs, and what the two sides share.
#[derive(Default)]
struct GivenUp {
    /// The token by which the caller gives it up.
    token: Mutex<Option<CancelToken>>,
    /// Whether the handler that must run alone in its plugin is running.
    is_busy: AtomicBool,
    /// Whether the call that comes back is under way.
    comes: AtomicBool,
    /// The number of calls that came back.
    came: AtomicU32,
}

impl GivenUp {
    /// Must run alone in its plugin, from before the call that comes back until well after it.
    fn compute(&self) {
        self.is_busy.store(true, Ordering::SeqCst);
        await_that("something comes back", || self.comes.load(Ordering::SeqCst));
        thread::sleep(Duration::from_millis(200));
        self.is_busy.store(false, Ordering::SeqCst);
    }

    fn look(&self) {
        assert!(!self.is_busy.load(Ordering::SeqCst), "two handlers at once");
        self.came.fetch_add(1, Ordering::SeqCst);
    }

    /// A handler whose caller gives up as soon as it runs. It calls back when the plugin is busy.
    fn slow(&self, come_back: impl FnOnce()) {
        let token = self.token.lock().expect("no panic").take();
        token.expect("it can be given up").cancel();
        await_that("it is busy", || self.is_busy.load(Ordering::SeqCst));
        self.comes.store(true, Ordering::SeqCst);
        come_back();
    }

    fn give_up(&self, slow: &Subscriber<(), ()>) {
        let token = CancelToken::new();
        *self.token.lock().expect("no panic") = Some(token.clone());
        self.comes.store(false, Ordering::SeqCst);
        let error = slow.with_cancel(&token).invoke(()).unwrap_err();
        assert_eq!(error.code(), Code::Cancelled, "{error}");
    }
}

/// Two handlers of one plugin never run at the same time. Here a visitor's handler calls on, gives that call up and
/// computes. The abandoned call comes back in the same chain, and must not be let in as if the rest of the chain were
/// waiting.
fn nothing_comes_in_beside_a_handler_that_gave_up(is_the_same_call: bool) {
    let bus = Bus::start(programs!());
    let a = bus.builder("A").direct_calls(true).connect().unwrap();
    let b = bus.plugin("B");
    let given_up = Arc::new(GivenUp::default());
    let seen = given_up.clone();
    // Raw payloads always pass through the link.
    let look = move |_: Context<'_>, _: Payload<'_>| seen.look();
    let _look = a.provide_raw("A.Look", look).unwrap();
    let look = b.raw_subscriber::<()>("A.Look").unwrap();
    look.wait_ready(PATIENCE).unwrap();
    let look = look.with_timeout(PATIENCE);
    let seen = given_up.clone();
    let slow = move || seen.slow(|| look.loan(8).unwrap().invoke().unwrap());
    let _slow = b.provide("B.Slow", slow).unwrap();
    let slow = open::<(), ()>(&a, "B.Slow");
    let seen = given_up.clone();
    let hasty = move || {
        seen.give_up(&slow);
        if is_the_same_call {
            seen.compute();
        }
    };
    let seen = given_up.clone();
    let _gates = (
        a.provide("A.Hasty", hasty).unwrap(),
        a.provide("A.Compute", move || seen.compute()).unwrap(),
    );
    let visitor = bus.plugin("V");
    let (hasty, compute) = (
        open::<(), ()>(&visitor, "A.Hasty"),
        open::<(), ()>(&visitor, "A.Compute"),
    );
    for n in 1..=3 {
        hasty.invoke(()).unwrap();
        compute.invoke(()).unwrap();
        await_that("it came back", || given_up.came.load(Ordering::SeqCst) == n);
    }
}

#[test]
fn nothing_comes_in_beside_the_handler_that_gave_up_itself() {
    nothing_comes_in_beside_a_handler_that_gave_up(true);
}

/// Each chain that a thread begins inside its process has a name of its own. So calls that are left over from the
/// last chain are not let in during the next one.
#[test]
fn nothing_comes_in_beside_the_next_call_of_the_same_thread() {
    nothing_comes_in_beside_a_handler_that_gave_up(false);
}

/// A call that comes back from a visitor's handler to the dispatcher's thread runs there while the visitor waits. If
/// it did not run, both would wait for ever.
#[test]
fn what_comes_back_runs_while_a_visitor_waits() {
    let bus = Bus::start(programs!());
    let a = bus.builder("A").direct_calls(true).connect().unwrap();
    let b = bus.plugin("B");
    let visitor = bus.plugin("V");
    let depths = Arc::new(AtomicU32::new(0));
    let count = depths.clone();
    let raw = move |context: Context<'_>, _: Payload<'_>| {
        count.fetch_add(u32::from(context.depth()), Ordering::SeqCst);
    };
    let _raw = a.provide_raw("A.Raw", raw).unwrap();
    let raw = b.raw_subscriber::<()>("A.Raw").unwrap();
    raw.wait_ready(PATIENCE).unwrap();
    let raw = raw.with_timeout(PATIENCE);
    let back = move || {
        // Twice, so that the turn is lent again after it was given back.
        (0..2).for_each(|_| raw.loan(8).unwrap().invoke().unwrap());
    };
    let _back = b.provide("B.Back", back).unwrap();
    let back = open::<(), ()>(&a, "B.Back");
    let through = move || -> Result<(), HandlerError> { Ok(back.invoke(())?) };
    let _through = a.provide("A.Through", through).unwrap();
    let through = open::<(), ()>(&visitor, "A.Through");
    // The time limit holds for each call: all of them together take long on few processors.
    let call = || {
        let start = Instant::now();
        through.invoke(()).unwrap();
        assert!(start.elapsed() < PATIENCE / 2);
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..200).for_each(|_| call()));
        }
    });
    assert_eq!(depths.load(Ordering::SeqCst), 3 * 2 * 400);
}

/// Calls to two gates fill all slots of a link that are open to them, each gate within its half. A chain that passes
/// through the link still finds a slot, so the handlers that wait for that chain go on.
fn a_crowd_leaves_slots_for_chains(dispatch: Dispatch) {
    let bus = Bus::start(programs!());
    let a = Arc::new(bus.plugin("A"));
    let b = Arc::new(bus.builder("B").dispatch(dispatch).connect().unwrap());
    let crowd = Arc::new(AtomicBool::new(false));
    let gates: Vec<_> = ["B.One", "B.Two", "B.Y"]
        .map(|gate| b.provide(gate, |n: u64| n + 1).unwrap())
        .into();
    let far = open::<(u64,), u64>(&a, "B.Y").with_timeout(Duration::from_secs(5));
    let came = crowd.clone();
    let hold = move |n: u64| -> Result<u64, HandlerError> {
        came.store(true, Ordering::SeqCst);
        // Long enough for 64 threads to arrive.
        thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        let answer = far.invoke((n,))?;
        assert!(start.elapsed() < Duration::from_secs(1));
        Ok(answer)
    };
    let _hold = a.provide("A.Hold", hold).unwrap();
    let hold = open::<(u64,), u64>(&b, "A.Hold");
    let enter = move |n: u64| -> Result<u64, HandlerError> { Ok(hold.invoke((n,))?) };
    let _enter = b.provide("B.Enter", enter).unwrap();
    let outside = bus.plugin("C");
    let enter = open::<(u64,), u64>(&outside, "B.Enter");
    let ways = ["B.One", "B.Two"].map(|gate| open::<(u64,), u64>(&a, gate));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while dispatch == Dispatch::Pump && !is_over.load(Ordering::SeqCst) {
                b.pump(Instant::now() + Duration::from_millis(20)).unwrap();
            }
        });
        let first = scope.spawn(|| enter.invoke((41,)));
        await_that("the chain is inside", || crowd.load(Ordering::SeqCst));
        let others: Vec<_> = (0..64)
            .map(|n| {
                let way = &ways[n as usize % 2];
                scope.spawn(move || way.invoke((n,)))
            })
            .collect();
        let answer = first.join().unwrap();
        let others: Vec<_> = others.into_iter().map(|one| one.join().unwrap()).collect();
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(answer.unwrap(), 42);
        assert!((0..64).zip(others).all(|(n, got)| got.unwrap() == n + 1));
    });
    drop(gates);
}

#[test]
fn a_crowd_leaves_slots_for_chains_on_a_thread() {
    a_crowd_leaves_slots_for_chains(Dispatch::Thread);
}

#[test]
fn a_crowd_leaves_slots_for_chains_in_a_pump() {
    a_crowd_leaves_slots_for_chains(Dispatch::Pump);
}

/// Two buses in one process may number their links alike. A call on one bus never counts as part of a chain on the
/// other, so its handler does not run in the middle of that chain's.
#[test]
fn chains_of_two_buses_are_two() {
    let buses = [Bus::start(programs!()), Bus::start(programs!())];
    let slow = buses[0].plugin("Z");
    let _slow = slow.provide("Z.Slow", || thread::sleep(Duration::from_millis(200)));
    let is_inside = Arc::new(AtomicBool::new(false));
    let [x, y] = ["X", "Y"].map(|name| {
        let bus = &buses[usize::from(name == "Y")];
        bus.builder(name)
            .dispatch(Dispatch::Pump)
            .connect()
            .unwrap()
    });
    let callers = [buses[0].plugin("C"), buses[1].plugin("C")];
    // Set once the gate can be opened: the first link of each bus must be that of its caller.
    let onward = Arc::new(std::sync::OnceLock::<Subscriber<(), ()>>::new());
    let (seen, next) = (is_inside.clone(), onward.clone());
    let outer = move || -> Result<(), HandlerError> {
        seen.store(true, Ordering::SeqCst);
        next.get().expect("it was opened").invoke(())?;
        seen.store(false, Ordering::SeqCst);
        Ok(())
    };
    let _outer = x.provide("X.Outer", outer).unwrap();
    let seen = is_inside.clone();
    let _inner = y
        .provide("Y.Inner", move || seen.load(Ordering::SeqCst))
        .unwrap();
    let outer = open::<(), ()>(&callers[0], "X.Outer");
    let inner = open::<(), bool>(&callers[1], "Y.Inner");
    onward.set(open(&x, "Z.Slow")).expect("it is empty");
    let [begins, ends] = [const { AtomicBool::new(false) }; 2];
    thread::scope(|scope| {
        // One thread pumps both plugins, and no other thread does.
        scope.spawn(|| {
            for plugin in [&x, &y] {
                plugin.pump(Instant::now()).unwrap();
            }
            begins.store(true, Ordering::SeqCst);
            while !ends.load(Ordering::SeqCst) {
                for plugin in [&x, &y] {
                    plugin
                        .pump(Instant::now() + Duration::from_millis(2))
                        .unwrap();
                }
            }
        });
        await_that("somebody serves", || begins.load(Ordering::SeqCst));
        let call = scope.spawn(|| outer.invoke(()));
        await_that("the outer handler runs", || {
            is_inside.load(Ordering::SeqCst)
        });
        let was_inside = inner.invoke(());
        let outcome = call.join().expect("no panic");
        ends.store(true, Ordering::SeqCst);
        outcome.unwrap();
        assert!(
            !was_inside.unwrap(),
            "a handler ran in the middle of another"
        );
    });
}
