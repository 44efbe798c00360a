//! Tests of the registry.

use callgate_layout::control::{Availability, GateState, MAX_TEXT, Shape};
use callgate_layout::schema::Head;
use callgate_layout::{Encoding, Encodings, Fingerprint};

use super::*;
use crate::schemas::Held;

const A: PluginId = PluginId(1);
const B: PluginId = PluginId(2);
const GATE: &str = "Rack.Filter";
const READY: Availability = Availability::Ready {
    encoding: Encoding::Archive,
};

fn shape(params: u8, fingerprint: u128) -> Shape {
    Shape {
        params: Some(params),
        fingerprint,
        encodings: Encodings::ARCHIVE,
        signature: format!("{params} of {fingerprint}"),
    }
}

fn offer(kind: CallKind, shape: Shape) -> Offer {
    let head = Head {
        params: shape.params,
        has_result: true,
        fingerprint: Fingerprint(shape.fingerprint),
    };
    Offer {
        kind,
        provided: Provided {
            held: Held::of(head, shape.fingerprint as u64),
            encodings: shape.encodings,
            signature: shape.signature,
        },
        record: None,
    }
}

/// Provides a half as plugins do that do not come back.
fn provide(
    registry: &mut Registry,
    (plugin, name, kind): (PluginId, &str, CallKind),
    shape: Shape,
    quota: &Quota,
) -> Result<(), Refused> {
    let provided = registry.provide(plugin, name, (&offer(kind, shape), None), quota);
    provided.map(|_| ())
}

fn opened(registry: &mut Registry, plugin: PluginId, number: u32, shape: &Shape) {
    let wanted = [shape.clone(), shape.clone()];
    let result = registry.open(plugin, number, GATE, wanted, &Quota::new(9));
    assert_eq!(result, Ok(()));
}

/// In Dalamud a second plugin replaces the first one's gate without a word.
#[test]
fn a_gate_has_one_owner() {
    let (mut registry, quota) = (Registry::new(1), Quota::new(9));
    let mut provide =
        |plugin, kind| provide(&mut registry, (plugin, GATE, kind), shape(1, 1), &quota);
    assert_eq!(provide(A, CallKind::Function), Ok(()));
    assert_eq!(
        provide(B, CallKind::Action),
        Err(Refused::Owned(A, GATE.into()))
    );
    assert_eq!(provide(A, CallKind::Function), Err(Refused::Twice));
    assert_eq!(provide(A, CallKind::Action), Ok(()));
}

/// A withdrawn function must not take the action with it. The name becomes free with the last half.
#[test]
fn a_gate_goes_with_its_last_face() {
    let (mut registry, quota) = (Registry::new(1), Quota::new(1));
    for kind in [CallKind::Function, CallKind::Action] {
        assert_eq!(
            provide(&mut registry, (A, GATE, kind), shape(1, 1), &quota),
            Ok(())
        );
    }
    let refused = Err(Refused::NotProvided);
    assert_eq!(registry.withdraw(B, GATE, CallKind::Function), refused);
    assert_eq!(registry.withdraw(A, GATE, CallKind::Function), Ok(false));
    assert_eq!(registry.withdraw(A, GATE, CallKind::Function), refused);
    assert_eq!(registry.withdraw(A, GATE, CallKind::Action), Ok(true));
    let again = provide(
        &mut registry,
        (B, GATE, CallKind::Action),
        shape(1, 1),
        &quota,
    );
    assert_eq!(again, Ok(()), "the name and the charge are free again");
}

/// A caller must never reach a gate for which it would lay out its arguments differently.
#[test]
fn shapes_are_compared_by_parameters_and_then_by_fingerprint() {
    let (mut registry, quota) = (Registry::new(1), Quota::new(9));
    opened(&mut registry, B, 1, &shape(2, 7));
    opened(&mut registry, B, 2, &shape(2, 8));
    opened(&mut registry, B, 3, &shape(1, 7));
    let states = |registry: &Registry| {
        let one = |number| registry.standing(B, number).unwrap().function;
        [one(1), one(2), one(3)]
    };
    assert_eq!(states(&registry), [const { Availability::Absent }; 3]);
    let provided = provide(
        &mut registry,
        (A, GATE, CallKind::Function),
        shape(2, 7),
        &quota,
    );
    assert_eq!(provided, Ok(()));
    let signature = shape(2, 7).signature;
    let other = Availability::Differs {
        schema: 7,
        signature: signature.clone(),
        json: false,
    };
    let longer = Availability::LengthMismatch { signature };
    assert_eq!(states(&registry), [READY, other, longer]);
    let standing = registry.standing(B, 1).unwrap();
    assert!(standing.is_ready() && standing.owner == Some(A));
    assert_eq!(standing.action, Availability::Absent);
    assert_eq!(standing.prints, [Some(7), None]);
}

/// What a dead plugin leaves behind would be counted and called for ever.
#[test]
fn nothing_of_a_removed_plugin_stays() {
    let (mut registry, quota) = (Registry::new(1), Quota::new(1));
    opened(&mut registry, A, 1, &shape(1, 1));
    opened(&mut registry, B, 1, &shape(1, 1));
    let provided = provide(
        &mut registry,
        (A, GATE, CallKind::Function),
        shape(1, 1),
        &quota,
    );
    assert_eq!(provided, Ok(()));
    assert_eq!(registry.opens_between(B, A), [1]);
    assert_eq!(registry.remove(A), [GATE.into()]);
    assert_eq!(registry.watchers(GATE), [(B, 1)]);
    assert_eq!(registry.shown().len(), 0);
    assert!(registry.standing(A, 1).is_none());
    assert!(quota.charge().is_some());
    registry.close(B, 1);
    registry.close(B, 1);
    assert!(registry.opens.is_empty() && registry.watched.is_empty());
}

/// A plugin must not be able to fill the broker's memory.
#[test]
fn quotas_and_limits_are_kept() {
    let (mut registry, quota) = (Registry::new(1), Quota::new(1));
    let mut provide =
        |name: &str, shape| provide(&mut registry, (A, name, CallKind::Action), shape, &quota);
    assert_eq!(provide("one", shape(1, 1)), Ok(()));
    assert_eq!(provide("two", shape(1, 1)), Err(Refused::TooManyGates(1)));
    let invalid = |result| matches!(result, Err(Refused::Invalid(_)));
    assert!(invalid(provide("", shape(1, 1))));
    assert!(invalid(provide("three", shape(9, 1))));
    let mut long = shape(1, 1);
    long.signature = "x".repeat(MAX_TEXT + 1);
    assert!(invalid(provide("three", long)));

    let two = || [shape(1, 1), shape(1, 1)];
    let mut open = |number| registry.open(B, number, "one", two(), &quota_of_one());
    assert_eq!(open(1), Ok(()));
    assert_eq!(open(1), Err(Refused::NumberInUse));
}

fn quota_of_one() -> Quota {
    Quota::new(1)
}

/// Telling a plugin the same state again would be useless traffic.
#[test]
fn only_news_is_told() {
    let mut registry = Registry::new(1);
    opened(&mut registry, A, 1, &shape(1, 1));
    let mut state = GateState {
        owner: None,
        generation: 0,
        function: Availability::Absent,
        action: Availability::Absent,
        route: None,
    };
    assert!(registry.tell(A, 1, &state));
    assert!(!registry.tell(A, 1, &state));
    state.owner = Some("x".into());
    assert!(registry.tell(A, 1, &state));
    registry.block(A, 1);
    assert!(registry.standing(A, 1).unwrap().blocked);
    assert!(registry.tell(A, 1, &state), "a failure was news in between");
}

/// An invalid name or shape must not be kept, charged and listed for as long as the plugin lives.
#[test]
fn nothing_is_opened_under_a_name_or_a_shape_that_cannot_be() {
    let good = shape(1, 1);
    let bad = Shape {
        params: Some(u8::MAX),
        ..good.clone()
    };
    for (name, function, action) in [
        ("", &good, &good),
        ("no\nlines", &good, &good),
        (GATE, &bad, &good),
        (GATE, &good, &bad),
    ] {
        let (mut registry, quota) = (Registry::new(1), Quota::new(1));
        let shapes = [function.clone(), action.clone()];
        let refused = registry.open(A, 1, name, shapes, &quota);
        assert!(matches!(refused, Err(Refused::Invalid(_))), "{refused:?}");
        assert!(registry.opens_of(A).is_empty() && registry.watchers(name).is_empty());
        let shapes = [good.clone(), good.clone()];
        let opened = registry.open(A, 1, GATE, shapes, &quota);
        assert_eq!(opened, Ok(()), "number and charge are still free");
    }
}

/// A caller must be able to tell an answer of an earlier life of a gate from one of the present life.
#[test]
fn each_life_of_a_gate_has_another_number() {
    let (mut registry, quota) = (Registry::new(1), Quota::new(9));
    opened(&mut registry, B, 1, &shape(1, 1));
    let life = |registry: &Registry| registry.standing(B, 1).unwrap().generation;
    assert_eq!(life(&registry), 0);
    for (expected, other) in [(1, "1"), (3, "3"), (5, "5")] {
        let mut provide = |name, kind| provide(&mut registry, (A, name, kind), shape(1, 1), &quota);
        assert_eq!(provide(GATE, CallKind::Action), Ok(()));
        assert_eq!(provide(other, CallKind::Action), Ok(()));
        assert_eq!(provide(GATE, CallKind::Function), Ok(()));
        assert_eq!(life(&registry), expected, "a half more is the same life");
        for kind in [CallKind::Action, CallKind::Function] {
            assert!(registry.withdraw(A, GATE, kind).is_ok());
        }
        assert_eq!(life(&registry), 0);
    }
}

/// Either half makes a gate callable.
#[test]
fn a_gate_is_ready_with_one_half() {
    for kind in [CallKind::Function, CallKind::Action] {
        let (mut registry, quota) = (Registry::new(1), Quota::new(9));
        opened(&mut registry, B, 1, &shape(1, 1));
        assert!(!registry.standing(B, 1).unwrap().is_ready());
        let provided = provide(&mut registry, (A, GATE, kind), shape(1, 2), &quota);
        assert_eq!(provided, Ok(()));
        assert!(!registry.standing(B, 1).unwrap().is_ready(), "other types");
        assert!(registry.withdraw(A, GATE, kind).is_ok());
        let provided = provide(&mut registry, (A, GATE, kind), shape(1, 1), &quota);
        assert_eq!(provided, Ok(()));
        assert!(registry.standing(B, 1).unwrap().is_ready());
    }
}

/// What a listing shows: in which record a gate's calls are counted, and how many plugins have it open.
#[test]
fn gates_are_listed_with_those_who_have_them_open() {
    let (mut registry, quota) = (Registry::new(1), Quota::new(9));
    for (plugin, number) in [(A, 1), (B, 1), (B, 2)] {
        opened(&mut registry, plugin, number, &shape(1, 1));
    }
    for (name, record) in [(GATE, Some(7)), ("Other", None)] {
        let offer = Offer {
            record,
            ..offer(CallKind::Action, shape(1, 1))
        };
        let provided = registry.provide(A, name, (&offer, None), &quota);
        assert!(provided.is_ok());
    }
    let listed = registry.shown().into_iter();
    let listed = listed.map(|shown| (shown.name, shown.gate.record, shown.users.len()));
    assert!(listed.eq([("Other", None, 0), (GATE, Some(7), 2)]));
    assert_eq!(registry.opens_of(B), [1, 2]);
    assert_eq!(registry.owned_by(A), ["Other".into(), Arc::from(GATE)]);
    assert!(registry.owned_by(B).is_empty() && registry.opens_between(B, B).is_empty());
}

/// A plugin that waits for an absent gate is told that a program which was to provide it has failed; one that has a provided gate open is
/// not.
#[test]
fn opens_of_absent_gates_are_found() {
    let (mut registry, quota) = (Registry::new(1), Quota::new(9));
    opened(&mut registry, A, 3, &shape(1, 1));
    opened(&mut registry, B, 4, &shape(1, 1));
    let gate: Arc<str> = GATE.into();
    let expected = [(A, 3, gate.clone()), (B, 4, gate)];
    assert_eq!(registry.absent_opens(), expected);
    let provided = provide(
        &mut registry,
        (A, GATE, CallKind::Action),
        shape(1, 1),
        &quota,
    );
    assert_eq!(provided, Ok(()));
    assert!(registry.absent_opens().is_empty());
}

/// A gate that is provided anew is a reason to try again, and so is one that gets its other half.
#[test]
fn what_failed_is_tried_again_when_the_gate_changes() {
    let (mut registry, quota) = (Registry::new(1), Quota::new(9));
    opened(&mut registry, B, 1, &shape(1, 1));
    for kind in [CallKind::Function, CallKind::Action] {
        registry.block(B, 1);
        assert!(registry.standing(B, 1).unwrap().blocked);
        let provided = provide(&mut registry, (A, GATE, kind), shape(1, 1), &quota);
        assert_eq!(provided, Ok(()));
        assert!(!registry.standing(B, 1).unwrap().blocked);
    }
    // An open that does not exist is not changed.
    registry.block(A, 1);
    registry.close(A, 1);
    registry.close(B, 2);
    assert_eq!(registry.watchers(GATE), [(B, 1)]);
}
