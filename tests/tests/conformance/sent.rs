//! Calls that are sent and not waited for.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use callgate_client::dynamic::Sent;
use callgate_client::{Code, signature_of};
use callgate_tests::PATIENCE;
use callgate_tests::suite::later::{number, plus_one};

use crate::later::{await_held, later, open, release};
use crate::setup::{Mode, SHORT, Setup};

/// How many slots one gate may have at once, and all calls outside of chains together.
const OF_A_GATE: u64 = 32;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The simplest executor.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park_timeout(PATIENCE),
        }
    }
}

/// Of many more calls than there are slots, each gets its own answer.
pub(crate) fn each_of_many_calls_gets_its_own_answer(mode: Mode) {
    let setup = Setup::new(mode);
    let next = open(&setup, "S.LaterNext", &number());
    let both = open(&setup, "S.Both", &signature_of::<(u64,), u64>());
    let calls: Vec<(Sent, Sent)> = (0..500_u32)
        .map(|n| {
            let later = next.send(&n.to_le_bytes()).unwrap();
            let at_once = both.send(&u64::from(n).to_le_bytes()).unwrap();
            (later, at_once)
        })
        .collect();
    for (n, (later, at_once)) in (0..500_u32).zip(calls) {
        assert_eq!(*later.wait().unwrap(), plus_one(&n.to_le_bytes()));
        let expected = u64::from(n) + 1;
        assert_eq!(*block_on(at_once).unwrap(), expected.to_le_bytes());
    }
}

/// A future that has moved to another task wakes that task: the last waker counts.
pub(crate) fn a_future_is_told_by_the_waker_of_its_last_poll(mode: Mode) {
    let setup = Setup::new(mode);
    let later = later(&setup);
    let mut sent = later.send(b"h").unwrap();
    await_held(&setup, 1, 0);
    let mut first = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut sent).poll(&mut first).is_pending());
    let task = thread::spawn(move || block_on(sent));
    thread::sleep(SHORT);
    release(&setup);
    assert_eq!(*task.join().unwrap().unwrap(), *b"released");
}

/// A call that waits for a slot ends at its deadline, and is known not to have been sent.
pub(crate) fn a_deadline_passes_with_a_slot_and_without(mode: Mode) {
    let setup = Setup::new(mode);
    let later = later(&setup);
    let hasty = later.with_timeout(Duration::from_millis(150));
    let mut sent: Vec<_> = (0..100).map(|_| hasty.send(b"h").unwrap()).collect();
    let waiting = sent.split_off(OF_A_GATE as usize);
    for sent in sent {
        let error = sent.wait().unwrap_err();
        // On a busy machine the provider may have taken it too late to run it.
        assert_eq!(error.code(), Code::Timeout, "{error}");
    }
    for waiting in waiting {
        let error = block_on(waiting).unwrap_err();
        assert_eq!(error.code(), Code::Overloaded, "{error}");
        assert!(!error.may_have_run(), "{error}");
    }
    release(&setup);
    assert_eq!(*later.call(b"after that").unwrap(), *b"after that");
}

/// A call that is dropped while it waits for a slot is never sent. One that is dropped after it was sent gives its
/// slot back.
pub(crate) fn what_is_dropped_gives_its_slot_back(mode: Mode) {
    let setup = Setup::new(mode);
    let later = later(&setup);
    for _ in 0..5 {
        let sent: Vec<_> = (0..100).map(|_| later.send(b"h").unwrap()).collect();
        await_held(&setup, OF_A_GATE, 0);
        drop(sent);
        await_held(&setup, OF_A_GATE, OF_A_GATE);
        release(&setup);
        // Only calls that had been sent reached the provider.
        await_held(&setup, 0, 0);
    }
    let sent: Vec<_> = (0..100_u8).map(|n| later.send(&[n]).unwrap()).collect();
    for (n, sent) in (0..100_u8).zip(sent) {
        if ![b'h', b'p', b'd', b'f'].contains(&n) {
            assert_eq!(*sent.wait().unwrap(), [n]);
        }
    }
}

/// If the provider is killed, calls that wait for a slot end, too.
pub(crate) fn a_provider_s_end_is_told_of_calls_that_were_sent_and_of_those_that_wait(mode: Mode) {
    let setup = Setup::new(mode);
    let later = later(&setup);
    let mut sent: Vec<_> = (0..100).map(|_| later.send(b"h").unwrap()).collect();
    let waiting = sent.split_off(OF_A_GATE as usize);
    await_held(&setup, OF_A_GATE, 0);
    setup.end();
    // A plugin that closes in order answers the calls that it holds. This frees slots for waiting calls, which are
    // sent and find the plugin closed.
    let may_be_sent = mode == Mode::Direct;
    for (all, may_have_run) in [(sent, true), (waiting, false)] {
        for sent in all {
            let error = block_on(sent).unwrap_err();
            assert_eq!(error.code(), Code::ProviderGone, "{error}");
            assert!(
                error.may_have_run() == may_have_run || may_be_sent,
                "{error}"
            );
        }
    }
    // The next provider has slots of its own.
    setup.begin();
    let later = crate::later::later(&setup);
    let sent: Vec<_> = (0..100_u8).map(|_| later.send(b"e").unwrap()).collect();
    for sent in sent {
        assert_eq!(*sent.wait().unwrap(), *b"e");
    }
}

/// A task that waits for an answer is woken when its own plugin closes.
pub(crate) fn the_caller_s_end_is_told_too(mode: Mode) {
    let setup = Setup::new(mode);
    let another = setup.bus.builder("U").connect().unwrap();
    let gate =
        callgate_client::dynamic::open(&another, "S.Later", &callgate_tests::suite::later::bytes());
    let gate = gate.unwrap().with_timeout(PATIENCE);
    gate.wait_ready(PATIENCE).unwrap();
    let mut sent: Vec<_> = (0..100).map(|_| gate.send(b"h").unwrap()).collect();
    await_held(&setup, OF_A_GATE, 0);
    let task = thread::spawn({
        let last = sent.pop().unwrap();
        move || block_on(last)
    });
    drop(another);
    let outcomes = sent.into_iter().map(Sent::wait);
    for outcome in outcomes.chain([task.join().unwrap()]) {
        assert_eq!(outcome.unwrap_err().code(), Code::Closed);
    }
    assert_eq!(gate.send(b"h").unwrap_err().code(), Code::Closed);
    await_held(&setup, OF_A_GATE, OF_A_GATE);
    release(&setup);
}
