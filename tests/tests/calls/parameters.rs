//! Parameters and results of every type, and who a handler sees as its caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use callgate_client::{Code, Context, Handler, Plugin, Result, SortedMap, View, gate_type};
use callgate_tests::shorthand::{code, open};
use callgate_tests::{Bus, PATIENCE, programs};

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Note {
    title: String,
    gain: f32,
    tags: Vec<String>,
    levels: [u16; 3],
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Nothing,
    Circle(f64),
    Named { name: String, note: Option<Note> },
}

fn note() -> Note {
    Note {
        title: "Größe".to_owned(),
        gain: 0.25,
        tags: vec![
            "a".to_owned(),
            String::new(),
            "a longer one than twelve bytes".to_owned(),
        ],
        levels: [1, 65_535, 3],
    }
}

/// A provider and a caller of one handler.
fn pair<M: 'static>(bus: &Bus, gate: &str, handler: impl Handler<M>) -> [Plugin; 2] {
    let provider = bus.plugin("Provider");
    provider.provide(gate, handler).expect("providing").keep();
    [provider, bus.plugin("Caller")]
}

/// Up to a few parameters arrive complete and in their order.
#[test]
fn no_parameter_or_a_few_arrive() {
    let bus = Bus::start(programs!());
    let [provider, caller] = pair(&bus, "P.Zero", || 7_u8);
    provider.provide("P.One", |a: Note| a).unwrap().keep();
    let two = |a: View<'_, Note>, b: u16| {
        let gain = a.gain.to_native();
        format!("{} {gain} {} {b}", a.title, a.levels[1].to_native())
    };
    provider.provide("P.Two", two).unwrap().keep();

    assert_eq!(open::<(), u8>(&caller, "P.Zero").invoke(()).unwrap(), 7);
    let one = open::<(Note,), Note>(&caller, "P.One");
    assert_eq!(one.invoke((note(),)).unwrap(), note());
    let two = open::<(Note, u16), String>(&caller, "P.Two");
    assert_eq!(two.invoke((note(), 9)).unwrap(), "Größe 0.25 65535 9");
}

/// Every variant of an enum arrives as itself, and a context does not take the place of a parameter.
#[test]
fn every_variant_arrives_behind_a_context() {
    let bus = Bus::start(programs!());
    let handler = |c: Context<'_>, a: View<'_, String>, b: Shape, d: View<'_, Vec<u32>>| {
        let sum: u32 = d.iter().map(|n| n.to_native()).sum();
        (c.gate().to_owned(), a.len() as u64, b, sum)
    };
    let [_provider, caller] = pair(&bus, "P.Three", handler);
    type Answer = (String, u64, Shape, u32);
    let three = open::<(String, Shape, Vec<u32>), Answer>(&caller, "P.Three");
    let named = |name: &str, note| Shape::Named {
        name: name.to_owned(),
        note,
    };
    let circle = Shape::Circle(-0.5);
    for shape in [
        Shape::Nothing,
        circle,
        named("n", Some(note())),
        named("", None),
    ] {
        let answer = three
            .invoke(("four".to_owned(), shape.clone(), vec![1, 2, 3]))
            .unwrap();
        assert_eq!(answer, ("P.Three".to_owned(), 4, shape, 6));
    }
}

/// Numbers of every width arrive whole and with their sign.
#[test]
fn scalars_of_every_width_arrive() {
    let bus = Bus::start(programs!());
    let four = |a: i8, b: i16, c: i32, d: i64| (d, c, b, a);
    let [provider, caller] = pair(&bus, "P.Four", four);
    let five = |a: bool, b: char, c: f32, d: f64, e: u128| (e, d, c, b, a);
    provider.provide("P.Five", five).unwrap().keep();
    let four = open::<(i8, i16, i32, i64), (i64, i32, i16, i8)>(&caller, "P.Four");
    let answer = four.invoke((-1, i16::MIN, 3, i64::MAX)).unwrap();
    assert_eq!(answer, (i64::MAX, 3, i16::MIN, -1));
    type There = (bool, char, f32, f64, u128);
    type Back = (u128, f64, f32, char, bool);
    let five = open::<There, Back>(&caller, "P.Five");
    let (most, last) = (u128::MAX - 1, '\u{10ffff}');
    let answer = five.invoke((true, last, 0.5, f64::MIN, most)).unwrap();
    assert_eq!(answer, (most, f64::MIN, 0.5, last, true));
}

type Six = (
    Option<u64>,
    Option<String>,
    (u8, String),
    Vec<Vec<u8>>,
    [u64; 4],
    (),
);

fn six(
    a: Option<u64>,
    b: View<'_, Option<String>>,
    c: (u8, String),
    d: Vec<Vec<u8>>,
    e: [u64; 4],
    f: (),
) -> Six {
    (a, b.as_ref().map(|b| b.to_string()), c, d, e, f)
}

type Map = SortedMap<String, u32>;
type Seven = (u8, u8, Shape, u8, u8, u8, Map);

#[allow(
    clippy::needless_pass_by_value,
    reason = "a handler may own what it takes"
)]
fn seven(
    a: u8,
    b: u8,
    c: View<'_, Shape>,
    d: u8,
    e: u8,
    f: u8,
    g: Map,
) -> Result<(Vec<u8>, Shape)> {
    Ok((vec![g.len() as u8, f, e, d, b, a], c.to_owned()?))
}

type Eight = (String, String, u8, Vec<u8>, Vec<u8>, i64, Note, Note);

#[allow(
    clippy::too_many_arguments,
    clippy::needless_pass_by_value,
    reason = "that is what handlers may be like"
)]
fn eight(
    a: String,
    b: View<'_, String>,
    c: u8,
    d: Vec<u8>,
    e: View<'_, Vec<u8>>,
    f: i64,
    g: Note,
    h: View<'_, Note>,
) -> String {
    let (e, h) = (e.as_slice(), h.tags.len());
    format!("{a}|{}|{c}|{d:?}|{e:?}|{f}|{}|{h}", *b, g.title)
}

/// Nested types and the last of many parameters arrive, as values and as views.
#[test]
fn many_parameters_arrive_owned_and_viewed() {
    let bus = Bus::start(programs!());
    let [provider, caller] = pair(&bus, "P.Six", six);
    provider.provide("P.Seven", seven).unwrap().keep();
    provider.provide("P.Eight", eight).unwrap().keep();
    let six = open::<Six, Six>(&caller, "P.Six");
    for some in [false, true] {
        let text = some.then(|| "there".to_owned());
        let lists = vec![vec![], vec![1], vec![2, 3]];
        let numbers = [1, 2, 3, u64::MAX];
        let arguments: Six = (
            some.then_some(u64::MAX),
            text,
            (5, "pair".to_owned()),
            lists,
            numbers,
            (),
        );
        assert_eq!(six.invoke_ref(&arguments).unwrap(), arguments);
    }
    let map = SortedMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]);
    let seven = open::<Seven, (Vec<u8>, Shape)>(&caller, "P.Seven");
    let answer = seven
        .invoke((1, 2, Shape::Circle(2.0), 3, 4, 5, map))
        .unwrap();
    assert_eq!(answer, (vec![2, 5, 4, 3, 2, 1], Shape::Circle(2.0)));
    let eight = open::<Eight, String>(&caller, "P.Eight");
    let answer = eight
        .invoke((
            "a".into(),
            "b".into(),
            3,
            vec![4],
            vec![5, 6],
            -7,
            note(),
            note(),
        ))
        .unwrap();
    assert_eq!(answer, "a|b|3|[4]|[5, 6]|-7|Größe|3");
}

/// An action runs, is not called as a function, and sends no result.
#[test]
fn an_action_runs_and_tells_only_that_it_is_done() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    // The action takes a number and the function nothing. It is one gate, opened with the types of each half.
    let action = open::<(u64,), ()>(&caller, "P.Note");
    let function = open::<(), u64>(&caller, "P.Note");
    for n in 1..=100 {
        action.invoke_action((n,)).unwrap();
        assert_eq!(function.invoke(()).unwrap(), n * (n + 1) / 2);
    }
    assert_eq!(code(action.invoke((1,))), Code::LengthMismatch);
    assert_eq!(code(function.invoke_action(())), Code::LengthMismatch);

    // The return value of an action is dropped, so it may have any size.
    let own = bus.plugin("Own");
    let ran = Arc::new(AtomicU64::new(0));
    let counted = ran.clone();
    let _kept = own
        .provide_action("Own.Large", move |length: u32| {
            counted.fetch_add(1, Ordering::SeqCst);
            vec![0_u8; length as usize]
        })
        .unwrap();
    let large = open::<(u32,), ()>(&caller, "Own.Large");
    large.invoke_action((1_000_000,)).unwrap();
    large.invoke_action((65 << 20,)).unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 2);
    drop(provider);
}

/// A context names the right caller and gate, although one thread serves calls of several plugins.
#[test]
fn a_context_names_the_caller_and_the_gate() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let own = bus.plugin("Own");
    let who = |context: Context<'_>| {
        let caller = context.caller();
        // Deadlines are sent in ticks of about a millisecond, and the coarse clock has ticks of its own.
        let most = PATIENCE + Duration::from_millis(50);
        assert!(context.remaining() <= most && !context.deadline_passed());
        (
            context.gate().to_owned(),
            caller.name().to_owned(),
            caller.pid(),
            caller.plugin(),
        )
    };
    let _first = own.provide("Own.First", who).unwrap();
    let _second = own.provide("Own.Second", who).unwrap();
    thread::scope(|scope| {
        for name in ["Ann", "Bob", "Cid"] {
            let caller = bus
                .builder(name)
                .version(format!("v{name}"))
                .connect()
                .unwrap();
            scope.spawn(move || {
                let far = open::<(), String>(&caller, "P.Who");
                type Who = (String, String, u32, u64);
                let first = open::<(), Who>(&caller, "Own.First");
                let second = open::<(), Who>(&caller, "Own.Second");
                let me = |gate: &str| {
                    (
                        gate.to_owned(),
                        name.to_owned(),
                        std::process::id(),
                        caller.id(),
                    )
                };
                for _ in 0..300 {
                    assert_eq!(far.invoke(()).unwrap(), format!("{name} v{name} P.Who"));
                    assert_eq!(first.invoke(()).unwrap(), me("Own.First"));
                    assert_eq!(second.invoke(()).unwrap(), me("Own.Second"));
                }
            });
        }
    });
}
