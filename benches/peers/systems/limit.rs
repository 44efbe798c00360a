//! The limit: two words and nothing around them. One side writes a number into a word, the other
//! writes it into another. No call can be faster than that; what a call takes above it is what
//! there is to gain.
//!
//! Where both sides are awake they spin, on words in one cache line or in two; which of these is
//! faster depends on the machine and on the minute, and the faster one counts in each round.
//! Where callers sleep, both sides wait by futex at once and are woken each time. To connect, a
//! socket, a descriptor, a map and one such exchange are needed.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use callgate_layout::sys::fdpass;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Client, Server, Setup, System};
use crate::Result;
use crate::payload::STOP;
use crate::raw::{self, Words};
use crate::scenario::Scenario;

/// How both sides wait, and where the answer's word lies.
pub(super) trait Wait: Send + Sync + 'static {
    /// Line and place of the answer's word; the request's is the first of line 0.
    const ANSWER: (usize, usize);

    /// Stores a number and lets the other side see it.
    fn put(words: &Words, at: (usize, usize), number: u32);

    /// Waits until a word differs from `old`.
    fn other(words: &Words, at: (usize, usize), old: u32) -> u32;
}

const REQUEST: (usize, usize) = (0, 0);

/// Spins on words `LINE` lines apart.
struct Spinning<const LINE: usize>;

impl<const LINE: usize> Wait for Spinning<LINE> {
    const ANSWER: (usize, usize) = (LINE, 1);

    #[inline]
    fn put(words: &Words, at: (usize, usize), number: u32) {
        words.word(at.0, at.1).store(number, Ordering::Release);
    }

    #[inline]
    fn other(words: &Words, at: (usize, usize), old: u32) -> u32 {
        let word = words.word(at.0, at.1);
        loop {
            // Without a pause: that is what is fastest on two cores.
            let now = word.load(Ordering::Acquire);
            if now != old {
                return now;
            }
        }
    }
}

/// Sleeps at once.
struct Sleeping;

impl Wait for Sleeping {
    const ANSWER: (usize, usize) = (1, 1);

    fn put(words: &Words, at: (usize, usize), number: u32) {
        let word = words.word(at.0, at.1);
        word.store(number, Ordering::Release);
        raw::wake(word);
    }

    fn other(words: &Words, at: (usize, usize), old: u32) -> u32 {
        let word = words.word(at.0, at.1);
        loop {
            let now = word.load(Ordering::Acquire);
            if now != old {
                return now;
            }
            raw::wait(word, old);
        }
    }
}

/// The limit where both sides are awake.
pub(super) struct Spin {
    lines: usize,
}

impl Spin {
    pub(super) const ONE_LINE: Spin = Spin { lines: 1 };
    pub(super) const TWO_LINES: Spin = Spin { lines: 2 };
}

impl System for Spin {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn id(&self) -> &'static str {
        if self.lines == 1 {
            "limit-one-line"
        } else {
            "limit-two-lines"
        }
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        scenario.is_awake()
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        match self.lines {
            1 => Ok(Box::new(Callee::<Spinning<0>>::new(setup)?)),
            _ => Ok(Box::new(Callee::<Spinning<1>>::new(setup)?)),
        }
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        match self.lines {
            1 => Ok(Box::new(Caller::<Spinning<0>>::new(setup))),
            _ => Ok(Box::new(Caller::<Spinning<1>>::new(setup))),
        }
    }
}

/// The limit where callers sleep.
pub(super) struct Futex;

impl System for Futex {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn id(&self) -> &'static str {
        "limit-futex"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        !scenario.is_awake() && !scenario.passes_values()
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        Ok(Box::new(Callee::<Sleeping>::new(setup)?))
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        Ok(Box::new(Caller::<Sleeping>::new(setup)))
    }
}

fn address(setup: &Setup) -> PathBuf {
    setup.place.join("limit")
}

pub(super) struct Callee<W> {
    listener: UnixListener,
    words: Option<Words>,
    answered: u32,
    once: bool,
    wait: std::marker::PhantomData<W>,
}

impl<W: Wait> Callee<W> {
    pub(super) fn new(setup: &Setup) -> Result<Callee<W>> {
        Ok(Callee {
            listener: UnixListener::bind(address(setup))?,
            words: None,
            answered: 0,
            once: setup.scenario == Scenario::Connect,
            wait: std::marker::PhantomData,
        })
    }

    fn accept(&mut self) -> Result<()> {
        let (socket, _) = self.listener.accept()?;
        let memory = raw::memory(0)?;
        fdpass::send(socket.as_fd(), b"!", &[memory.as_fd()])?;
        self.words = Some(Words::map(memory)?);
        self.answered = 0;
        Ok(())
    }
}

impl<W: Wait> Server for Callee<W> {
    fn serve(&mut self) -> Result<()> {
        loop {
            if self.words.is_none() {
                self.accept()?;
            }
            let Some(words) = &self.words else {
                continue;
            };
            loop {
                self.answered = W::other(words, REQUEST, self.answered);
                W::put(words, W::ANSWER, self.answered);
                if self.answered == STOP as u32 || self.once {
                    break;
                }
            }
            let stopped = self.answered == STOP as u32;
            if self.once {
                self.words = None;
            }
            if stopped {
                return Ok(());
            }
        }
    }
}

pub(super) struct Caller<W> {
    address: PathBuf,
    words: Option<Words>,
    answered: u32,
    once: bool,
    wait: std::marker::PhantomData<W>,
}

impl<W: Wait> Caller<W> {
    pub(super) fn new(setup: &Setup) -> Caller<W> {
        Caller {
            address: address(setup),
            words: None,
            answered: 0,
            once: setup.scenario == Scenario::Connect,
            wait: std::marker::PhantomData,
        }
    }

    #[cold]
    fn connect(&mut self) -> Result<()> {
        let socket = UnixStream::connect(&self.address)?;
        let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::NONE)?;
        let mut received = fdpass::receive(socket.as_fd(), &mut [0])?;
        let memory = received.descriptors.pop();
        self.words = Some(Words::map(memory.ok_or("no memory came along")?)?);
        self.answered = 0;
        Ok(())
    }
}

impl<W: Wait> Client for Caller<W> {
    #[inline]
    fn call(&mut self, number: u64) -> Result<()> {
        if self.words.is_none() {
            self.connect()?;
        }
        let Some(words) = &self.words else {
            return Err("not connected".into());
        };
        let number = number as u32;
        W::put(words, REQUEST, number);
        let answer = W::other(words, W::ANSWER, self.answered);
        self.answered = answer;
        if answer == number {
            return Ok(());
        }
        Err(format!("a wrong answer to call {number}: {answer}").into())
    }

    fn settle(&mut self) -> Result<()> {
        if self.once {
            self.words = None;
        }
        Ok(())
    }
}
