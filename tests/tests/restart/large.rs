//! Large payloads, for which the broker provides memory: open loans, and calls that need more memory.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Payload};
use callgate_tests::restart::{Standing, Told};
use callgate_tests::shorthand::{await_that, code, open, pattern};
use callgate_tests::{Bus, PATIENCE, programs};

const WITHOUT: Duration = Duration::from_millis(300);
const MIB: usize = 1 << 20;

/// What a handler of raw bytes returns: how many there were, and the first one.
fn look(payload: &Payload<'_>) -> (u64, u8) {
    let mut bytes = vec![0; payload.len()];
    payload.copy_to(&mut bytes);
    (bytes.len() as u64, bytes[0])
}

/// Memory that is on loan when the broker ends stays, with what was written into it.
#[test]
fn open_loans_stay() {
    let mut bus = Bus::start(programs!());
    let (provider, caller) = (bus.plugin("Provider"), bus.plugin("Caller"));
    let look = |_: callgate_client::Context<'_>, payload: Payload<'_>| look(&payload);
    provider.provide_raw("Provider.Look", look).unwrap().keep();
    let gate = caller.raw_subscriber::<(u64, u8)>("Provider.Look").unwrap();
    gate.wait_ready(PATIENCE).unwrap();
    let gate = gate.with_timeout(PATIENCE);
    let told = [&provider, &caller].map(Told::by);
    let lengths = [100, 5_000, 3 * MIB, 300_000];
    let mut loans = lengths.map(|len| (len, gate.loan(len).unwrap()));
    for (n, (_, loan)) in loans.iter_mut().enumerate() {
        loan.bytes().fill(n as u8 + 1);
    }
    let mut loans = loans.into_iter().enumerate();
    let mut send = |what: &str| {
        let (n, (len, loan)) = loans.next().unwrap();
        let answer = loan.invoke().unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(answer, (len as u64, n as u8 + 1), "{what}");
    };
    send("before");
    bus.kill_broker();
    told.iter().for_each(|told| drop(told.lost()));
    send("without a broker");
    bus.start_broker();
    for told in &told {
        told.back();
    }
    send("with the next one");
    send("with the next one");
    drop(gate.loan(2 * MIB).unwrap());
}

/// A call whose payload needs more memory waits for the next broker, and does not fail.
#[test]
fn calls_that_need_more_memory_wait_for_the_next_broker() {
    let mut bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let zeros = open::<(u32,), Vec<u8>>(&caller, "P.Zeros");
    let told = Told::by(&caller);
    bus.kill_broker();
    told.lost();
    let (request, begun) = (pattern(1, 2 * MIB), Instant::now());
    let short = echo.with_timeout(WITHOUT);
    assert_eq!(code(short.invoke((request.clone(),))), Code::BrokerGone);
    let took = begun.elapsed();
    assert!(took >= WITHOUT, "it waited for {took:?} only");
    thread::scope(|scope| {
        let sent = scope.spawn(|| echo.invoke((request.clone(),)));
        // The provider needs memory for the answer, which only a link of the next broker could have.
        let asked = scope.spawn(|| zeros.invoke((2 * MIB as u32,)));
        thread::sleep(WITHOUT);
        assert!(!sent.is_finished());
        bus.start_broker();
        assert!(sent.join().unwrap().unwrap() == request);
        // That call has run, and must not run twice.
        let error = asked.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::BrokerGone);
        assert!(error.may_have_run(), "{error}");
    });
    told.back();
    assert!(echo.invoke((request.clone(),)).unwrap() == request);
    assert_eq!(zeros.invoke((2 * MIB as u32,)).unwrap(), vec![0; 2 * MIB]);
}

/// Large calls go on over a restart: the memory of an old link is used with that link only.
#[test]
fn large_calls_go_on_over_a_restart() {
    let mut bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let told = Told::by(&caller);
    let calls = Standing::start("P.Echo", move |n| {
        let bytes = pattern(n, 1000 << (n % 12));
        let echoed = echo.invoke((bytes.clone(),))?;
        assert!(echoed == bytes, "call {n}");
        Ok(())
    });
    // By now there is memory for all lengths, including answers. An answer without memory would fail when the broker
    // ends.
    await_that("all lengths were called", || calls.answered() > 25);
    bus.restart_broker();
    told.lost();
    told.back();
    let before = calls.answered();
    await_that("all lengths were called", || calls.answered() > before + 25);
    let (made, longest) = calls.finish();
    println!("{made} calls, the longest {longest:?}");
}
