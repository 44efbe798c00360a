//! Calls between plugins, as their users make them: right answers, and the right error for
//! everything that can go wrong while both sides live.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{
    Arguments, Code, Context, Error, GateType, HandlerError, Plugin, Provider, Result, SortedMap,
    Subscriber, View, WaitPolicy, gate_type,
};
use callgate_tests::{Bus, PATIENCE, programs};

const SHORT: Duration = Duration::from_millis(30);

/// Opens a gate and waits until it can be called.
fn open<A: Arguments, R: GateType>(plugin: &Plugin, gate: &str) -> Subscriber<A, R> {
    let subscriber = plugin.subscriber(gate).expect("opening a gate");
    subscriber.wait_ready(PATIENCE).expect("its provider");
    subscriber.with_timeout(PATIENCE)
}

/// Waits until something holds; fails the test when it never does.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The code of a call that has to fail.
#[track_caller]
fn code<T: std::fmt::Debug>(outcome: Result<T>) -> Code {
    outcome.expect_err("this must fail").code()
}

/// Bytes that tell where they belong: other bytes for every seed and every place.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let at = |n: usize| {
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(n as u32 % 61) as u8
    };
    (0..length)
        .map(|n| at(n) ^ n as u8 ^ (n >> 8) as u8)
        .collect()
}

/// A gate whose handler stands still until it is told to go on.
struct Barrier {
    state: Mutex<(u64, bool)>,
    change: Condvar,
}

impl Barrier {
    fn new() -> Arc<Barrier> {
        Arc::new(Barrier {
            state: Mutex::new((0, false)),
            change: Condvar::new(),
        })
    }

    /// Provides `gate`, which stands at the barrier and then answers with its argument.
    fn provide(self: &Arc<Self>, plugin: &Plugin, gate: &str) -> Provider {
        let barrier = self.clone();
        let handler = move |bytes: Vec<u8>| {
            let mut state = barrier.state.lock().unwrap();
            state.0 += 1;
            barrier.change.notify_all();
            let _open = barrier.change.wait_while(state, |state| !state.1).unwrap();
            bytes
        };
        plugin.provide(gate, handler).expect("providing")
    }

    /// Waits until so many calls have come as far as the handler.
    fn wait_for(&self, calls: u64) {
        let state = self.state.lock().unwrap();
        let waited = self
            .change
            .wait_timeout_while(state, PATIENCE, |state| state.0 < calls);
        assert!(
            !waited.unwrap().1.timed_out(),
            "no call has come to the handler"
        );
    }

    /// Lets everybody pass from now on; gives back how many came so far.
    fn open(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.1 = true;
        self.change.notify_all();
        state.0
    }
}

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

/// A parameter that is lost, swapped or misread somewhere between the two sides.
#[test]
fn zero_to_eight_parameters_arrive_owned_and_viewed() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let mut kept = Vec::new();
    kept.push(provider.provide("P.Zero", || 7_u8).unwrap());
    kept.push(provider.provide("P.One", |a: Note| a).unwrap());
    kept.push(
        provider
            .provide("P.Two", |a: View<'_, Note>, b: u16| {
                format!(
                    "{} {} {} {b}",
                    a.title,
                    a.gain.to_native(),
                    a.levels[1].to_native()
                )
            })
            .unwrap(),
    );
    kept.push(
        provider
            .provide(
                "P.Three",
                |c: Context<'_>, a: View<'_, String>, b: Shape, d: View<'_, Vec<u32>>| {
                    (
                        c.gate().to_owned(),
                        a.len() as u64,
                        b,
                        d.iter().map(|n| n.to_native()).sum::<u32>(),
                    )
                },
            )
            .unwrap(),
    );
    kept.push(
        provider
            .provide("P.Four", |a: i8, b: i16, c: i32, d: i64| (d, c, b, a))
            .unwrap(),
    );
    kept.push(
        provider
            .provide("P.Five", |a: bool, b: char, c: f32, d: f64, e: u128| {
                (e, d, c, b, a)
            })
            .unwrap(),
    );
    kept.push(
        provider
            .provide(
                "P.Six",
                |a: Option<u64>,
                 b: View<'_, Option<String>>,
                 c: (u8, String),
                 d: Vec<Vec<u8>>,
                 e: [u64; 4],
                 f: ()| { (a, b.as_ref().map(|b| b.to_string()), c, d, e, f) },
            )
            .unwrap(),
    );
    kept.push(
        provider
            .provide(
                "P.Seven",
                |a: u8,
                 b: u8,
                 c: View<'_, Shape>,
                 d: u8,
                 e: u8,
                 f: u8,
                 g: SortedMap<String, u32>|
                 -> Result<_, Error> {
                    Ok((vec![g.len() as u8, f, e, d, b, a], c.to_owned()?))
                },
            )
            .unwrap(),
    );
    kept.push(
        provider
            .provide(
                "P.Eight",
                |a: String,
                 b: View<'_, String>,
                 c: u8,
                 d: Vec<u8>,
                 e: View<'_, Vec<u8>>,
                 f: i64,
                 g: Note,
                 h: View<'_, Note>| {
                    format!(
                        "{a}|{}|{c}|{d:?}|{:?}|{f}|{}|{}",
                        *b,
                        e.as_slice(),
                        g.title,
                        h.tags.len()
                    )
                },
            )
            .unwrap(),
    );

    let caller = bus.plugin("Caller");
    assert_eq!(open::<(), u8>(&caller, "P.Zero").invoke(()).unwrap(), 7);
    assert_eq!(
        open::<(Note,), Note>(&caller, "P.One")
            .invoke((note(),))
            .unwrap(),
        note()
    );
    let two = open::<(Note, u16), String>(&caller, "P.Two");
    assert_eq!(two.invoke((note(), 9)).unwrap(), "Größe 0.25 65535 9");
    type Answer = (String, u64, Shape, u32);
    let three = open::<(String, Shape, Vec<u32>), Answer>(&caller, "P.Three");
    let shapes = [
        Shape::Nothing,
        Shape::Circle(-0.5),
        Shape::Named {
            name: "n".to_owned(),
            note: Some(note()),
        },
        Shape::Named {
            name: String::new(),
            note: None,
        },
    ];
    for shape in &shapes {
        let answer = three
            .invoke(("four".to_owned(), shape.clone(), vec![1, 2, 3]))
            .unwrap();
        assert_eq!(answer, ("P.Three".to_owned(), 4, shape.clone(), 6));
    }
    let four = open::<(i8, i16, i32, i64), (i64, i32, i16, i8)>(&caller, "P.Four");
    assert_eq!(
        four.invoke((-1, i16::MIN, 3, i64::MAX)).unwrap(),
        (i64::MAX, 3, i16::MIN, -1)
    );
    let five =
        open::<(bool, char, f32, f64, u128), (u128, f64, f32, char, bool)>(&caller, "P.Five");
    let answer = five
        .invoke((true, '\u{10ffff}', 0.5, f64::MIN, u128::MAX - 1))
        .unwrap();
    assert_eq!(answer, (u128::MAX - 1, f64::MIN, 0.5, '\u{10ffff}', true));
    type Six = (
        Option<u64>,
        Option<String>,
        (u8, String),
        Vec<Vec<u8>>,
        [u64; 4],
        (),
    );
    let six = open::<Six, Six>(&caller, "P.Six");
    for some in [false, true] {
        let arguments: Six = (
            some.then_some(u64::MAX),
            some.then(|| "there".to_owned()),
            (5, "pair".to_owned()),
            vec![vec![], vec![1], vec![2, 3]],
            [1, 2, 3, u64::MAX],
            (),
        );
        assert_eq!(six.invoke_ref(&arguments).unwrap(), arguments);
    }
    let map = SortedMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]);
    let seven = open::<(u8, u8, Shape, u8, u8, u8, SortedMap<String, u32>), (Vec<u8>, Shape)>(
        &caller, "P.Seven",
    );
    let answer = seven
        .invoke((1, 2, shapes[2].clone(), 3, 4, 5, map))
        .unwrap();
    assert_eq!(answer, (vec![2, 5, 4, 3, 2, 1], shapes[2].clone()));
    type Eight = (String, String, u8, Vec<u8>, Vec<u8>, i64, Note, Note);
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

/// An action that is taken for a function, does not run, or sends its result after all.
#[test]
fn an_action_runs_and_tells_only_that_it_is_done() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    // The action takes a number and the function none: one gate, opened with either's types.
    let action = open::<(u64,), ()>(&caller, "P.Note");
    let function = open::<(), u64>(&caller, "P.Note");
    for n in 1..=100 {
        action.invoke_action((n,)).unwrap();
        assert_eq!(function.invoke(()).unwrap(), n * (n + 1) / 2);
    }
    assert_eq!(code(action.invoke((1,))), Code::LengthMismatch);
    assert_eq!(code(function.invoke_action(())), Code::LengthMismatch);

    // What an action returns goes nowhere, and need not fit anywhere.
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
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    drop(provider);
}

/// One plugin that is taken for another: calls of several are served by one thread.
#[test]
fn a_context_names_the_caller_and_the_gate() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let own = bus.plugin("Own");
    let who = |context: Context<'_>| {
        let caller = context.caller();
        // Deadlines travel in ticks of a millisecond, and the coarse clock has its own.
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

/// A byte too few or too many where a payload just fits a cell, a block or the area.
#[test]
fn payloads_of_every_size_pass_both_ways() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let own = bus.plugin("Own");
    let _sum = own
        .provide("Own.Sum", |bytes: View<'_, Vec<u8>>, seed: u64| {
            **bytes == *pattern(seed, bytes.len())
        })
        .unwrap();
    let _make = own
        .provide("Own.Make", |seed: u64, length: u32| {
            pattern(seed, length as usize)
        })
        .unwrap();
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let sum = open::<(Vec<u8>, u64), bool>(&caller, "Own.Sum");
    let make = open::<(u64, u32), Vec<u8>>(&caller, "Own.Make");
    // An archived vector takes 8 bytes beside its own, so cells and blocks end 8 bytes earlier.
    let few = (0..=2).chain(86..=130).chain(1000..=1040);
    let many = (2040..=2056).chain([3000, 8192, 32 << 10, 60 << 10, (64 << 10) - 8]);
    for length in few.chain(many) {
        let bytes = pattern(length as u64, length);
        assert!(
            echo.invoke((bytes.clone(),)).unwrap() == bytes,
            "{length} bytes there and back"
        );
        if length <= 60 << 10 {
            assert!(
                sum.invoke((bytes.clone(), length as u64)).unwrap(),
                "{length} bytes there"
            );
        }
        assert!(
            make.invoke((length as u64, length as u32)).unwrap() == bytes,
            "{length} bytes back"
        );
    }
}

/// Arguments that do not fit and are sent in part, or take the link down with them.
#[test]
fn arguments_that_are_too_large_are_refused_and_nothing_is_sent() {
    let bus = Bus::start(programs!());
    let own = bus.plugin("Own");
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let _length = own
        .provide("Own.Length", move |bytes: View<'_, Vec<u8>>| {
            counted.fetch_add(1, Ordering::SeqCst);
            bytes.len() as u64
        })
        .unwrap();
    let caller = bus.plugin("Caller");
    let length = open::<(Vec<u8>,), u64>(&caller, "Own.Length");
    let most = (64 << 10) - 8;
    for n in [most + 1, 64 << 10, 1 << 20, 16 << 20] {
        let error = length.invoke((vec![1; n],)).unwrap_err();
        assert_eq!(error.code(), Code::RequestTooLarge);
        assert_eq!(error.gate(), Some("Own.Length"));
        assert!(!error.may_have_run(), "{error}");
        assert_eq!(length.invoke((vec![1; most],)).unwrap(), most as u64);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 4);
}

/// A result that does not fit and leaves its caller waiting, or breaks the link.
#[test]
fn a_result_that_is_too_large_is_an_error_and_the_link_lives() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let zeros = open::<(u32,), Vec<u8>>(&caller, "P.Zeros");
    let most = (64 << 10) - 8;
    for n in [most + 1, 64 << 10, 1 << 20, 16 << 20] {
        let error = zeros.invoke((n,)).unwrap_err();
        assert_eq!(error.code(), Code::ResponseTooLarge);
        assert_eq!(error.gate(), Some("P.Zeros"));
        assert!(error.may_have_run(), "{error}");
        assert_eq!(zeros.invoke((most,)).unwrap(), vec![0; most as usize]);
    }
}

/// A gate that has to be opened again because it was opened before there was a provider.
#[test]
fn a_gate_may_be_opened_before_it_exists() {
    let bus = Bus::start(programs!());
    let caller = bus.plugin("Caller");
    let add = caller.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    let error = add.invoke((1, 2)).unwrap_err();
    assert_eq!(
        (error.code(), error.gate()),
        (Code::NotReady, Some("P.Add"))
    );
    assert!(!error.may_have_run());
    assert_eq!(
        (add.has_function(), add.has_action(), add.owner()),
        (false, false, None)
    );

    let start = Instant::now();
    assert_eq!(code(add.wait_ready(SHORT)), Code::NotReady);
    assert!(start.elapsed() >= SHORT, "it did not wait");
    assert!(start.elapsed() < PATIENCE, "it waited too long");

    thread::scope(|scope| {
        let waiting = scope.spawn(|| add.wait_ready(PATIENCE));
        let _provider = bus.peer("provider", "P", &[]);
        waiting.join().unwrap().expect("the provider has come");
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
        assert_eq!(
            (add.has_function(), add.owner().as_deref()),
            (true, Some("P"))
        );
    });
}

/// Two plugins built against different types that read each other's bytes.
#[test]
fn differing_types_are_told_when_a_gate_is_opened() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let right = open::<(u64, u64), u64>(&caller, "P.Add");

    fn refused<A: Arguments + Clone, R: GateType>(plugin: &Plugin, arguments: A, code: Code) {
        let wrong = plugin
            .subscriber::<A, R>("P.Add")
            .expect("opening is no error yet");
        let start = Instant::now();
        let error = wrong.wait_ready(PATIENCE).unwrap_err();
        assert!(start.elapsed() < PATIENCE / 2, "waiting cannot help here");
        assert_eq!(error.code(), code);
        assert!(error.message().contains("(u64, u64) -> u64"), "{error}");
        assert!(error.message().contains("plugin P "), "{error}");
        let error = wrong.invoke(arguments).err().expect("an error");
        assert_eq!(error.code(), code);
        assert!(!error.may_have_run());
        assert!(wrong.has_function(), "it has one, of whatever types");
    }
    for n in 0..20 {
        refused::<(u32, u64), u64>(&caller, (1, 2), Code::TypeMismatch);
        refused::<(u64, u64), i64>(&caller, (1, 2), Code::TypeMismatch);
        refused::<((u64, u64),), u64>(&caller, ((1, 2),), Code::LengthMismatch);
        refused::<(u64,), u64>(&caller, (1,), Code::LengthMismatch);
        refused::<(), u64>(&caller, (), Code::LengthMismatch);
        refused::<(u64, u64, u64), u64>(&caller, (1, 2, 3), Code::LengthMismatch);
        assert_eq!(right.invoke((n, 2)).unwrap(), n + 2);
    }
    // A subscriber of the right types works beside those of wrong ones, in one plugin.
    let wrong = caller.subscriber::<(u32, u32), u64>("P.Add").unwrap();
    let again = open::<(u64, u64), u64>(&caller, "P.Add");
    assert_eq!(again.invoke((1, 2)).unwrap(), 3);
    assert_eq!(code(wrong.invoke((1, 2))), Code::TypeMismatch);
}

/// Fields that were renamed or swapped, which look the same as bytes.
#[test]
fn types_are_compared_field_by_field() {
    mod other {
        use super::gate_type;
        #[gate_type]
        pub struct Point {
            pub y: f32,
            pub x: f32,
        }
    }
    #[gate_type]
    struct Point {
        x: f32,
        y: f32,
    }
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let _kept = provider
        .provide("P.X", |point: View<'_, Point>| {
            point.x.to_native() - point.y.to_native()
        })
        .unwrap();
    let caller = bus.plugin("Caller");
    let right = open::<(Point,), f32>(&caller, "P.X");
    assert_eq!(right.invoke((Point { x: 3.0, y: 1.0 },)).unwrap(), 2.0);
    let wrong = caller.subscriber::<(other::Point,), f32>("P.X").unwrap();
    let error = wrong.wait_ready(PATIENCE).unwrap_err();
    assert_eq!(error.code(), Code::TypeMismatch);
    assert!(error.message().contains("Point"), "{error}");
    assert_eq!(
        code(wrong.invoke((other::Point { y: 1.0, x: 3.0 },))),
        Code::TypeMismatch
    );
}

/// A provider that comes back with other types and is called with the old ones.
#[test]
fn a_gate_that_comes_back_with_other_types_is_not_called() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let caller = bus.plugin("Caller");
    let numbers = caller
        .subscriber::<(u64,), u64>("P.Twist")
        .unwrap()
        .with_timeout(PATIENCE);
    let texts = caller
        .subscriber::<(String,), String>("P.Twist")
        .unwrap()
        .with_timeout(PATIENCE);
    for n in 0..20 {
        let first = provider.provide("P.Twist", |n: u64| n + 1).unwrap();
        eventually("numbers can be called", || {
            numbers.invoke((n,)).is_ok_and(|m| m == n + 1)
        });
        eventually("texts cannot", || {
            code(texts.invoke(("text".into(),))) == Code::TypeMismatch
        });
        drop(first);
        let second = provider
            .provide("P.Twist", |text: String| text + "!")
            .unwrap();
        eventually("texts can be called", || {
            texts
                .invoke(("text".into(),))
                .is_ok_and(|text| text == "text!")
        });
        eventually("numbers cannot", || {
            code(numbers.invoke((n,))) == Code::TypeMismatch
        });
        drop(second);
    }
}

/// A function where there is only an action, or the reverse.
#[test]
fn function_and_action_are_two_things() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let caller = bus.plugin("Caller");
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let function = provider.provide("P.F", |n: u32| n + 1).unwrap();
    let _action = provider.provide_action("P.A", |_: u32| ()).unwrap();
    let f = open::<(u32,), u32>(&caller, "P.F");
    let a = open::<(u32,), u32>(&caller, "P.A");
    assert_eq!((f.has_function(), f.has_action()), (true, false));
    assert_eq!((a.has_function(), a.has_action()), (false, true));
    assert_eq!(f.invoke((1,)).unwrap(), 2);
    a.invoke_action((1,)).unwrap();
    for error in [
        f.invoke_action((1,)).unwrap_err(),
        a.invoke((1,)).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::NotReady);
        assert!(error.message().contains("plugin Provider"), "{error}");
        assert!(!error.may_have_run());
    }

    // The other half comes later, and either half goes by itself.
    let action = provider
        .provide_action("P.F", move |by: u32| {
            counted.fetch_add(u64::from(by), Ordering::SeqCst);
        })
        .unwrap();
    eventually("the action is there", || f.has_action());
    f.invoke_action((5,)).unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 5);
    drop(function);
    assert_eq!(code(f.invoke((1,))), Code::NotReady);
    eventually("the function is gone", || !f.has_function());
    assert_eq!(
        (f.has_action(), f.owner().as_deref()),
        (true, Some("Provider"))
    );
    assert_eq!(code(f.invoke((1,))), Code::NotReady);
    f.invoke_action((5,)).unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 10);

    let function = provider.provide("P.F", |n: u32| n + 2).unwrap();
    eventually("the function is back", || f.has_function());
    assert_eq!(f.invoke((1,)).unwrap(), 3);
    drop(action);
    assert_eq!(code(f.invoke_action((1,))), Code::NotReady);
    eventually("the action is gone", || !f.has_action());
    assert_eq!(f.invoke((1,)).unwrap(), 3);
    drop(function);
    eventually("the gate is gone", || f.owner().is_none());
    assert_eq!(code(f.invoke((1,))), Code::NotReady);
    assert_eq!(runs.load(Ordering::SeqCst), 10);
}

/// Two owners of one gate, or one that loses its handler by providing twice.
#[test]
fn a_gate_has_one_owner() {
    let bus = Bus::start(programs!());
    let mut provider = bus.peer("provider", "First", &[]);
    let second = bus.plugin("Second");
    let caller = bus.plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "First.Add");

    for error in [
        second.provide("First.Add", |a: u64, _: u64| a).unwrap_err(),
        second.provide_action("First.Add", |_: u64| ()).unwrap_err(),
    ] {
        assert_eq!(
            (error.code(), error.gate()),
            (Code::AlreadyProvided, Some("First.Add"))
        );
        assert!(
            error.message().contains("First"),
            "it names the owner: {error}"
        );
    }
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);

    let kept = second.provide("Second.One", || 1_u8).unwrap();
    let error = second.provide("Second.One", || 2_u8).unwrap_err();
    assert_eq!(
        (error.code(), error.gate()),
        (Code::AlreadyProvided, Some("Second.One"))
    );
    let one = open::<(), u8>(&caller, "Second.One");
    assert_eq!(one.invoke(()).unwrap(), 1);
    drop(kept);
    let _kept = second.provide("Second.One", || 3_u8).unwrap();
    eventually("the new one is called", || {
        one.invoke(()).is_ok_and(|n| n == 3)
    });

    // The name is free when its owner has ended.
    provider.close_input();
    provider.wait();
    let mut taken = None;
    eventually("the gate is free", || {
        taken = second.provide("First.Add", |a: u64, b: u64| a * b).ok();
        taken.is_some()
    });
    eventually("the new owner is called", || {
        add.invoke((3, 4)).is_ok_and(|product| product == 12)
    });
    assert_eq!(add.owner().as_deref(), Some("Second"));
}

/// Two plugins of one name, or a name that stays taken when its plugin is gone.
#[test]
fn a_name_is_taken_while_its_plugin_lives() {
    let bus = Bus::start(programs!());
    let first = bus.peer("idle", "Same", &[]);
    let error = bus.builder("Same").connect().unwrap_err();
    assert_eq!(error.code(), Code::NameTaken);
    assert!(
        error.message().contains(&first.id().to_string()),
        "it names the process: {error}"
    );
    first.kill();
    let mut second = None;
    eventually("the name is free after a death", || {
        second = bus.builder("Same").connect().ok();
        second.is_some()
    });
    assert_eq!(code(bus.builder("Same").connect()), Code::NameTaken);
    drop(second);
    eventually("the name is free after a plugin was dropped", || {
        bus.builder("Same").connect().is_ok()
    });
}

/// A handler's failure that loses its code on the way, or its plugin.
#[test]
fn a_failing_handler_says_why_and_lives() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let fail = open::<(String,), u32>(&caller, "P.Fail");
    let panics = open::<(String,), u32>(&caller, "P.Panic");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    // The second message does not fit a cell; of the third not all is sent.
    for text in ["no row".to_owned(), "long ".repeat(600), "x".repeat(65_400)] {
        let error = fail.invoke((text.clone(),)).unwrap_err();
        assert_eq!(
            (error.code(), error.gate()),
            (Code::HandlerError, Some("P.Fail"))
        );
        assert!(text.starts_with(error.message()), "{error}");
        assert_eq!(error.message().len(), text.len().min(4096));
        let context = error.context().expect("a context");
        assert_eq!(
            (&context["handler_code"], &context["row"]),
            (&"NO_SUCH_ROW".into(), &7.into())
        );
        assert!(error.may_have_run());

        let text = &text[..text.len().min(4500)];
        let error = panics.invoke((text.to_owned(),)).unwrap_err();
        assert_eq!(
            (error.code(), error.gate()),
            (Code::HandlerPanicked, Some("P.Panic"))
        );
        assert!(
            error.message().contains(&text[..text.len().min(4000)]),
            "{error}"
        );
        assert!(error.may_have_run());
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    }
}

/// A late answer that is taken for that of a newer call.
#[test]
fn a_late_answer_is_dropped() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let slow = open::<(u64, Vec<u8>), Vec<u8>>(&caller, "P.Slow");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let hasty = slow.with_timeout(Duration::from_millis(4));
    for n in 0..20 {
        let length = [10, 500, 20_000][n % 3];
        let start = Instant::now();
        let Err(error) = hasty.invoke((25, pattern(n as u64, length))) else {
            continue;
        };
        assert_eq!(error.code(), Code::Timeout, "{error}");
        // Unless it came too late to be run at all.
        assert_ne!(
            error.may_have_run(),
            error.message().ends_with("it was not run")
        );
        assert!(start.elapsed() < PATIENCE, "the deadline was missed by far");
        let bytes = pattern(1000 + n as u64, length);
        assert!(echo.invoke((bytes.clone(),)).unwrap() == bytes, "call {n}");
    }
}

/// A slot or a block that a call which timed out never gives back.
#[test]
fn calls_that_time_out_give_everything_back() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let slow = open::<(u64, Vec<u8>), Vec<u8>>(&caller, "P.Slow");
    let hasty = slow.with_timeout(Duration::from_millis(2));
    // More of them than there are slots, blocks, or room for their answers.
    let mut failed = 0;
    for n in 0..200 {
        // A caller that gets no processor finds its answer there after all.
        let Err(error) = hasty.invoke((5, pattern(n, 3000))) else {
            continue;
        };
        failed += 1;
        let known = [Code::Timeout, Code::Overloaded];
        assert!(known.contains(&error.code()), "{error}");
        let never_ran = ["nothing was sent", "it was not run"];
        let ran = !never_ran.iter().any(|text| error.message().ends_with(text));
        assert_eq!(error.may_have_run(), ran, "{error}");
    }
    assert!(failed > 100, "only {failed} calls timed out");
    // All blocks are needed at once, there and back, and all slots.
    let whole = pattern(1, 65_000);
    assert!(slow.invoke((0, whole.clone())).unwrap() == whole);
    thread::scope(|scope| {
        for n in 0..64 {
            let slow = &slow;
            scope.spawn(move || {
                let bytes = pattern(n, 3000);
                assert!(slow.invoke((1, bytes.clone())).unwrap() == bytes);
            });
        }
    });
    assert!(slow.invoke((0, whole.clone())).unwrap() == whole);
}

/// A call that is run after its caller has given up: a payment made twice.
#[test]
fn a_call_whose_deadline_has_passed_is_not_run() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let barrier = Barrier::new();
    let _held = barrier.provide(&provider, "P.Held");
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let _count = provider
        .provide("P.Count", move || counted.fetch_add(1, Ordering::SeqCst))
        .unwrap();
    let caller = bus.plugin("Caller");
    let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
    let count = open::<(), u64>(&caller, "P.Count");
    thread::scope(|scope| {
        let holding = scope.spawn(|| held.invoke((vec![1],)));
        barrier.wait_for(1);
        for _ in 0..10 {
            assert_eq!(code(count.with_timeout(SHORT).invoke(())), Code::Timeout);
        }
        // The provider looks at a coarse clock.
        thread::sleep(Duration::from_millis(25));
        barrier.open();
        assert_eq!(holding.join().unwrap().unwrap(), [1]);
    });
    assert_eq!(count.invoke(()).unwrap(), 0, "expired calls were run");
}

/// A 65th call that overwrites the first, or waits for ever.
#[test]
fn more_calls_than_slots_are_overloaded_and_then_all_is_well() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let barrier = Barrier::new();
    let _held = barrier.provide(&provider, "P.Held");
    let caller = bus.plugin("Caller");
    let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
    let hasty = held.with_timeout(SHORT);
    let sent = AtomicU64::new(0);
    thread::scope(|scope| {
        for n in 0..80 {
            let held = &held;
            scope.spawn(move || {
                let bytes = pattern(n, 16);
                // Those beyond the 64th wait for a slot, and get one.
                assert_eq!(held.invoke((bytes.clone(),)).unwrap(), bytes);
            });
        }
        barrier.wait_for(1);
        eventually("all slots are taken", || {
            let error = hasty.invoke((vec![],)).unwrap_err();
            if error.code() == Code::Timeout {
                sent.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            assert_eq!(error.code(), Code::Overloaded);
            assert!(!error.may_have_run());
            assert!(error.message().contains("64 calls"), "{error}");
            true
        });
        barrier.open();
    });
    for n in 0..200 {
        let bytes = pattern(n, 16);
        assert_eq!(held.invoke((bytes.clone(),)).unwrap(), bytes);
    }
}

/// A payload that waits for blocks which never come, or gets those of another call.
#[test]
fn a_full_payload_area_is_overloaded_and_then_all_is_well() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let barrier = Barrier::new();
    let _held = barrier.provide(&provider, "P.Held");
    let caller = bus.plugin("Caller");
    let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
    thread::scope(|scope| {
        let first = scope.spawn(|| held.invoke((pattern(1, 40_000),)));
        barrier.wait_for(1);
        let error = held
            .with_timeout(SHORT)
            .invoke((pattern(2, 40_000),))
            .unwrap_err();
        assert_eq!(error.code(), Code::Overloaded);
        assert!(!error.may_have_run());
        let second = scope.spawn(|| held.invoke((pattern(3, 40_000),)));
        let small = scope.spawn(|| held.invoke((pattern(4, 20),)));
        thread::sleep(SHORT);
        barrier.open();
        assert!(first.join().unwrap().unwrap() == pattern(1, 40_000));
        assert!(second.join().unwrap().unwrap() == pattern(3, 40_000));
        assert!(small.join().unwrap().unwrap() == pattern(4, 20));
    });
}

/// An answer that goes to the wrong thread, or is torn by a neighbour's.
#[test]
fn many_threads_share_a_subscriber() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (echo, add) = (&echo, &add);
            scope.spawn(move || {
                for n in 0..1500_u64 {
                    let seed = thread << 32 | n;
                    assert_eq!(add.invoke((seed, 7)).unwrap(), seed + 7);
                    let length = match n % 16 {
                        0 => 12_000 + (seed % 9_000) as usize,
                        1..4 => (seed % 3_000) as usize,
                        _ => (seed % 100) as usize,
                    };
                    let bytes = pattern(seed, length);
                    assert!(
                        echo.invoke((bytes.clone(),)).unwrap() == bytes,
                        "{thread} {n}"
                    );
                }
            });
        }
    });
}

/// Large results for many callers at once, which are refused although everybody reads them.
#[test]
fn large_results_wait_for_room() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let zeros = open::<(u32,), Vec<u8>>(&caller, "P.Zeros");
    let slow = open::<(u64, Vec<u8>), Vec<u8>>(&caller, "P.Slow");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // One who never waits for its answers: they must not stay in the way.
        let careless = slow.with_timeout(Duration::from_millis(1));
        let over = &is_over;
        let careless = scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let outcome = careless.invoke((2, vec![7; 6_000]));
                let code = outcome.err().map(|error| error.code());
                let known = [None, Some(Code::Timeout), Some(Code::Overloaded)];
                assert!(known.contains(&code), "{code:?}");
            }
        });
        let work = |n: u32| {
            let zeros = &zeros;
            move || {
                for k in 0..60 {
                    let length = 20_000 + n * 5_000 + k;
                    assert_eq!(zeros.invoke((length,)).unwrap().len(), length as usize);
                }
            }
        };
        let careful: Vec<_> = (0..8).map(|n| scope.spawn(work(n))).collect();
        let outcomes: Vec<_> = careful.into_iter().map(|thread| thread.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        careless.join().unwrap();
        assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
    });
}

/// A plugin that cannot use its own gates.
#[test]
fn a_plugin_may_call_its_own_gate() {
    let bus = Bus::start(programs!());
    let plugin = Arc::new(bus.plugin("Own"));
    let _double = plugin.provide("Own.Double", |n: u64| n * 2).unwrap();
    let _who = plugin
        .provide("Own.Who", |context: Context<'_>| {
            context.caller().name().to_owned()
        })
        .unwrap();
    let double = open::<(u64,), u64>(&plugin, "Own.Double");
    let who = open::<(), String>(&plugin, "Own.Who");
    thread::spawn(move || {
        for n in 0..100 {
            assert_eq!(double.invoke((n,)).unwrap(), 2 * n);
        }
        assert_eq!(who.invoke(()).unwrap(), "Own");
    })
    .join()
    .unwrap();

    // A handler that waits for its own plugin gets no answer; its deadline ends that.
    let recursion = plugin
        .subscriber::<(u64,), u64>("Own.Double")
        .unwrap()
        .with_timeout(SHORT);
    let _deep = plugin
        .provide("Own.Deep", move |n: u64| -> Result<u64, HandlerError> {
            Ok(recursion.invoke((n,))?)
        })
        .unwrap();
    let deep = open::<(u64,), u64>(&plugin, "Own.Deep");
    let error = deep.invoke((1,)).unwrap_err();
    assert_eq!(error.code(), Code::HandlerError);
    assert_eq!(error.context().unwrap()["handler_code"], "TIMEOUT");
    let double = open::<(u64,), u64>(&plugin, "Own.Double");
    assert_eq!(double.invoke((4,)).unwrap(), 8);
}

/// A handler that calls on, and deadlocks or mixes the two calls up.
#[test]
fn a_handler_may_call_another_plugin() {
    let bus = Bus::start(programs!());
    let far = bus.peer("provider", "C", &[]);
    let middle = bus.plugin("B");
    let add = open::<(u64, u64), u64>(&middle, "C.Add");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&middle, "C.Echo");
    let caller = bus.plugin("A");
    let _base = caller.provide("A.Base", || 100_u64).unwrap();
    let base = open::<(), u64>(&middle, "A.Base");
    let through = move |context: Context<'_>,
                        n: u64,
                        bytes: View<'_, Vec<u8>>|
          -> Result<(u64, Vec<u8>, String), HandlerError> {
        let echoed = echo.invoke((bytes.to_vec(),))?;
        // And back into the caller, whose dispatcher is free.
        let sum = add.invoke((n, base.invoke(())?))?;
        Ok((sum, echoed, context.caller().name().to_owned()))
    };
    let _through = middle.provide("B.Through", through).unwrap();
    let through = open::<(u64, Vec<u8>), (u64, Vec<u8>, String)>(&caller, "B.Through");
    for n in 0..200 {
        let bytes = pattern(n, (n * 97 % 5000) as usize);
        let answer = through.invoke((n, bytes.clone())).unwrap();
        assert!(answer == (n + 100, bytes, "A".to_owned()), "call {n}");
    }
    // The failure of the far one is the middle one's, with the bus's code.
    far.kill();
    let error = through.invoke((1, vec![])).unwrap_err();
    assert_eq!(error.code(), Code::HandlerError);
    let inner = &error.context().unwrap()["handler_code"];
    assert!(
        inner == "PROVIDER_GONE" || inner == "NOT_READY",
        "{error:?}"
    );
}

/// Calls that hang when the plugin they went to closes in order.
#[test]
fn a_plugin_that_is_dropped_answers_what_is_left() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let barrier = Barrier::new();
    let held_gate = barrier.provide(&provider, "P.Held");
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let count_gate = provider
        .provide("P.Count", move || counted.fetch_add(1, Ordering::SeqCst))
        .unwrap();
    let caller = bus.plugin("Caller");
    let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
    let count = open::<(), u64>(&caller, "P.Count");
    let back = open::<(u64, u64), u64>;
    let _far = bus.peer("provider", "Far", &[]);
    let out = back(&provider, "Far.Add");
    assert_eq!(out.invoke((1, 2)).unwrap(), 3);
    thread::scope(|scope| {
        let holding = scope.spawn(|| held.invoke((vec![1],)));
        barrier.wait_for(1);
        let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| count.invoke(()))).collect();
        thread::sleep(SHORT);
        // Its providers go with it; a call that is being handled is finished.
        held_gate.keep();
        count_gate.keep();
        let dropping = scope.spawn(|| drop(provider));
        thread::sleep(SHORT);
        barrier.open();
        dropping.join().unwrap();
        assert_eq!(holding.join().unwrap().unwrap(), [1]);
        for call in waiting {
            let error = call.join().unwrap().unwrap_err();
            assert_eq!(error.code(), Code::ProviderGone, "{error}");
            assert!(!error.may_have_run(), "{error}");
        }
    });
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    eventually("the gates are gone", || {
        !count.has_function() && !held.has_function()
    });
    assert_eq!(code(count.invoke(())), Code::NotReady);

    // What the dropped plugin had opened is closed.
    let error = out.invoke((1, 2)).unwrap_err();
    assert_eq!(error.code(), Code::Closed, "{error}");
    assert!(!error.may_have_run());
    assert_eq!(code(out.wait_ready(SHORT)), Code::Closed);
}

/// A name that breaks listings and logs, or a message too long for its record.
#[test]
fn impossible_names_are_refused() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Plugin");
    let long = "n".repeat(1000);
    for name in ["", "line\nbreak", "bell\u{7}", "nul\0", "del\u{7f}", &long] {
        assert_eq!(
            code(bus.builder(name).connect()),
            Code::InvalidArgument,
            "{name:?}"
        );
        assert_eq!(
            code(plugin.provide(name, || ())),
            Code::InvalidArgument,
            "{name:?}"
        );
        assert_eq!(
            code(plugin.provide_action(name, || ())),
            Code::InvalidArgument,
            "{name:?}"
        );
        assert_eq!(
            code(plugin.subscriber::<(), ()>(name)),
            Code::InvalidArgument,
            "{name:?}"
        );
    }
    let described = bus.builder("Other").display_name("d".repeat(100_000));
    assert_eq!(code(described.connect()), Code::InvalidArgument);
    assert_eq!(
        code(bus.builder("Other").version("1".repeat(100_000)).connect()),
        Code::InvalidArgument
    );
    // Nothing of that hurt the session, and other names are free.
    let odd = "Größe / Ø 名 🎛";
    let _kept = plugin.provide(odd, || 1_u8).unwrap();
    let other = bus.builder(odd).connect().unwrap();
    assert_eq!(open::<(), u8>(&other, odd).invoke(()).unwrap(), 1);
}

/// A bus that cannot be joined, and does not say why.
#[test]
fn connecting_says_what_is_wrong() {
    let directory = tempfile::TempDir::new().unwrap();
    let at = |path: &std::path::Path| Plugin::builder("Plugin").socket(path).connect();
    for path in ["bus.sock", "no/such/directory/bus.sock"] {
        let path = directory.path().join(path);
        let error = at(&path).unwrap_err();
        assert_eq!(error.code(), Code::BrokerGone);
        assert!(
            error.message().contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
    let long = directory.path().join("d".repeat(120));
    let error = at(&long).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("107"), "{error}");
    // Something that is no socket, and a socket whose broker was killed.
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(code(at(&file)), Code::BrokerGone);
    let mut bus = Bus::start(programs!());
    bus.kill_broker();
    assert!(bus.socket().exists());
    assert_eq!(code(bus.builder("Plugin").connect()), Code::BrokerGone);
    // Somebody who accepts and says nothing.
    let mute = directory.path().join("mute");
    let listener = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Unix,
        nix::sys::socket::SockType::SeqPacket,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    let address = nix::sys::socket::UnixAddr::new(&mute).unwrap();
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&listener), &address).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(1).unwrap()).unwrap();
    let patient = Plugin::builder("Plugin").socket(&mute).timeout(SHORT);
    assert_eq!(code(patient.connect()), Code::Timeout);
}

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
