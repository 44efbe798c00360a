//! Calls of every kind to the suite's provider, with a check of each outcome.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use callgate_client::{CancelToken, Code, Error, Plugin, Subscriber};

use crate::random::Random;
use crate::shorthand::{open, pattern};
use crate::slots::expect_all;

/// The suite's gates, for one thread.
#[derive(Debug)]
pub struct Gates {
    add: Subscriber<(u64, u64), u64>,
    echo: Subscriber<(Vec<u8>,), Vec<u8>>,
    fail: Subscriber<(u64,), u64>,
    panic: Subscriber<(String,), u64>,
    late: Subscriber<(u64, Vec<u8>), Vec<u8>>,
    until: Subscriber<(), ()>,
    late_ones: [AtomicU64; 3],
}

/// The payload lengths of calls with a short deadline: inline, in payload blocks, and in an extent.
const LENGTHS: [usize; 3] = [10, 3_000, 300_000];

impl Gates {
    /// Opens all gates, and waits until they can be called.
    pub fn open(plugin: &Plugin) -> Gates {
        Gates {
            add: open(plugin, "S.Add"),
            echo: open(plugin, "S.Echo"),
            fail: open(plugin, "S.Fail"),
            panic: open(plugin, "S.Panic"),
            late: open(plugin, "S.Late"),
            until: open(plugin, "S.UntilCancelled"),
            late_ones: Default::default(),
        }
    }

    /// One call of some kind; a wrong outcome panics.
    pub fn call(&self, random: &mut Random) {
        let n = random.number() >> 1;
        match random.below(1_000) {
            0..700 => assert_eq!(self.add.invoke((n, 1)).expect("a sum"), n + 1),
            700..850 => {
                let bytes = pattern(n, random.below(3_000));
                let echoed = self.echo.invoke((bytes.clone(),));
                assert!(echoed.expect("the bytes") == bytes);
            }
            850..930 => {
                let error = self.fail.invoke((n,)).expect_err("it fails");
                assert_eq!(error.code(), Code::HandlerError);
                assert!(error.message().ends_with(&n.to_string()), "{error}");
            }
            930..985 => {
                let error = self.panic.invoke((format!("{n}"),)).expect_err("it panics");
                assert_eq!(error.code(), Code::HandlerPanicked);
            }
            985..998 => self.be_hasty(n, random),
            _ => self.give_up(),
        }
    }

    /// How many calls were sent whose callers had given up before the answer, by the length of their payloads.
    pub fn late_ones(&self) -> [u64; 3] {
        [0, 1, 2].map(|n| self.late_ones[n].load(Ordering::Relaxed))
    }

    /// A call whose answer usually comes too late.
    fn be_hasty(&self, n: u64, random: &mut Random) {
        let (kind, micros) = match random.below(13) {
            0..6 => (0, 700),
            6..12 => (1, 700),
            // Writing the payload takes some time.
            _ => (2, 2_500),
        };
        let bytes = pattern(n, LENGTHS[kind]);
        let hasty = self.late.with_timeout(Duration::from_micros(micros));
        // The handler usually takes longer than the deadline.
        match hasty.invoke((micros / 700, bytes.clone())) {
            Ok(late) => assert!(late == bytes, "bytes of another call"),
            Err(error) => {
                assert!(is_late(&error), "{error}");
                let was_sent = u64::from(error.may_have_run());
                self.late_ones[kind].fetch_add(was_sent, Ordering::Relaxed);
            }
        }
    }

    fn give_up(&self) {
        let token = CancelToken::new();
        let until = self.until.with_cancel(&token);
        thread::scope(|scope| {
            let call = scope.spawn(|| until.invoke(()));
            token.cancel();
            let error = call.join().expect("no panic").expect_err("it was given up");
            assert_eq!(error.code(), Code::Cancelled);
        });
    }
}

fn is_late(error: &Error) -> bool {
    matches!(error.code(), Code::Timeout | Code::Overloaded)
}

/// Is a caller that makes as many calls as a line of its input says, and then prints `made`. At the line `all` it
/// checks that everything has come back, and prints `all`.
pub fn run(plugin: &Plugin, seed: &str) {
    let mut random = Random::from_seed(seed.parse().expect("a number"));
    let gates = Gates::open(plugin);
    println!("ready");
    let mut made = 0;
    for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
        if line == "all" {
            expect_all(plugin);
            println!("all");
            continue;
        }
        let until: u64 = line.parse().expect("a number");
        while made < until {
            gates.call(&mut random);
            made += 1;
        }
        println!("made");
    }
}
