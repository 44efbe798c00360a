//! Cells whose writers are killed, replaced, or break the rules.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Cell, Code, Plugin, fingerprint_of};
use callgate_layout::cells::{CellWriter, cell_len};
use callgate_layout::control::{CellToBroker, CellToPlugin, ToPlugin};
use callgate_layout::hostile::poke;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::WriteView;
use callgate_tests::cells::{BEGUN, DONE, SAMPLE, Sample, read};
use callgate_tests::random::Random;
use callgate_tests::raw::Raw;
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, PATIENCE, Process, programs};

/// How many times a writer is killed: 200, or as `CALLGATE_KILLS` says.
fn kills() -> u64 {
    let given = std::env::var("CALLGATE_KILLS").ok();
    given.and_then(|kills| kills.parse().ok()).unwrap_or(200)
}

/// A writer, and the number that it found in the cell.
fn writer(bus: &Bus) -> (Process, u64) {
    let mut writer = bus.peer("cell-writer", "Writer", &[]);
    let found = writer.expect_line().parse();
    (writer, found.expect("a number"))
}

fn number(cell: &mut Cell<u64>) -> u64 {
    cell.get().expect("a number is always whole")
}

/// A writer that is killed during a write leaves a whole value, and the next writer begins with that one.
#[test]
fn a_writer_that_is_killed_leaves_its_last_value() {
    let bus = Bus::start(programs!());
    let mut random = Random::new("killed writers");
    let mut reader = bus.peer("cell-reader", "Reader", &[]);
    let here = bus.plugin("Here");
    let (mut process, found) = writer(&bus);
    assert_eq!(found, 0);
    let open = |tag| here.shares().cell::<u64>(tag).expect("it is open");
    let (mut begun, mut done) = (open(BEGUN), open(DONE));
    let mut cell = here.shares().cell::<Sample>(SAMPLE).expect("it is open");
    let mut last = 0;
    for round in 0..kills() {
        process.ask("stream 0");
        let are_current = || [cell.is_current(), begun.is_current(), done.is_current()];
        await_that("this side has heard of it", || are_current() == [true; 3]);
        random.pause(8);
        process.kill();
        await_that("all have gone", || are_current() == [false; 3]);
        last = match cell.get() {
            Err(error) if error.code() == Code::NotReady && last == 0 => 0,
            _ => read(&mut cell).expect("nobody writes"),
        };
        if last > 0 {
            let [begun, done] = [&mut begun, &mut done].map(|cell| cell.get().unwrap_or(0));
            assert!(
                done <= last && last <= begun && begun <= done + 1,
                "round {round}: {last}, begun {begun}, done {done}"
            );
        }
        let found;
        (process, found) = writer(&bus);
        assert_eq!(found, last, "round {round}");
    }
    process.ask("stream 50");
    await_that("the reader has had it", || {
        let last: u64 = reader
            .ask("")
            .rsplit(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        last > number(&mut done).saturating_sub(1_000) && last > 0
    });
}

/// Writing and reading go on while there is no broker, and with the next one.
#[test]
fn values_go_on_across_brokers() {
    let mut bus = Bus::start(programs!());
    let (mut process, _) = writer(&bus);
    let mut reader = bus.peer("cell-reader", "Reader", &[]);
    process.ask("stream 20");
    let mut reads = || {
        let line = reader.ask("");
        let numbers: Vec<u64> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
        (numbers[0], numbers[2])
    };
    let mut goes_on = |what: &str| {
        let (before, last) = reads();
        let until = Instant::now() + PATIENCE;
        loop {
            let (now, newer) = reads();
            if now > before + 10 && newer > last + 10 {
                return;
            }
            assert!(Instant::now() < until, "{what}");
            thread::sleep(Duration::from_millis(2));
        }
    };
    for _ in 0..3 {
        goes_on("with a broker");
        bus.kill_broker();
        goes_on("without a broker");
        bus.start_broker();
        goes_on("with the next broker");
        let late = bus.plugin("Late");
        let mut cell = late.shares().cell::<Sample>(SAMPLE).expect("it is there");
        await_that("the next broker's readers see it", || {
            cell.get().is_ok_and(|sample| sample.number > 0)
        });
        // A reader that comes back later than this would have nothing to read if that broker were killed, too.
        await_that("the reader is back", || {
            reads_at_the_broker(&late, "Reader")
        });
    }
}

/// Whether the plugin of this name has the samples open at the current broker.
fn reads_at_the_broker(asks: &Plugin, name: &str) -> bool {
    let listing = asks.list().expect("a listing");
    let shares = listing["shares"].as_array().expect("shares");
    let is_open = |entry: &&serde_json::Value| entry["tag"] == SAMPLE;
    let users = shares.iter().find(is_open).map(|entry| &entry["users"]);
    let users = users.and_then(|users| users.as_array());
    users.is_some_and(|users| users.iter().any(|user| user == name))
}

/// A value of which some bytes are none.
type Flags = (u64, bool, char);

/// A plugin that writes anything into a cell.
struct Liar {
    _raw: Raw,
    memory: WriteView,
}

impl Liar {
    fn new(bus: &Bus, tag: &str, len: u32) -> Liar {
        let mut raw = Raw::join(bus, "Liar");
        raw.send(CellToBroker::Open {
            request: 1,
            tag: tag.into(),
            fingerprint: fingerprint_of::<Flags>().expect("a type").0,
            signature: "((u64, bool, char))".into(),
            len,
            writes: true,
            waits: true,
        });
        let (record, mut files) = raw.receive();
        assert!(
            matches!(record, ToPlugin::Cell(CellToPlugin::Write { .. })),
            "{record:?}"
        );
        let file = files.pop().expect("its memory");
        let len = cell_len(len) as usize;
        memfd::allocate(file.as_fd(), len).expect("memory");
        let map = Mapping::writable(file, len).expect("a map");
        raw.send(CellToBroker::Written { request: 1 });
        Liar {
            _raw: raw,
            memory: WriteView::new(map).expect("it is writable"),
        }
    }
}

fn reads(plugin: &Plugin, tag: &str) -> Cell<Flags> {
    plugin.shares().cell(tag).expect("it is open")
}

/// Bytes that are no value of the type are an error that names the writer. Using them as a value would be undefined
/// behaviour.
#[test]
fn what_is_no_value_is_the_writers_fault() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Reader");
    let liar = Liar::new(&bus, "Flags", 16);
    let mut cell = reads(&plugin, "Flags");
    let mut honest = CellWriter::new(liar.memory, 16).expect("a cell");
    for (bytes, expected) in [
        ([7, 1 | 0x41 << 32], Ok((7, true, 'A'))),
        ([7, 2 | 0x41 << 32], Err(Code::Protocol)),
        ([u64::MAX, 0xd800 << 32], Err(Code::Protocol)),
        ([8, 0x10_ffff << 32], Ok((8, false, '\u{10ffff}'))),
        ([8, u64::MAX], Err(Code::Protocol)),
        ([9, 0x42 << 32], Ok((9, false, 'B'))),
    ] {
        let bytes: [[u8; 8]; 2] = bytes.map(u64::to_le_bytes);
        honest.write(bytes.as_flattened());
        let got = cell.get();
        if let Err(error) = &got {
            assert!(error.message().contains("`Liar`"), "{error}");
            assert_eq!(error.gate(), Some("Flags"));
        }
        assert_eq!(got.map_err(|error| error.code()), expected);
    }
}

/// A writer that changes the count all the time, also backwards, delays no reader for ever.
#[test]
fn a_writer_that_counts_all_the_time_is_told_of_and_waited_for_by_nobody() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Reader");
    let liar = Liar::new(&bus, "Flags", 16);
    let mut cell = reads(&plugin, "Flags");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut count = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                count = count.wrapping_sub(0x0100_0000_0000_0001);
                poke(&liar.memory, 0, count);
            }
        });
        let until = Instant::now() + PATIENCE;
        let (mut busy, mut reads) = (0, 0);
        while (busy == 0 || reads < 10_000) && Instant::now() < until {
            let begun = Instant::now();
            match cell.get().map_err(|error| error.code()) {
                Err(Code::Busy) => busy += 1,
                // All bytes are zero, which is a value: it may be copied between two counts.
                Ok(value) => assert_eq!(value, (0, false, '\0')),
                Err(Code::NotReady) => {}
                Err(other) => panic!("{other}"),
            }
            assert!(begun.elapsed() < PATIENCE);
            reads += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(reads >= 10_000, "{reads} reads");
    });
}
