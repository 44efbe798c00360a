//! What is called, and by whom, while processes are killed and stopped: plugins that provide and call with payloads
//! from eight bytes to eight megabytes. Both sides check every byte.

mod caller;
mod judge;
mod provider;
mod tally;

use std::time::{Duration, Instant};

use callgate_client::{Context, HandlerError, Payload, Plugin, Subscriber};

use crate::random::Random;
use crate::suite;

pub use tally::Counts;

/// The longest payload.
pub const MOST: usize = 8 << 20;
/// At how many positions of the book a payload can begin.
const STARTS: usize = 1 << 20;
/// How long these plugins keep the memory of large payloads when nothing uses it.
const KEEP_IDLE: Duration = Duration::from_millis(500);
/// How many handlers a chain has at most.
const DEEPEST: u32 = 6;

/// How much deeper the chain goes, the position in the book where the bytes begin, and the bytes.
type Link = (u32, u64, Vec<u8>);

/// Random bytes of which every payload is a part. Each process generates the same ones, so both sides know the right
/// bytes, and notice bytes of another call.
#[derive(Debug)]
struct Book(Vec<u8>);

impl Book {
    fn write() -> Book {
        let (mut random, mut bytes) = (Random::from_seed(7), Vec::new());
        while bytes.len() < MOST + STARTS {
            bytes.extend_from_slice(&random.number().to_le_bytes());
        }
        Book(bytes)
    }

    fn part(&self, at: u64, len: usize) -> &[u8] {
        let at = at as usize % STARTS;
        &self.0[at..at + len]
    }

    /// Ends the process if the bytes are not those that were sent.
    fn check(&self, at: u64, bytes: &[u8], what: &str) {
        let right = self.part(at, bytes.len());
        if right != bytes {
            let first = right.iter().zip(bytes).position(|(a, b)| a != b);
            panic!("{what}: wrong bytes, {first:?} of {}", bytes.len());
        }
    }

    /// As [`Book::check`], for a raw payload. It begins with the position in the book of its other bytes; returns the
    /// answer that the caller expects.
    fn look(&self, payload: &Payload<'_>) -> u64 {
        let mut bytes = vec![0; payload.len()];
        payload.copy_to(&mut bytes);
        let at = payload.word(0).expect("it has a first word");
        self.check(at, &bytes[8..], "a raw payload");
        sum(&bytes)
    }
}

/// A number that depends on the first and last bytes and on the length.
fn sum(bytes: &[u8]) -> u64 {
    let word = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let end = bytes.len().saturating_sub(8);
    let first = word(&bytes[..bytes.len().min(8)]);
    first ^ word(&bytes[end..]).rotate_left(7) ^ (bytes.len() as u64).rotate_left(17)
}

/// Passes a chain on until it is deep enough, and returns what came back.
fn pass_on(
    next: Option<&Subscriber<Link, Vec<u8>>>,
    context: Context<'_>,
    (depth, at, bytes): Link,
    book: &Book,
) -> Result<Vec<u8>, HandlerError> {
    book.check(at, &bytes, "an argument of a chain");
    if depth == 0 {
        return Ok(bytes);
    }
    let next = next.ok_or_else(|| HandlerError::new("NOT_READY", "not opened yet"))?;
    let next = next.with_timeout(context.remaining());
    let came = next.invoke((depth - 1, at, bytes.clone()))?;
    let is_right = came == bytes;
    assert!(is_right, "a wrong answer inside a chain: {}", came.len());
    Ok(came)
}

/// Plays a role if it is one of these: `storm-provider NAME MODE CALLERS…`, `storm-caller NAME MODE SEED PROVIDERS…`.
/// Any fault ends the process with 101.
pub fn play(role: &str, name: &str, more: &[String]) -> bool {
    let (run, mode): (fn(&Plugin, &[String]), _) = match (role, more) {
        ("storm-provider", [mode, ..]) => (provider::run, mode),
        ("storm-caller", [mode, ..]) => (caller::run, mode),
        _ => return false,
    };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        std::process::exit(101);
    }));
    let plugin = connect(name, mode);
    run(&plugin, &more[1..]);
    true
}

/// Connects, even if the broker is stopped meanwhile.
fn connect(name: &str, mode: &str) -> crate::pumped::Pumped {
    let dispatch = suite::dispatch(mode);
    let until = Instant::now() + crate::PATIENCE;
    loop {
        // The last broker ends before these plugins. One that waits for a next broker would wait as long as it may.
        let builder = Plugin::builder(name).outlives_broker(false);
        let builder = builder.dispatch(dispatch);
        match builder.keep_idle(KEEP_IDLE).connect() {
            Ok(plugin) => return crate::pumped::Pumped::new(plugin, dispatch),
            Err(error) if Instant::now() < until => judge::allow(&error, &judge::OPENING),
            Err(error) => panic!("connecting: {error}"),
        }
    }
}
