//! Short functions for what most tests do.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Arguments, Code, GateType, Plugin, PluginBuilder, Result, Subscriber};

use crate::PATIENCE;

/// Opens a gate, waits until it can be called, and gives its calls a long timeout.
#[track_caller]
pub fn open<A: Arguments, R: GateType>(plugin: &Plugin, gate: &str) -> Subscriber<A, R> {
    let subscriber = plugin.subscriber(gate).expect("opening a gate");
    subscriber.wait_ready(PATIENCE).expect("its provider");
    subscriber.with_timeout(PATIENCE)
}

/// Connects as soon as there is a broker.
#[track_caller]
pub fn connect_early(builder: impl Fn() -> PluginBuilder) -> Plugin {
    let until = Instant::now() + PATIENCE;
    loop {
        match builder().connect() {
            Ok(plugin) => return plugin,
            Err(error) if error.code() == Code::BrokerGone && Instant::now() < until => {
                thread::yield_now();
            }
            Err(error) => panic!("connecting: {error}"),
        }
    }
}

/// Waits until a condition holds; fails the test if that takes too long.
#[track_caller]
pub fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "it never came about that {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The error code of an operation that must fail.
#[track_caller]
pub fn code<T: std::fmt::Debug>(outcome: Result<T>) -> Code {
    outcome.expect_err("this must fail").code()
}

/// Bytes that differ for every seed and every position.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let at = |n: usize| seed.rotate_left(n as u32 % 61) as u8 ^ n as u8 ^ (n >> 8) as u8;
    (0..length).map(at).collect()
}
