//! Reading a cell, beside the least that a seqlock of the same bytes costs: `cell/read`.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{GateType, Plugin};

use crate::measure;

/// Between two writes.
const PAUSE: Duration = Duration::from_micros(1);

/// A value between two looks at a counter, by one writer and in memory that nobody else changes: with nothing to check.
struct Seqlock<const WORDS: usize> {
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl<const WORDS: usize> Seqlock<WORDS> {
    fn new() -> Seqlock<WORDS> {
        Seqlock {
            sequence: AtomicU64::new(2),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }

    /// By one writer.
    fn write(&self) {
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for word in &self.words {
            word.store(before, Ordering::Relaxed);
        }
        self.sequence.store(before + 2, Ordering::Release);
    }

    #[inline]
    fn read(&self) -> [u64; WORDS] {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let value = std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before & 1 == 0 && self.sequence.load(Ordering::Relaxed) == before {
                return value;
            }
            std::hint::spin_loop();
        }
    }
}

/// Values of one length: `cell/read`, and its limit.
fn read<T: GateType + Sync, const WORDS: usize>(
    wanted: Option<&str>,
    plugin: &Plugin,
    value: &T,
) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = 8 * WORDS;
    let limit = Box::new(Seqlock::<WORDS>::new());
    let read_limit = || {
        let value = limit.read();
        black_box(&value);
    };
    measure(wanted, &format!("cell/read/{bytes}: limit"), read_limit);
    let tag = format!("Parts.Cell{bytes}.{}", align_of::<T>());
    let cell = plugin.shares().cell_writer::<T>(&tag)?;
    cell.set(value)?;
    let mut meter = plugin.shares().cell::<T>(&tag)?;
    let mut without = 0;
    let mut read = || match meter.get() {
        Ok(value) => drop(black_box(&value)),
        Err(_) => without += 1,
    };
    measure(wanted, &format!("cell/read/{bytes}: callgate"), &mut read);
    measure(wanted, &format!("cell/write/{bytes}: callgate"), || {
        cell.set(black_box(value)).is_ok()
    });
    // While another core writes, again and again after a pause.
    let name = format!("cell/read-written/{bytes}: limit");
    while_written(|| limit.write(), || measure(wanted, &name, read_limit));
    let name = format!("cell/read-written/{bytes}: callgate");
    let write = || drop(cell.set(value));
    while_written(write, || measure(wanted, &name, read));
    Ok(())
}

/// Measures something while another thread does something about every microsecond.
fn while_written(write: impl Fn() + Sync, measured: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                write();
                let begun = Instant::now();
                while begun.elapsed() < PAUSE {}
            }
        });
        measured();
        is_over.store(true, Ordering::Relaxed);
    });
}

pub(crate) fn cells(wanted: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().without_socket().start()?;
    let plugin = Plugin::builder("Parts")
        .descriptor(broker.connect()?)
        .connect()?;
    read::<f64, 1>(wanted, &plugin, &1.0)?;
    read::<[f64; 8], 8>(wanted, &plugin, &[1.0; 8])?;
    read::<[f32; 16], 8>(wanted, &plugin, &[1.0; 16])?;
    read::<[f32; 128], 64>(wanted, &plugin, &[1.0; 128])?;
    read::<[f32; 1024], 512>(wanted, &plugin, &[1.0; 1024])?;
    Ok(())
}
