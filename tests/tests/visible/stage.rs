//! A busy bus with a broker inside the test, and providers and callers in processes of their own.

use callgate::{Broker, Policy};
use callgate_tests::visible::Ways;
use callgate_tests::{Bus, Process, programs};

/// How many times a case is played.
pub(crate) fn rounds(usual: u64) -> u64 {
    let said = std::env::var("CALLGATE_ROUNDS").ok();
    said.map_or(usual, |said| said.parse().expect("a number"))
}

pub(crate) struct Stage {
    pub(crate) callers: Vec<Process>,
    _load: Process,
    pub(crate) broker: Broker,
    pub(crate) bus: Bus,
    next_way: usize,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let bus = Bus::without_broker(programs!());
        let broker = Broker::builder().socket(bus.socket()).start();
        let broker = broker.expect("a broker");
        let caller = |n: u32| bus.peer("visible-caller", &format!("Caller{n}"), &[]);
        Stage {
            callers: (0..3).map(caller).collect(),
            _load: bus.peer("visible-load", "Load", &[]),
            broker,
            bus,
            next_way: 0,
        }
    }

    pub(crate) fn provider(&self, name: &str, mode: &str) -> Process {
        self.bus.peer("visible-provider", name, &[mode])
    }

    /// Makes every caller call once, each in its next way of calling; returns the outcomes.
    pub(crate) fn call(&mut self) -> Vec<(&'static str, String)> {
        let mut outcomes = Vec::new();
        for caller in &mut self.callers {
            let way = Ways::ALL[self.next_way % Ways::ALL.len()];
            self.next_way += 1;
            caller.say(way);
            outcomes.push((way, String::new()));
        }
        // Coprime to the number of ways, so that each caller uses all of them.
        self.next_way += 2;
        for (caller, (_, outcome)) in self.callers.iter_mut().zip(&mut outcomes) {
            *outcome = caller.expect_line();
        }
        outcomes
    }

    /// Makes every caller call, and counts the calls that had another outcome.
    pub(crate) fn misses(&mut self, expected: &str, what: &str) -> u64 {
        let outcomes = self.call();
        let missed = outcomes.iter().filter(|(_, came)| came != expected);
        missed
            .map(|(way, came)| println!("{what}: {way}: {came} in place of {expected}"))
            .count() as u64
    }

    pub(crate) fn set_policy(&self, policy: Option<Policy>) {
        let missing = self.broker.set_policy("Caller*", policy);
        assert_eq!(missing.expect("the broker runs"), [""; 0]);
    }
}
