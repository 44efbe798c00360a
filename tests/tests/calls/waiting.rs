//! The ways of waiting.

use std::thread;
use std::time::Duration;

use callgate_client::{Code, WaitPolicy};
use callgate_tests::shorthand::{code, open};
use callgate_tests::{Bus, programs};

use crate::support::SHORT;

/// A way of waiting that misses its wake-up.
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
        // Everybody asleep by now.
        thread::sleep(Duration::from_millis(5));
        assert_eq!(near.invoke((1, 2)).unwrap(), 3);
    }
}
