//! Cells between processes: values that tell whether they are whole, and the plugins that write and read them.
//!
//! `cell-writer NAME` writes [`SAMPLE`] from the number on that it finds there, which it says after `ready`; `stream MICROS` has it write
//! all the time, with such pauses, until it is killed or told `stop`. Before and after each write it says in cells of its own ([`BEGUN`], [`DONE`])
//! which number that is. What it answers is how many it has written.
//!
//! `cell-reader NAME` says `ready`, waits for the cell, reads all the time, and ends with an error where a value is not whole, or older than the one before. It answers each line with how
//! often it has read, was told `BUSY`, and the number that it read last.

use std::io::BufRead;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Cell, CellWriter, Code, Plugin, Result, gate_type};

use crate::PATIENCE;
use crate::random::Random;

/// The cell that is written.
pub const SAMPLE: &str = "Cells.Sample";
/// Which number is about to be written.
pub const BEGUN: &str = "Cells.Begun";
/// Which number was written last.
pub const DONE: &str = "Cells.Done";

/// A value that is whole or is seen not to be.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Counts all that were written, by whichever process.
    pub number: u64,
    body: [u64; 60],
    sum: u64,
}

impl Sample {
    /// The one with a number.
    pub fn new(number: u64) -> Sample {
        let mut random = Random::from_seed(number);
        let body = std::array::from_fn(|_| random.number());
        Sample {
            number,
            body,
            sum: sum(number, &body),
        }
    }

    /// Fails where its parts are of more than one.
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

/// Reads a sample, which has to be whole; `None` where the writer writes all the time.
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

/// Does what a role says; false where it is another one's.
pub fn play(role: &str, name: &str, _more: &[String]) -> bool {
    match role {
        "cell-writer" => write(name).expect("writing"),
        "cell-reader" => read_all_the_time(name).expect("reading"),
        _ => return false,
    }
    true
}

/// Opens a cell for writing, which one that was killed may still have.
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
        // The memory that this plugin writes is not there before it is sealed.
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
            // A panic here would only be seen at the end.
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

/// As [`read`], of a cell that may have no value yet.
fn read_or_nothing(cell: &mut Cell<Sample>) -> Option<u64> {
    match cell.get() {
        Err(error) if error.code() == Code::NotReady => Some(0),
        _ => read(cell),
    }
}
