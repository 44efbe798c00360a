//! Nothing is left of shares after the last user has gone. The test is a program of its own, because it counts what
//! its process holds.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Code, Dispatch, HandlerError, Plugin, Share, ShareEvent, gate_type};

const PATIENCE: Duration = Duration::from_secs(20);
const TAG: &str = "Osc.Table";

/// What is shared.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Table {
    gains: Vec<f32>,
}

/// The same for a plugin that was built earlier.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Wider {
    gains: Vec<f64>,
}

fn table(len: usize) -> Table {
    Table {
        gains: vec![0.5; len],
    }
}

/// Descriptors and maps of shares that this process has: of the broker, and of all plugins.
fn left() -> Vec<String> {
    let is_its = |text: &str| text.contains("callgate-share");
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let open =
        open.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()));
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let maps = maps.lines().map(str::to_owned);
    open.chain(maps).filter(|text| is_its(text)).collect()
}

fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: {:?}", left());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Nothing is left of each of these: otherwise they would use up the broker's descriptors, or a plugin's memory,
/// within a day.
#[test]
fn nothing_is_left_of_what_has_ended() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let plugin = |name: &str| {
        let builder = Plugin::builder(name).dispatch(Dispatch::Thread);
        let builder = builder.descriptor(broker.connect().unwrap());
        builder.connect().unwrap()
    };
    let (maker, reader) = (plugin("Maker"), plugin("Reader"));
    let (of_maker, of_reader) = (maker.shares(), reader.shares());
    let ends = |what: &str| await_that(what, || left().is_empty());

    let versions = of_reader.versions::<Table>(TAG).unwrap();
    let told = Arc::new(AtomicU64::new(0));
    let watch = of_reader.watch(TAG, {
        let told = told.clone();
        move |event| {
            if let ShareEvent::Here { version } = event {
                told.store(version, Ordering::Release);
            }
        }
    });
    let publisher = of_maker.publisher::<Table>(TAG).unwrap();
    let mut kept = Vec::new();
    for len in 1..20 {
        let _ = publisher.publish(&table(len * 1000)).unwrap();
        kept.extend(versions.latest().unwrap());
    }
    await_that("it is told", || told.load(Ordering::Acquire) == 19);
    drop((publisher, versions, watch));
    assert_eq!(kept[3].gains.len(), 4000);
    assert!(left().len() >= kept.len(), "each is mapped");
    drop(kept);
    ends("versions that were published, read and watched");

    for _ in 0..3 {
        let failed = of_maker.try_get_or_create(TAG, || -> Result<Table, HandlerError> {
            Err(HandlerError::new("NO_TABLE", "it cannot"))
        });
        assert_eq!(failed.unwrap_err().code(), Code::HandlerError);
        let panics = || of_maker.create_with(TAG, 10, |_: &mut [f32]| panic!("it does"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    }
    ends("makings that have failed");

    let made: Share<Table> = of_maker.publish(TAG, &table(10)).unwrap();
    let wider: Share<Wider> = of_reader.get(TAG).unwrap();
    assert!(wider.is_converted());
    assert!(of_reader.get_json(TAG).unwrap()["gains"].is_array());
    drop((made, wider));
    ends("a share that was converted");

    // Each gives up at another moment, some of them when the answer is already on its way.
    for micros in 0..60 {
        let short = of_reader
            .clone()
            .timeout(Duration::from_micros(micros * 10));
        let _ = short.get::<Table>(TAG);
        let _ = short.get_or_create(TAG, || table(10));
        let _ = short.publish(TAG, &table(10));
        let made = of_maker.publish(TAG, &table(10));
        let _ = short.get::<Table>(TAG);
        let _ = short.publish(TAG, &table(20));
        drop(made);
    }
    ends("what was given up");

    let made: Share<Table> = of_maker.publish(TAG, &table(10)).unwrap();
    let read: Share<Table> = of_reader.get(TAG).unwrap();
    drop((maker, reader));
    assert_eq!((made.gains.len(), read.gains.len()), (10, 10));
    drop((made, read));
    ends("guards that outlive their plugins");
}
