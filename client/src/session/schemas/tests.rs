use super::*;
use std::cell::Cell;

use callgate_layout::control::SchemaToBroker;
use callgate_layout::{Code, Encodings, Signature};

use crate::base::types::{action_signature_of, signature_of};
use crate::session::wanted::Wanted;

const OPEN: u32 = 7;

fn gate() -> Arc<OpenGate> {
    gate_of([
        signature_of::<(u32,), u32>(),
        action_signature_of::<(u32,)>(),
    ])
}

fn gate_of(wanted: [Signature; 2]) -> Arc<OpenGate> {
    let wanted = wanted.map(|signature| Wanted::new(signature, Encodings::BOTH).unwrap());
    Arc::new(OpenGate::new("A.B".into(), wanted))
}

fn state(function: Availability) -> GateState {
    GateState {
        owner: Some("A".to_owned()),
        generation: 1,
        function,
        action: Availability::Absent,
        route: None,
    }
}

fn differs(schema: u64) -> GateState {
    state(Availability::Differs {
        schema,
        signature: "(u64) -> u64".to_owned(),
        json: true,
    })
}

/// Plays the control thread, with request numbers that count from 1.
#[derive(Default)]
struct Scene {
    schemas: Schemas,
    last: Cell<u32>,
}

impl Scene {
    fn number(last: &Cell<u32>) -> u32 {
        last.set(last.get() + 1);
        last.get()
    }

    /// The schema and the offset that are asked for next, once nothing is left to compare.
    fn next(&mut self) -> Option<(u64, u32)> {
        match self.step()? {
            Step::Ask(fetch) => Some(asked(&fetch)),
            _ => panic!("it compares"),
        }
    }

    fn step(&mut self) -> Option<Step> {
        let last = &self.last;
        self.schemas.step(|| Scene::number(last))
    }

    /// Compares what can be compared. Returns the gates that can be shown then.
    fn compare(&mut self) -> Vec<News> {
        let mut all = Vec::new();
        while self.schemas.is_step_due() {
            match self.step() {
                Some(Step::Show(news)) => all.push(*news),
                Some(Step::More) => {}
                Some(Step::Ask(_)) | None => break,
            }
        }
        all
    }

    fn part(&mut self, total: usize, bytes: &[u8]) -> (Option<(u64, u32)>, Vec<News>) {
        let (request, last) = (self.last.get(), &self.last);
        let whole = (request, total as u32);
        let (next, news) = self.schemas.part(whole, bytes, || Scene::number(last));
        (next.as_ref().map(asked), news)
    }

    fn whole(&mut self, signature: &Signature) -> Vec<News> {
        let bytes = signature.to_bytes().unwrap();
        let (next, news) = self.part(bytes.len(), &bytes);
        assert!(next.is_none() && news.is_empty());
        self.compare()
    }
}

fn asked(next: &SchemaToBroker) -> (u64, u32) {
    match next {
        SchemaToBroker::Fetch { schema, offset, .. } => (*schema, *offset),
        SchemaToBroker::Part { .. } => panic!("no part of a fetch"),
    }
}

fn converts(news: &News) -> bool {
    matches!(news.verdicts, [Some(Verdict::Converts { .. }), None])
}

/// A thread that had asked for a gate's state was answered before the types had been compared, and found the gate
/// absent.
#[test]
fn an_answer_waits_for_the_types_that_it_leads_to() {
    let (mut scene, gate) = (Scene::default(), gate());
    assert!(!scene.schemas.hold_synced(OPEN), "nothing is held");
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    assert_eq!(scene.next(), Some((3, 0)));
    assert!(scene.schemas.hold_synced(OPEN));
    let news = scene.whole(&signature_of::<(u64,), u64>());
    assert!(news.len() == 1 && converts(&news[0]) && news[0].is_synced);
    assert!(!scene.schemas.hold_synced(OPEN), "it was told");
    assert_eq!(scene.next(), None);
}

#[test]
fn a_schema_comes_in_parts_and_is_fetched_once() {
    let (mut scene, gate) = (Scene::default(), gate());
    let other = self::gate();
    let bytes = signature_of::<(u64,), u64>().to_bytes().unwrap();
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    assert!(
        scene
            .schemas
            .take_in(OPEN + 1, &other, differs(3))
            .is_none()
    );
    assert_eq!(scene.next(), Some((3, 0)));
    assert_eq!(scene.next(), None, "one at a time");
    let (next, news) = scene.part(bytes.len(), &bytes[..5]);
    assert!(next == Some((3, 5)) && news.is_empty());
    let (next, news) = scene.part(bytes.len(), &bytes[5..]);
    assert!(next.is_none() && news.is_empty());
    let news = scene.compare();
    assert!(news.len() == 2 && news.iter().all(converts));
    // From here on the verdict is known.
    let news = scene.schemas.take_in(OPEN, &gate, differs(3));
    assert!(news.is_some_and(|news| converts(&news)));
}

/// The types of two openers may differ only in a default: one can do without a field that the other needs.
#[test]
fn types_with_and_without_a_default_are_compared_each_by_itself() {
    #[crate::gate_type]
    struct Needs {
        title: String,
        gain: f32,
    }
    #[crate::gate_type]
    struct Defaults {
        title: String,
        #[serde(default)]
        gain: f32,
    }
    #[crate::gate_type]
    struct Plain {
        title: String,
    }
    let action = action_signature_of::<(u32,)>;
    let needs = gate_of([signature_of::<(u32,), Needs>(), action()]);
    let defaults = gate_of([signature_of::<(u32,), Defaults>(), action()]);
    let mut scene = Scene::default();
    assert!(scene.schemas.take_in(OPEN, &needs, differs(3)).is_none());
    assert_eq!(scene.next(), Some((3, 0)));
    let news = scene.whole(&signature_of::<(u32,), Plain>());
    assert!(matches!(news[0].verdicts, [Some(Verdict::Never(_)), None]));
    let news = scene.schemas.take_in(OPEN + 1, &defaults, differs(3));
    assert!(news.is_none(), "its types were not compared yet");
    let news = scene.compare();
    assert!(news.len() == 1 && converts(&news[0]));
}

#[test]
fn newer_news_take_the_place_of_those_that_are_held() {
    let (mut scene, gate) = (Scene::default(), gate());
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    assert_eq!(scene.next(), Some((3, 0)));
    assert!(scene.schemas.hold_synced(OPEN));
    let news = scene
        .schemas
        .take_in(OPEN, &gate, state(Availability::Absent));
    let news = news.expect("there is nothing to compare");
    assert!(news.is_synced && news.state.function == Availability::Absent);
    assert!(scene.whole(&signature_of::<(u64,), u64>()).is_empty());
    // The gate has other types meanwhile, for which the answer to the old fetch does not count.
    assert!(scene.schemas.take_in(OPEN, &gate, differs(4)).is_none());
    assert_eq!(scene.next(), Some((4, 0)));
    assert!(scene.schemas.take_in(OPEN, &gate, differs(5)).is_none());
    assert_eq!(scene.next(), Some((5, 0)));
    let news = scene.whole(&signature_of::<(String,), u64>());
    assert!(matches!(news[0].verdicts[0], Some(Verdict::Never(_))));
}

#[test]
fn what_cannot_be_opened_or_is_closed_is_not_compared() {
    let (mut scene, gate) = (Scene::default(), gate());
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    assert!(scene.schemas.hold_synced(OPEN));
    assert!(scene.schemas.forget(OPEN), "its answer is told");
    assert_eq!(scene.next(), None);
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    // With the last handle.
    drop(gate);
    assert_eq!(scene.next(), None);
}

/// A gate's number was given to another gate, which then got the answer for which the first one had waited.
#[test]
fn an_answer_to_another_gate_of_the_same_number_is_not_held() {
    let (mut scene, first, second) = (Scene::default(), gate(), gate());
    assert!(scene.schemas.take_in(OPEN, &first, differs(3)).is_none());
    assert!(scene.schemas.hold_synced(OPEN));
    let news = scene
        .schemas
        .take_in(OPEN, &second, state(Availability::Absent));
    assert!(!news.expect("news").is_synced);
}

#[test]
fn what_a_broker_refuses_or_sends_wrongly_fails_the_half_that_needs_it() {
    let (mut scene, gate) = (Scene::default(), gate());
    let failed = |news: News| match &news.verdicts[0] {
        Some(Verdict::Failed(error)) => error.code(),
        other => panic!("{other:?}"),
    };
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    assert_eq!(scene.next(), Some((3, 0)));
    assert!(scene.schemas.is_fetch(1) && !scene.schemas.is_fetch(2));
    let news = scene
        .schemas
        .refused(&Error::new(Code::NotReady, "it is gone"));
    assert_eq!(news.map(failed), Some(Code::NotReady));
    // It may be there again.
    for (total, bytes) in [(8, &b""[..]), (2, b"abc"), (2 << 20, b"a")] {
        assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
        assert_eq!(scene.next(), Some((3, 0)));
        let (next, mut news) = scene.part(total, bytes);
        assert_eq!((next, news.len()), (None, 1));
        assert_eq!(news.pop().map(failed), Some(Code::Protocol));
    }
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    assert_eq!(scene.next(), Some((3, 0)));
    assert_eq!(scene.part(9, b"abc").0, Some((3, 3)));
    let (next, news) = scene.part(8, b"abc");
    assert!(next.is_none() && news.len() == 1, "another length");
    // An invalid schema is its provider's fault.
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    assert_eq!(scene.next(), Some((3, 0)));
    scene.part(3, b"abc");
    let mut news = scene.compare();
    assert_eq!(news.pop().map(failed), Some(Code::TypeMismatch));
}

#[test]
fn what_comes_unasked_is_nothing() {
    let mut scene = Scene::default();
    let (next, news) = scene.part(3, b"abc");
    assert!(next.is_none() && news.is_empty());
    assert!(
        scene
            .schemas
            .refused(&Error::new(Code::NotReady, ""))
            .is_none()
    );
}

#[test]
fn nothing_is_left_when_the_connection_is_over() {
    let (mut scene, gate) = (Scene::default(), gate());
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    assert_eq!(scene.next(), Some((3, 0)));
    scene.schemas.clear();
    assert!(!scene.schemas.is_fetch(1) && !scene.schemas.forget(OPEN));
}

/// Many schemas, or many openers, one after the other, would otherwise fill the memory.
#[test]
fn what_is_kept_is_bounded() {
    let (mut scene, gate) = (Scene::default(), gate());
    for number in 0..100 {
        assert!(
            scene
                .schemas
                .take_in(OPEN, &gate, differs(number))
                .is_none()
        );
        assert_eq!(scene.next(), Some((number, 0)));
        assert_eq!(scene.whole(&signature_of::<(u64,), u64>()).len(), 1);
    }
    assert_eq!(scene.schemas.known.kept(), known::MOST_KEPT);
    // Verdicts are kept longer than schemas.
    assert!(scene.schemas.take_in(OPEN, &gate, differs(0)).is_some());
}

/// A thousand gates that waited for one schema were compared in one go, and everything else waited that long.
#[test]
fn one_gate_is_compared_in_a_step() {
    let of = |wanted: Signature| gate_of([wanted, action_signature_of::<(u32,)>()]);
    let gates = [
        of(signature_of::<(u32,), u32>()),
        of(signature_of::<(u16,), u32>()),
        of(signature_of::<(u8,), u32>()),
    ];
    let mut scene = Scene::default();
    for (open, gate) in (OPEN..).zip(&gates) {
        assert!(scene.schemas.take_in(open, gate, differs(3)).is_none());
    }
    assert_eq!(scene.next(), Some((3, 0)));
    assert!(!scene.schemas.is_step_due(), "the broker is to answer");
    let bytes = signature_of::<(u64,), u64>().to_bytes().unwrap();
    scene.part(bytes.len(), &bytes);
    assert!(scene.schemas.is_step_due());
    assert!(matches!(scene.step(), Some(Step::More)), "it is decoded");
    for open in OPEN..OPEN + 3 {
        let shown = scene.step();
        assert!(matches!(shown, Some(Step::Show(news)) if news.open == open));
    }
    assert!(!scene.schemas.is_step_due() && scene.step().is_none());
}

/// A plugin that provided a gate again and again could have kept others' gates from ever being compared.
#[test]
fn a_gate_with_another_schema_stands_behind_those_that_wait() {
    let (mut scene, first, second) = (Scene::default(), gate(), gate());
    assert!(scene.schemas.take_in(OPEN, &first, differs(3)).is_none());
    assert!(
        scene
            .schemas
            .take_in(OPEN + 1, &second, differs(4))
            .is_none()
    );
    assert_eq!(scene.next(), Some((3, 0)));
    assert!(scene.schemas.take_in(OPEN, &first, differs(5)).is_none());
    assert_eq!(scene.next(), Some((4, 0)), "it is nobody's any more");
    // A gate that waits for the same schema as before keeps its place.
    assert!(
        scene
            .schemas
            .take_in(OPEN + 1, &second, differs(4))
            .is_none()
    );
    let bytes = signature_of::<(u64,), u64>().to_bytes().unwrap();
    scene.part(bytes.len(), &bytes);
    assert!(matches!(scene.step(), Some(Step::More)));
    assert!(matches!(scene.step(), Some(Step::Show(news)) if news.open == OPEN + 1));
    assert_eq!(scene.next(), Some((5, 0)));
}

/// A schema for which no gate waits any more costs nothing except its parts.
#[test]
fn what_nobody_waits_for_any_more_is_not_decoded() {
    let (mut scene, gate) = (Scene::default(), gate());
    assert!(scene.schemas.take_in(OPEN, &gate, differs(3)).is_none());
    assert_eq!(scene.next(), Some((3, 0)));
    let bytes = signature_of::<(u64,), u64>().to_bytes().unwrap();
    scene.part(bytes.len(), &bytes);
    assert!(scene.schemas.take_in(OPEN, &gate, differs(4)).is_none());
    assert_eq!(scene.next(), Some((4, 0)));
    assert_eq!(scene.schemas.known.kept(), 0);
}

/// The gate for which a schema was fetched is closed before it has come, but other gates need the schema too.
#[test]
fn a_schema_is_fetched_on_for_others() {
    let (mut scene, first, second) = (Scene::default(), gate(), gate());
    assert!(scene.schemas.take_in(OPEN, &first, differs(3)).is_none());
    assert!(
        scene
            .schemas
            .take_in(OPEN + 1, &second, differs(3))
            .is_none()
    );
    assert_eq!(scene.next(), Some((3, 0)));
    drop(first);
    assert!(scene.step().is_none());
    assert!(!scene.schemas.is_step_due());
    assert_eq!(scene.whole(&signature_of::<(u64,), u64>()).len(), 1);
}
