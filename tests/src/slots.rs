//! Checks that everything that calls take has come back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use callgate_client::{CancelToken, Code, Plugin, Subscriber};

use crate::PATIENCE;
use crate::shorthand::{await_that, open, pattern};

/// How many calls outside of chains may be under way on one link: three quarters of its 64 slots.
pub const OUTSIDE_CHAINS: usize = 48;
/// How long calls that have begun may take to be sent. If some take longer, all are tried again with twice the time:
/// on a busy machine no fixed time is enough.
const SEND: Duration = Duration::from_millis(100);
const LONGEST_SEND: Duration = Duration::from_secs(3);

/// Gates of the suite's provider that do not answer until their callers give up.
pub type Hanging = [Subscriber<(), ()>; 2];

/// Opens the two gates that do not answer.
#[track_caller]
pub fn hanging(caller: &Plugin) -> Hanging {
    ["S.UntilCancelled", "S.Hang"].map(|gate| open(caller, gate))
}

/// Takes, all at once, every slot that the link to the suite's provider has for calls outside of chains, and all of
/// its payload blocks in both directions. Fails the test if any are missing.
#[track_caller]
pub fn expect_all(caller: &Plugin) {
    let hang = hanging(caller);
    // Slots of calls that were given up a moment ago may still be on their way back. Lost ones never come.
    let mut send = SEND;
    await_that("all slots of the link are free", || {
        let is_free = missing_after(&hang, send) == 0;
        send = LONGEST_SEND.min(2 * send);
        is_free
    });
    expect_area(caller);
}

/// The same for a provider in this process whose handlers run on their callers' threads. There are no slots, but
/// turns: each call gets one or times out.
#[track_caller]
pub fn expect_turns(caller: &Plugin) {
    let hang = hanging(caller);
    let hasty = [0, 1].map(|n| hang[n].with_timeout(Duration::from_millis(250)));
    let codes = together(&hasty);
    assert!(codes.iter().all(|code| *code == Code::Timeout), "{codes:?}");
    expect_area(caller);
}

#[track_caller]
fn expect_area(caller: &Plugin) {
    let echo = open::<(Vec<u8>,), Vec<u8>>(caller, "S.Echo");
    let bytes = pattern(9, 65_000);
    assert!(echo.invoke((bytes.clone(),)).expect("an echo") == bytes);
}

/// Makes as many calls at once as a link allows outside of chains, half of them to each gate, and gives all of them
/// up when they have begun. Returns how many had not been sent by then: those found no slot, or got no processor
/// time. No call ends before all of them are given up, so none can use the slot of another.
pub fn missing(hang: &Hanging) -> usize {
    missing_after(hang, LONGEST_SEND)
}

fn missing_after(hang: &Hanging, send: Duration) -> usize {
    let (token, begun) = (CancelToken::new(), AtomicUsize::new(0));
    let patient = [0, 1].map(|n| hang[n].with_timeout(PATIENCE).with_cancel(&token));
    thread::scope(|scope| {
        let calls: Vec<_> = (0..OUTSIDE_CHAINS)
            .map(|n| {
                let (patient, begun) = (&patient[n % 2], &begun);
                scope.spawn(move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    patient.invoke(())
                })
            })
            .collect();
        await_that("all calls have begun", || {
            begun.load(Ordering::Relaxed) == OUTSIDE_CHAINS
        });
        thread::sleep(send);
        token.cancel();
        let ended = calls.into_iter().map(|call| call.join().expect("no panic"));
        ended.filter(|outcome| !was_sent(outcome)).count()
    })
}

fn was_sent(outcome: &callgate_client::Result<()>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(error) => error.code() == Code::Cancelled && error.may_have_run(),
    }
}

/// Calls both gates at once; returns the outcomes. One of the two direct calls runs to its end, after its deadline.
fn together(hang: &Hanging) -> Vec<Code> {
    thread::scope(|scope| {
        let calls: Vec<_> = (0..OUTSIDE_CHAINS)
            .map(|n| {
                let hang = &hang[n % 2];
                scope.spawn(move || hang.invoke(()))
            })
            .collect();
        let ended = calls.into_iter().map(|call| call.join().expect("no panic"));
        ended
            .map(|outcome| outcome.map_or_else(|error| error.code(), |()| Code::Timeout))
            .collect()
    })
}
