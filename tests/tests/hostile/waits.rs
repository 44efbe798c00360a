//! A plugin that reports false waits, or does not answer: it harms only the plugins that wait for it.

use std::collections::VecDeque;
use std::fs::read_to_string;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{
    Failure, GateToBroker, GateToPlugin, Held, Needs, SessionToBroker, ToBroker, ToPlugin,
    WaitToBroker, WaitToPlugin,
};
use callgate_tests::random::Random;
use callgate_tests::raw::{Raw, hello};
use callgate_tests::{Bus, PATIENCE, proc, programs};

use crate::scene::Scene;

/// Much longer than the 100 ms in which a circle is reported on an idle machine.
const A_WHILE: Duration = Duration::from_millis(300);

/// A plugin with one thread, which keeps the plugin's turn. All of them are in the test's process.
struct Thread {
    raw: Raw,
    id: u64,
    waits: u64,
    /// The broker's records about its waits that nobody has read yet.
    said: VecDeque<WaitToPlugin>,
}

impl Thread {
    fn join(bus: &Bus, name: &str) -> Thread {
        let mut raw = Raw::connect(bus);
        let (_, id, _) = raw.greet(hello(name));
        raw.send(SessionToBroker::StatusMapped);
        Thread {
            raw,
            id,
            waits: 0,
            said: VecDeque::new(),
        }
    }

    /// Waits for another one's turn until the broker knows of it; returns the wait's number.
    fn wait_for(&mut self, callee: u64) -> u64 {
        self.waits += 1;
        self.raw.send(waiting(self.waits, self.id, callee));
        let question = self.raw.open::<(u64,), u64>("no.gate");
        loop {
            match self.raw.receive().0 {
                ToPlugin::Gate(GateToPlugin::State { open, .. }) if open == question => break,
                ToPlugin::Wait(word) => self.said.push_back(word),
                _ => {}
            }
        }
        self.raw.send(GateToBroker::Close { open: question });
        self.waits
    }

    /// The next record about a wait, if one comes in time.
    fn hear(&mut self, timeout: Duration) -> Option<WaitToPlugin> {
        let until = Instant::now() + timeout;
        while self.said.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let (record, _) = self.raw.receive_silently(left)?;
            if let ToPlugin::Wait(word) = record {
                self.said.push_back(word);
            }
        }
        self.said.pop_front()
    }

    /// Expects the question whether a wait stands; returns the round.
    fn asked(&mut self, of: u64) -> u64 {
        match self.hear(PATIENCE) {
            Some(WaitToPlugin::Confirm { wait, round }) if wait == of => round,
            other => panic!("not asked for {of}: {other:?}"),
        }
    }

    fn confirm(&self, wait: u64, round: u64) {
        self.raw.send(WaitToBroker::Confirmed { wait, round });
    }

    /// Expects the question, and confirms the wait.
    fn stands(&mut self, wait: u64) {
        let round = self.asked(wait);
        self.confirm(wait, round);
    }

    /// Expects that a wait ends with `DEADLOCK`.
    fn told(&mut self, of: u64) -> Failure {
        match self.hear(PATIENCE) {
            Some(WaitToPlugin::Deadlock { wait, failure }) if wait == of => failure,
            other => panic!("not told of {of}: {other:?}"),
        }
    }
}

fn waiting(wait: u64, from: u64, callee: u64) -> WaitToBroker {
    let turn = Held {
        plugin: from,
        gate: None,
        of: 1,
    };
    WaitToBroker::Waiting {
        wait,
        chain: from << 32 | wait,
        callee,
        gate: "any.gate".into(),
        needs: Needs::Turn,
        holds: vec![turn],
        serves: Vec::new(),
    }
}

/// Two plugins form a circle, and one of them is told.
fn expect_circle(anna: &mut Thread, bert: &mut Thread) {
    let (first, last) = (anna.wait_for(bert.id), bert.wait_for(anna.id));
    anna.stands(first);
    bert.stands(last);
    let failure = bert.told(last);
    assert_eq!(failure.code, Code::Deadlock as u16);
    assert!(failure.message.contains("`anna`"), "{failure:?}");
    assert!(failure.message.contains("`bert`"), "{failure:?}");
    anna.raw.send(WaitToBroker::Over { wait: first });
    assert_eq!(anna.hear(Duration::from_millis(50)), None);
}

#[test]
fn a_circle_is_told_to_one_and_logged_once() {
    let bus = Bus::start(programs!());
    let [mut anna, mut bert] = ["anna", "bert"].map(|name| Thread::join(&bus, name));
    expect_circle(&mut anna, &mut bert);
    let log = proc::eventually("the broker says so", || {
        let log = read_to_string(bus.log()).expect("its log");
        let count = log.matches("a deadlock").count();
        (count == 1).then_some(log.clone()).ok_or(log)
    });
    let circle = "plugin `bert` waits for `any.gate` of plugin `anna`, which waits for `any.gate` of plugin `bert`";
    assert!(log.contains(circle), "{log}");
}

/// A plugin that does not answer the broker's question harms only those that wait for it: other circles are still
/// reported. It keeps its session.
#[test]
fn who_never_confirms_hurts_those_who_wait_for_it() {
    let bus = Bus::start(programs!());
    let names = ["anna", "bert", "victim", "villain"];
    let [mut anna, mut bert, mut victim, mut villain] = names.map(|name| Thread::join(&bus, name));
    let (first, last) = (victim.wait_for(villain.id), villain.wait_for(victim.id));
    victim.stands(first);
    let round = villain.asked(last);
    expect_circle(&mut anna, &mut bert);
    assert_eq!(victim.hear(A_WHILE), None);
    // It confirms late and twice, and is then told as others are.
    villain.confirm(last, round);
    villain.confirm(last, round);
    let _ = villain.told(last);
    assert_eq!(victim.hear(A_WHILE), None);
    expect_circle(&mut anna, &mut bert);
}

/// Answers for the waits of others, and to questions that nobody asked, do not count.
#[test]
fn nobody_answers_for_others() {
    let bus = Bus::start(programs!());
    let [mut anna, mut bert, villain] =
        ["anna", "bert", "villain"].map(|name| Thread::join(&bus, name));
    let (first, last) = (anna.wait_for(bert.id), bert.wait_for(anna.id));
    let round = anna.asked(first);
    for wait in [first, last] {
        for round in 0..=round + 1 {
            villain.confirm(wait, round);
        }
        villain.raw.send(WaitToBroker::Over { wait });
    }
    bert.confirm(last, round + 1);
    bert.stands(last);
    assert_eq!(bert.hear(A_WHILE), None, "anna has not answered");
    anna.confirm(first, round);
    let _ = bert.told(last);
}

/// If a plugin's end breaks a circle while the others are being asked, no wait ends with `DEADLOCK`.
#[test]
fn a_session_that_ends_during_a_question_breaks_the_circle() {
    let bus = Bus::start(programs!());
    let [mut anna, mut bert, mut villain] =
        ["anna", "bert", "villain"].map(|name| Thread::join(&bus, name));
    let waits = [
        anna.wait_for(bert.id),
        bert.wait_for(villain.id),
        villain.wait_for(anna.id),
    ];
    anna.stands(waits[0]);
    bert.stands(waits[1]);
    villain.asked(waits[2]);
    drop(villain);
    assert_eq!(anna.hear(A_WHILE), None);
    assert_eq!(bert.hear(A_WHILE), None);
    anna.raw.send(WaitToBroker::Over { wait: waits[0] });
    expect_circle(&mut anna, &mut bert);
}

/// An impossible stack ends the session. A flood of waits costs only the plugin that reports them.
#[test]
fn floods_and_impossible_stacks_hurt_the_one_who_sends_them() {
    let bus = Bus::start(programs!());
    let names = ["anna", "bert", "villain", "liar"];
    let [mut anna, mut bert, villain, mut liar] = names.map(|name| Thread::join(&bus, name));
    for wait in 0..3000 {
        villain.raw.send(waiting(wait, villain.id, anna.id));
    }
    expect_circle(&mut anna, &mut bert);
    // At more than the permitted rate of requests its session ends.
    let flood = ToBroker::from(waiting(1, villain.id, anna.id)).encode();
    let flood = flood.expect("a short record");
    for _ in 0..20_000 {
        if villain.raw.send_bytes(&flood).is_err() {
            break;
        }
    }
    let mut record = waiting(1, liar.id, anna.id);
    if let WaitToBroker::Waiting { serves, .. } = &mut record {
        *serves = vec![1; 100];
    }
    liar.raw.send(record);
    let (code, message) = liar.raw.ended();
    assert_eq!(code, Code::Protocol, "{message}");
    expect_circle(&mut anna, &mut bert);
}

/// Any reports about waits, with the numbers of existing plugins and others: honest plugins in other processes still
/// call each other, and a circle beside them is reported.
#[test]
fn any_lies_hurt_only_the_liar() {
    let mut scene = Scene::new();
    let mut random = Random::new("lies about waits");
    let names = ["anna", "bert"];
    let [mut anna, mut bert] = names.map(|name| Thread::join(&scene.bus, name));
    let start = Instant::now();
    let mut lies = 0;
    while lies < 2000 && start.elapsed() < PATIENCE {
        let mut villain = Thread::join(&scene.bus, "villain");
        // It may have a wait for each of the others, and these wait only for each other.
        for _ in 0..250 {
            let lie = lie(&mut random, villain.id, &[anna.id, bert.id]);
            villain.raw.send(lie);
            lies += 1;
        }
        expect_circle(&mut anna, &mut bert);
        // Its answers may be anything, whatever the question was.
        while let Some(WaitToPlugin::Confirm { wait, round }) = villain.hear(Duration::ZERO) {
            villain.confirm(
                wait ^ random.below(2) as u64,
                round ^ random.below(2) as u64,
            );
        }
        drop(villain);
    }
    scene.is_well();
    drop((anna, bert));
    scene.end();
}

/// Any record about a wait. It says nothing about what the honest plugins of this process hold or serve, which a
/// plugin of the same process is allowed to say.
fn lie(random: &mut Random, own: u64, others: &[u64]) -> WaitToBroker {
    let any = |random: &mut Random, near: &[u64]| match random.below(4) {
        0 => random.number(),
        1 => random.below(8) as u64,
        _ => near[random.below(near.len())],
    };
    let wait = random.below(64) as u64;
    match random.below(8) {
        0 => WaitToBroker::Over { wait },
        1 => WaitToBroker::Confirmed {
            wait,
            round: random.below(64) as u64,
        },
        _ => WaitToBroker::Waiting {
            wait,
            chain: any(random, others),
            callee: any(random, others),
            gate: ["any.gate", "anvil.Add", ""][random.below(3)].into(),
            needs: [
                Needs::Turn,
                Needs::Permit,
                Needs::Answer { call: wait },
                Needs::Outcome { call: wait },
                Needs::Handled,
            ][random.below(5)],
            holds: (0..random.below(5))
                .map(|_| Held {
                    plugin: if random.below(2) == 0 {
                        own
                    } else {
                        random.number()
                    },
                    gate: (random.below(2) == 0).then(|| "anvil.Add".into()),
                    of: random.below(4) as u32,
                })
                .collect(),
            serves: (0..random.below(5)).map(|_| random.number()).collect(),
        },
    }
}
