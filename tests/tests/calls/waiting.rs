//! The policies of waiting for an answer.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use callgate_client::{CancelToken, Code, Context, Payload, WaitPolicy};
use callgate_tests::shorthand::{code, open};
use callgate_tests::{Bus, PATIENCE, programs};

use crate::support::SHORT;

/// No wait policy misses its wake-up.
#[test]
fn every_wait_policy_gets_its_answers() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let policies = [WaitPolicy::Park, WaitPolicy::Spin, WaitPolicy::Adaptive];
    for (n, policy) in policies.into_iter().enumerate() {
        let caller = bus
            .builder(&format!("Caller{n}"))
            .wait_policy(policy)
            .connect()
            .unwrap();
        let own = bus
            .builder(&format!("Own{n}"))
            .wait_policy(policy)
            .connect()
            .unwrap();
        let gate = format!("Own.Add{n}");
        let _add = own.provide(&gate, |a: u64, b: u64| a + b).unwrap();
        let far = open::<(u64, u64), u64>(&caller, "P.Add");
        let near = open::<(u64, u64), u64>(&caller, &gate);
        let slow = open::<(u64, Vec<u8>), Vec<u8>>(&caller, "P.Slow");
        for n in 0..300 {
            assert_eq!(far.invoke((n, 1)).unwrap(), n + 1);
            assert_eq!(near.invoke((n, 2)).unwrap(), n + 2);
        }
        assert_eq!(slow.invoke((20, vec![1])).unwrap(), [1]);
        assert_eq!(
            code(slow.with_timeout(SHORT).invoke((200, vec![1]))),
            Code::Timeout
        );
        // By now every thread sleeps.
        thread::sleep(Duration::from_millis(5));
        assert_eq!(near.invoke((1, 2)).unwrap(), 3);
    }
}

/// A token ends a raw call before its deadline, and its handler sees that.
#[test]
fn a_token_ends_raw_calls_too() {
    let bus = Bus::start(programs!());
    let (host, caller) = (bus.plugin("Host"), bus.plugin("Caller"));
    let (began, begun) = mpsc::sync_channel(1);
    let (saw, seen) = mpsc::sync_channel(1);
    let until_cancelled = move |context: Context<'_>, _: Payload<'_>| {
        began.send(()).unwrap();
        while !context.is_cancelled() && !context.deadline_passed() {
            thread::yield_now();
        }
        saw.send(context.is_cancelled()).unwrap();
    };
    let _long = host.provide_raw("Host.Long", until_cancelled).unwrap();
    let token = CancelToken::new();
    let long = caller.raw_subscriber::<()>("Host.Long").unwrap();
    let long = long.with_timeout(PATIENCE).with_cancel(&token);
    long.wait_ready(PATIENCE).unwrap();
    let before = long.loan(8).unwrap();
    thread::scope(|scope| {
        let call = scope.spawn(|| long.loan(8).unwrap().invoke().unwrap_err());
        begun.recv().unwrap();
        token.cancel();
        let error = call.join().unwrap();
        assert!(error.code() == Code::Cancelled && error.may_have_run());
    });
    assert!(seen.recv_timeout(PATIENCE).unwrap());
    let error = before.invoke().unwrap_err();
    assert!(error.code() == Code::Cancelled && !error.may_have_run());
}
