//! A plugin that comes back to a new broker, and sends wrong records about that.

use std::time::{Duration, Instant};

use callgate_layout::control::{
    GateToBroker, GateToPlugin, LinkToBroker, LinkToPlugin, SchemaSource, SessionToBroker,
    ToBroker, ToPlugin,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encodings};
use callgate_tests::random::Random;
use callgate_tests::raw::Raw;

use crate::scene::{Scene, is_over};

fn standing(number: u32, gates: &[&str]) -> ToBroker {
    let gates = gates.iter().map(|gate| (*gate).to_owned()).collect();
    let peer = "honest".into();
    let record = LinkToBroker::Standing {
        number,
        peer,
        gates,
    };
    record.into()
}

fn refused(number: u32) -> ToBroker {
    LinkToBroker::Refused { number }.into()
}

fn provide(gate: &str, life: Option<u64>) -> ToBroker {
    let record = GateToBroker::Provide {
        request: 1,
        gate: gate.into(),
        prefix: false,
        kind: CallKind::Function,
        schema: SchemaSource::Inline(vec![0; 12]),
        signature: String::new(),
        encodings: Encodings::ARCHIVE,
        record: None,
        life,
    };
    record.into()
}

/// A plugin that comes back against the rules loses its session. The broker remembers no impossible names from it,
/// waits for no records that cannot come, and keeps a limited number of its claims.
#[test]
fn who_comes_back_against_the_rules_loses_its_session_alone() {
    let mut scene = Scene::new();
    let long = "x".repeat(257);
    let drained = || SessionToBroker::Drained.into();
    let many = vec!["gate"; 4096];
    let flood = (0..17).flat_map(|number| [standing(number, &many), refused(number)]);
    let wrong: [(&str, Vec<ToBroker>, Code); 8] = [
        (
            "a number twice",
            vec![standing(1, &[]), standing(1, &["g"])],
            Code::Protocol,
        ),
        (
            "a name too long",
            vec![standing(1, &[&long])],
            Code::Protocol,
        ),
        ("no name", vec![standing(1, &["g", ""])], Code::Protocol),
        (
            "after the end",
            vec![standing(1, &[]), drained(), standing(2, &[])],
            Code::Protocol,
        ),
        ("nothing was told", vec![refused(1)], Code::Protocol),
        (
            "refused twice",
            vec![standing(1, &[]), refused(1), refused(1)],
            Code::Protocol,
        ),
        (
            "another number",
            vec![standing(1, &[]), refused(2)],
            Code::Protocol,
        ),
        ("more than it may", flood.collect(), Code::Overloaded),
    ];
    for (what, records, expected) in wrong {
        let mut raw = Raw::join(&scene.bus, "villain");
        for record in records {
            let bytes = record.encode().expect("a record");
            // Its session may end before it has sent everything.
            let _ = raw.send_bytes(&bytes);
        }
        let (code, message) = raw.ended();
        assert_eq!(code, expected, "{what}: {message}");
        scene.is_well();
    }
    scene.end();
}

/// A plugin that claims a gate and a life of it gets neither while the real provider lives. One that acknowledges
/// nothing delays nobody.
#[test]
fn a_claim_takes_nothing_from_the_living() {
    let mut scene = Scene::new();
    let mut raw = Raw::join(&scene.bus, "villain");
    for life in [0, 1, u64::MAX] {
        raw.send(provide("anvil.Add", Some(life)));
        let lost = raw.follow(|record| match record {
            ToPlugin::Gate(GateToPlugin::Lost { owner, .. }) => Some(Ok(owner.clone())),
            ToPlugin::Gate(GateToPlugin::Provided { life, .. }) => Some(Err(*life)),
            ToPlugin::Session(_) => Some(Ok("in line already".into())),
            _ => None,
        });
        let owner = if life == 0 {
            "anvil"
        } else {
            "in line already"
        };
        assert_eq!(lost, Ok(owner.into()));
        scene.is_well();
    }
    // What it claims for a gate of its own it gets: a plugin that watches that gate is misled by the gate's own
    // provider.
    for (gate, life, is_taken) in [("1", 1, true), ("2", 0, false), ("3", u64::MAX, false)] {
        raw.send(provide(gate, Some(life)));
        let given = raw.follow(|record| match record {
            ToPlugin::Gate(GateToPlugin::Provided { life, .. }) => Some(*life),
            _ => None,
        });
        assert_eq!(given == life, is_taken, "{given} for {life}");
    }
    for number in 0..1000 {
        raw.send(standing(number, &["anvil.Add", "villain.Gate"]));
    }
    for _ in 0..1000 {
        let (record, _) = raw.receive();
        assert!(
            matches!(record, ToPlugin::Link(LinkToPlugin::Refuse { .. })),
            "{record:?}"
        );
    }
    scene.is_well();
    drop(raw);
    scene.end();
}

/// Any order of the records of a plugin that comes back, from several at once that end at any moment.
#[test]
fn whatever_returning_plugins_say_the_others_go_on() {
    let mut scene = Scene::new();
    let (mut random, start) = (Random::new("returning"), Instant::now());
    while !is_over(start) {
        let villains = ["a", "b", "c"].map(|name| Raw::join(&scene.bus, name));
        for _ in 0..random.below(400) {
            let villain = &villains[random.below(3)];
            let (number, gate) = (random.below(6) as u32, ["g", "anvil.Add"][random.below(2)]);
            let record: ToBroker = match random.below(8) {
                0 => standing(number, &["g", "anvil.Add"]),
                1 => refused(number),
                2 | 3 => provide(gate, Some(random.number())),
                4 => provide(gate, None),
                5 => GateToBroker::Withdraw {
                    request: 2,
                    gate: gate.into(),
                    kind: CallKind::Function,
                }
                .into(),
                6 => GateToBroker::Sync { open: number }.into(),
                _ if random.below(40) == 0 => SessionToBroker::Drained.into(),
                _ => GateToBroker::Close { open: number }.into(),
            };
            let bytes = record.encode().expect("a record");
            // The broker soon ends most of these sessions.
            let _ = villain.send_bytes(&bytes);
        }
        drop(villains);
        scene.is_well();
    }
    let mut raw = Raw::join(&scene.bus, "a");
    raw.send(provide("g", None));
    let provided = raw
        .receive_silently(Duration::from_secs(5))
        .expect("an answer")
        .0;
    assert!(
        matches!(provided, ToPlugin::Gate(GateToPlugin::Provided { .. })),
        "{provided:?}"
    );
    drop(raw);
    scene.end();
}
