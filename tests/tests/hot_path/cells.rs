//! Cells: writing a value, and reading it.

use callgate::Broker;
use callgate_client::{Cell, CellWriter, Plugin};

use super::{allocations, alone, more_system_calls};

const FEW: u64 = 10_000;
/// How many more values the second run writes, when the costs of two runs are compared.
const MORE: u64 = 50_000;

/// A cell of numbers, and one whose values are checked. One plugin writes both, and another one reads them.
struct Cells {
    numbers: (CellWriter<[f32; 16]>, Cell<[f32; 16]>),
    checked: (CellWriter<Option<u64>>, Cell<Option<u64>>),
    _plugins: [Plugin; 2],
    _broker: Broker,
}

impl Cells {
    fn new() -> Cells {
        let broker = Broker::builder().without_socket();
        let broker = broker.start().expect("a broker");
        let plugins = ["Writer", "Reader"].map(|name| {
            let connection = broker.connect().expect("a connection");
            let plugin = Plugin::builder(name).descriptor(connection).connect();
            plugin.expect("a plugin on this bus")
        });
        let [writes, reads] = [0, 1].map(|at: usize| plugins[at].shares());
        let mut cells = Cells {
            numbers: (
                writes.cell_writer("Hot.Numbers").expect("it is free"),
                reads.cell("Hot.Numbers").expect("it is there"),
            ),
            checked: (
                writes.cell_writer("Hot.Checked").expect("it is free"),
                reads.cell("Hot.Checked").expect("it is there"),
            ),
            _plugins: plugins,
            _broker: broker,
        };
        cells.exchange(FEW);
        cells
    }

    fn exchange(&mut self, values: u64) {
        for n in 0..values {
            let numbers = [n as f32; 16];
            self.numbers.0.set(&numbers).expect("it is written");
            assert_eq!(self.numbers.1.get().expect("a value"), numbers);
            let value = (n % 2 == 0).then_some(n);
            self.checked.0.set(&value).expect("it is written");
            assert_eq!(self.checked.1.get().expect("a value"), value);
        }
    }
}

/// Writing and reading cells allocates nothing: a meter is written by a thread that may never wait for memory.
#[test]
fn cells_allocate_nothing() {
    let _alone = alone();
    let mut cells = Cells::new();
    let made = allocations(|| cells.exchange(FEW));
    assert_eq!(made, 0, "in {FEW} values that were written and read");
}

/// This is run under `strace` by the test below.
#[test]
#[ignore = "does nothing but write and read"]
fn ten_thousand_values() {
    Cells::new().exchange(FEW);
}

/// The same with more values.
#[test]
#[ignore = "does nothing but write and read"]
fn sixty_thousand_values() {
    Cells::new().exchange(FEW + MORE);
}

/// Writing and reading cells makes no system call.
#[test]
fn cells_ask_the_kernel_for_nothing() {
    let tests = ["cells::ten_thousand_values", "cells::sixty_thousand_values"];
    let enough = MORE / 1_000;
    if let Some(more) = more_system_calls(tests, enough) {
        assert!(more < enough, "{more} system calls for {MORE} more values");
    }
}
