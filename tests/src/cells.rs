//! Cells between processes: values that show whether they are whole, and the plugins that write and read them.
//!
//! `cell-writer NAME` prints `ready` and the number that it finds in [`SAMPLE`], and writes from that number on.
//! `stream MICROS` makes it write all the time, with pauses of that length, until it is killed or told `stop`. Before
//! and after each write it stores the number in cells of its own ([`BEGUN`], [`DONE`]). It answers each line with how
//! many values it has written.
//!
//! `cell-reader NAME` prints `ready`, waits for the cell, and reads all the time. It ends with an error if a value is
//! not whole, or is older than the one before. It answers each line with how often it has read, how often it got
//! `BUSY`, and the number that it read last.
//! often it has read, was told `BUSY`, and the number that it read last.

use std::io::BufRead;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Cell, CellWriter, Code, Plugin, Result, gate_type};

use crate::PATIENCE;
use crate::random::Random;

/// The cell that the writer writes.
pub const SAMPLE: &str = "Cells.Sample";
/// A cell with the number that is about to be written.
pub const BEGUN: &str = "Cells.Begun";
/// A cell with the number that was written last.
pub const DONE: &str = "Cells.Done";

/// A value that shows whether it is whole.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Counts all values that were written, by whichever process.
    pub number: u64,
    body: [u64; 60],
    sum: u64,
}

impl Sample {
    /// The value with this number.
    pub fn new(number: u64) -> Sample {
        let mut random = Random::from_seed(number);
        let body = std::array::from_fn(|_| random.number());
        Sample {
            number,
            body,
            sum: sum(number, &body),
        }
    }

    /// Fails if its parts belong to different values.
    pub fn check(&self) {
        assert_eq!(self.sum, sum(self.number, &self.body), "a torn value");
    }
}

fn sum(number: u64, body: &[u64; 60]) -> u64 {
    let mix = |sum: u64, word: &u64| {
        (sum ^ word)
            .rotate_left(7)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    body.iter().fold(number, mix)
}

/// Reads a sample, which must be whole; `None` if the writer writes so fast that no read succeeds.
pub fn read(cell: &mut Cell<Sample>) -> Option<u64> {
    match cell.get() {
        Ok(sample) => {
            sample.check();
            Some(sample.number)
        }
        Err(error) if error.code() == Code::Busy => None,
        Err(error) => panic!("{error}"),
    }
}

/// Plays a role if it is one of these; returns false otherwise.
pub fn play(role: &str, name: &str, _more: &[String]) -> bool {
    match role {
        "cell-writer" => write(name).expect("writing"),
        "cell-reader" => read_all_the_time(name).expect("reading"),
        _ => return false,
    }
    true
}

/// Opens a cell for writing. It waits if the broker still counts a killed writer as its owner.
fn open<T: callgate_client::GateType>(plugin: &Plugin, tag: &str) -> Result<CellWriter<T>> {
    let until = Instant::now() + PATIENCE;
    loop {
        match plugin.shares().cell_writer(tag) {
            Err(error) if error.code() == Code::AlreadyProvided && Instant::now() < until => {
                thread::sleep(Duration::from_millis(1));
            }
            outcome => return outcome,
        }
    }
}

struct Writer {
    sample: CellWriter<Sample>,
    begun: CellWriter<u64>,
    done: CellWriter<u64>,
    number: Mutex<u64>,
    is_over: AtomicBool,
}

fn write(name: &str) -> Result<()> {
    let plugin = Plugin::connect(name)?;
    let sample = open(&plugin, SAMPLE)?;
    let mut found = plugin.shares().cell::<Sample>(SAMPLE)?;
    let found = loop {
        // The memory that this plugin writes counts only after it is sealed.
        if &*found.writer() == name && found.is_current() {
            break found.get().map_or(0, |sample| sample.number);
        }
        thread::sleep(Duration::from_micros(100));
    };
    let writer = Writer {
        sample,
        begun: open(&plugin, BEGUN)?,
        done: open(&plugin, DONE)?,
        number: Mutex::new(found),
        is_over: AtomicBool::new(false),
    };
    // A writer that was killed before it noted its last sample as done left a count that is one behind. This one may
    // be killed before its first sample is done, and then two would seem to be missing.
    writer.begun.set(&found)?;
    writer.done.set(&found)?;
    println!("ready");
    println!("{found}");
    thread::scope(|scope| {
        for line in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
            match line.strip_prefix("stream ") {
                Some(pause) => {
                    let pause = Duration::from_micros(pause.parse().expect("a number"));
                    let writer = &writer;
                    scope.spawn(move || writer.stream(pause));
                }
                None => writer.is_over.store(true, Ordering::Relaxed),
            }
            println!("{}", writer.number.lock().expect("no panic"));
        }
        writer.is_over.store(true, Ordering::Relaxed);
    });
    Ok(())
}

impl Writer {
    fn stream(&self, pause: Duration) {
        while !self.is_over.load(Ordering::Relaxed) {
            self.one();
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
    }

    fn one(&self) {
        let mut number = self.number.lock().expect("no panic");
        let next = *number + 1;
        let sample = Sample::new(next);
        self.begun.set(&next).expect("it is written");
        self.sample.set(&sample).expect("it is written");
        self.done.set(&next).expect("it is written");
        *number = next;
    }
}

fn read_all_the_time(name: &str) -> Result<()> {
    let plugin = Plugin::connect(name)?;
    println!("ready");
    let mut cell = plugin.shares().timeout(PATIENCE).cell::<Sample>(SAMPLE)?;
    let (reads, busy, last) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (reads, busy, last, is_over) = (&reads, &busy, &last, &is_over);
        scope.spawn(move || {
            // Aborts the process: the test would notice a panic of this thread only at the end.
            let _aborts = AbortOnPanic;
            while !is_over.load(Ordering::Relaxed) {
                match read_or_nothing(&mut cell) {
                    Some(number) => {
                        let before = last.swap(number, Ordering::Relaxed);
                        assert!(before <= number, "{number} after {before}");
                    }
                    None => {
                        busy.fetch_add(1, Ordering::Relaxed);
                    }
                }
                reads.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
            let [reads, busy, last] =
                [reads, busy, last].map(|count| count.load(Ordering::Relaxed));
            println!("{reads} {busy} {last}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    Ok(())
}

struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

/// As [`read`], for a cell that may have no value yet.
fn read_or_nothing(cell: &mut Cell<Sample>) -> Option<u64> {
    match cell.get() {
        Err(error) if error.code() == Code::NotReady => Some(0),
        _ => read(cell),
    }
}
