//! The role `share-storm NAME SEED`: it makes, reads, publishes and lets go of shares at random, on two threads,
//! until its input ends. Then it lets go of all, prints `resting`, and waits to be killed. It prints `did COUNT` at
//! intervals. Sometimes it kills itself while it makes something.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{
    Code, Error, HandlerError, Plugin, Result, Share, ShareType, Shares, Versions,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Content, check_words, fill_words};
use crate::PATIENCE;
use crate::random::Random;

/// The number of tags. Shares with even numbers are values, the others slices.
const TAGS: usize = 50;
const THREADS: usize = 2;
/// The most guards and followed shares that a thread has.
const MOST_HELD: usize = 12;
const MOST_FOLLOWED: usize = 3;
/// How many operations it does between two lines of output.
const BETWEEN_LINES: u64 = 32;
/// The error of a factory that fails on purpose.
const FAILS: &str = "STORM";

enum Held {
    Value(Share<Content>),
    Slice(Share<[u64]>),
}

struct Player {
    shares: Shares,
    random: Random,
    held: Vec<(String, Held)>,
    followed: Vec<(String, Versions<Content>)>,
}

pub(super) fn run(name: &str, more: &[String]) -> Result<()> {
    let [seed] = more else {
        panic!("usage: callgate-peer share-storm NAME SEED");
    };
    let mut random = Random::from_seed(seed.parse().expect("a number"));
    let plugin = Plugin::connect(name)?;
    println!("ready");
    let (is_over, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let start = |_| {
        let mut player = Player {
            shares: plugin.shares().timeout(PATIENCE),
            random: random.fork(),
            held: Vec::new(),
            followed: Vec::new(),
        };
        let (is_over, count) = (is_over.clone(), count.clone());
        thread::spawn(move || player.play(&is_over, &count))
    };
    let threads: Vec<_> = (0..THREADS).map(start).collect();
    std::io::stdin().lock().lines().for_each(drop);
    is_over.store(true, Ordering::Relaxed);
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no panic"));
    println!("resting");
    loop {
        thread::park();
    }
}

impl Player {
    fn play(&mut self, is_over: &AtomicBool, count: &AtomicU64) {
        while !is_over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            self.step();
            let took = begun.elapsed();
            assert!(took < 2 * PATIENCE, "an operation took {took:?}");
            let count = count.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_multiple_of(BETWEEN_LINES) {
                println!("did {count}");
            }
        }
        self.held.drain(..).for_each(|(tag, held)| held.check(&tag));
    }

    fn step(&mut self) {
        let at = self.random.below(TAGS);
        let (tag, is_value) = (format!("Storm.T{at}"), at.is_multiple_of(2));
        match self.random.below(100) {
            0..30 if is_value => self.make_value(&tag),
            0..30 => self.make_slice(&tag),
            30..42 if is_value => self.get(&tag, Held::Value),
            30..42 => self.get(&tag, Held::Slice),
            42..68 => self.let_go(),
            68..78 if is_value => self.publish_value(&tag),
            68..78 => self.publish_slice(&tag),
            78..90 if is_value => self.follow(tag),
            90..95 if is_value => self.ask_for_another_type::<[u64]>(&tag),
            90..95 => self.ask_for_another_type::<Content>(&tag),
            _ => self.held.iter().for_each(|(tag, held)| held.check(tag)),
        }
    }

    fn make_value(&mut self, tag: &str) {
        let (mut random, len) = (self.random.fork(), self.len());
        let made = self.shares.try_get_or_create(tag, || {
            die_now_and_then(&mut random);
            if random.below(8) == 0 {
                random.pause(2);
            }
            match random.below(8) {
                0 => Err(HandlerError::new(FAILS, "as it was to")),
                _ => Ok(Content::new(tag, random.number(), len)),
            }
        });
        match made {
            Ok(made) => self.hold(tag, Held::Value(made)),
            Err(error) => expect(&error, &[Code::HandlerError]),
        }
    }

    fn make_slice(&mut self, tag: &str) {
        let (mut random, len) = (self.random.fork(), self.len() / 8);
        let made = self.shares.create_with(tag, len, |slice: &mut [u64]| {
            fill_words(tag, random.number(), slice);
            die_now_and_then(&mut random);
        });
        self.hold(tag, Held::Slice(made.expect("it is there or made")));
    }

    fn get<T: ShareType + ?Sized>(&mut self, tag: &str, held: impl Fn(Share<T>) -> Held) {
        let found = match self.random.below(2) {
            0 => self.shares.try_get(tag).expect("it is there or not"),
            _ => match self.shares.get(tag) {
                Ok(found) => Some(found),
                Err(error) => {
                    expect(&error, &[Code::NotReady]);
                    None
                }
            },
        };
        if let Some(found) = found {
            self.hold(tag, held(found));
        }
    }

    fn let_go(&mut self) {
        if !self.held.is_empty() {
            let at = self.random.below(self.held.len());
            let (tag, held) = self.held.swap_remove(at);
            held.check(&tag);
        }
    }

    fn publish_value(&mut self, tag: &str) {
        let content = Content::new(tag, self.random.number(), self.len());
        let newest = self.shares.publish(tag, &content).expect("it is published");
        self.hold(tag, Held::Value(newest));
    }

    fn publish_slice(&mut self, tag: &str) {
        let (mut random, len) = (self.random.fork(), self.len() / 8);
        let publisher = self.shares.publisher::<[u64]>(tag).expect("a publisher");
        let newest = publisher.publish_with(len, |slice| {
            fill_words(tag, random.number(), slice);
            die_now_and_then(&mut random);
        });
        self.hold(tag, Held::Slice(newest.expect("it is published")));
    }

    fn follow(&mut self, tag: String) {
        match self.followed.len() {
            MOST_FOLLOWED => drop(self.followed.remove(0)),
            _ => {
                let versions = self.shares.versions(&tag).expect("it is followed");
                self.followed.push((tag, versions));
            }
        }
        for (tag, versions) in &self.followed {
            if let Some(newest) = versions.latest().expect("the newest") {
                newest.check(tag);
            }
        }
        if let Some((tag, versions)) = self.followed.first() {
            let changed = versions.changed(Duration::from_millis(2));
            if let Some(newest) = changed.expect("the newest, or none") {
                newest.check(tag);
            }
        }
    }

    fn ask_for_another_type<T: ShareType + ?Sized>(&mut self, tag: &str) {
        match self.shares.get::<T>(tag) {
            Ok(_) => panic!("{tag} is of another type"),
            Err(error) => expect(&error, &[Code::NotReady, Code::ShareTypeMismatch]),
        }
    }

    fn hold(&mut self, tag: &str, held: Held) {
        held.check(tag);
        if self.held.len() == MOST_HELD {
            self.let_go();
        }
        self.held.push((tag.to_owned(), held));
    }

    /// The bytes of what is made: mostly few, one in a hundred a megabyte.
    fn len(&mut self) -> usize {
        match self.random.below(100) {
            0 => 1 << 20,
            1..10 => 1024 + self.random.below(64 << 10),
            _ => 24 + self.random.below(4096),
        }
    }
}

impl Held {
    fn check(&self, tag: &str) {
        match self {
            Held::Value(value) => value.check(tag),
            Held::Slice(slice) => check_words(tag, slice),
        };
    }
}

fn expect(error: &Error, codes: &[Code]) {
    assert!(codes.contains(&error.code()), "{error}");
}

fn die_now_and_then(random: &mut Random) {
    if random.below(150) == 0 {
        let _ = kill(Pid::this(), Signal::SIGKILL);
        thread::sleep(PATIENCE);
    }
}
