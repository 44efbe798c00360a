//! One life of a plugin, as the loop has it.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate::supervision::{Exit, Watchdog};
use callgate::{Asked, BrokerHandle};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::hearing::Manners;
use super::pace::Pace;
use super::settings::Limits;
use super::source::Source;
use super::spending::Watch;
use super::tokens::{Part, token};
use super::way_back::WayBack;
use crate::bridge::Bridge;
use crate::frame::{FRAME_CAP, Outgoing};
use crate::process::{Child, End, Stdin};

/// A child that has closed a pipe is given so long to end by itself before that counts: at its end the kernel closes
/// its pipes first.
const MAY_BE_ENDING: Duration = Duration::from_millis(200);

/// A process of a plugin.
pub(super) struct Life {
    pub(super) number: u64,
    pub(super) process: Process,
    /// `None` of a plugin that links the client.
    pub(super) speech: Option<Speech>,
    pub(super) stdout: Source,
    pub(super) stderr: Source,
    /// When a pipe that it has closed counts, and what to say of it then.
    pub(super) closed: Option<Closed>,
    /// Whether it is in line to be read from.
    pub(super) is_in_line: bool,
    pub(super) pace: Pace,
    /// Until when it is not read from, because its budget is used up.
    pub(super) paused: Option<Instant>,
    /// How far its stdout has to be read before its course takes in the time.
    pub(super) judged_at: Option<u64>,
    /// Whether its process has ended while another thread had a frame of it.
    pub(super) has_ended: bool,
}

/// How a process is reached, by who started it.
pub(super) enum Process {
    /// The runtime.
    Own(Child),
    /// The broker, which takes in its end.
    Linked(Linked),
}

/// A process that the broker started, with what its library says of its dispatcher.
pub(super) struct Linked {
    pub(super) child: callgate::Child,
    watchdog: Watchdog,
    asked: Option<Asked>,
}

/// What a child on pipes has besides: it speaks.
pub(super) struct Speech {
    pub(super) stdin: Stdin,
    pub(super) bridge: Arc<Bridge>,
    pub(super) way_back: Arc<WayBack>,
    pub(super) manners: Manners,
    /// When it is the bridge's turn.
    pub(super) turn_at: Option<Instant>,
    pub(super) pings: u64,
    /// Whether another thread has a frame of it, and its bridge.
    pub(super) is_lent: bool,
}

/// A pipe that a child has closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) at: Instant,
    pub(super) why: &'static str,
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        match self {
            Process::Own(child) => child.pid(),
            Process::Linked(linked) => linked.child.id(),
        }
    }

    /// How it ended; `None` while it runs. What is left of its group is killed by this.
    pub(super) fn look(&mut self) -> Option<Exit> {
        match self {
            Process::Own(child) => child.look().map(|end| match end {
                End::Known(status) => status.into(),
                End::Unknown => Exit::Unknown,
            }),
            Process::Linked(linked) => match linked.child.try_wait() {
                Ok(status) => status.map(Exit::from),
                Err(_) => Some(Exit::Unknown),
            },
        }
    }

    /// Asks it and its group to end. It may have ended, which is about to be noticed.
    pub(super) fn terminate(&self) {
        match self {
            Process::Own(child) => child.terminate(),
            Process::Linked(linked) => drop(linked.child.terminate()),
        }
    }

    /// Ends it and its group.
    pub(super) fn kill(&self) {
        match self {
            Process::Own(child) => child.kill(),
            Process::Linked(linked) => drop(linked.child.kill()),
        }
    }
}

/// One that nobody supervises any more would go on until the broker ends.
impl Drop for Linked {
    fn drop(&mut self) {
        // Where it has ended, this does nothing.
        let _ = self.child.kill();
    }
}

impl Linked {
    pub(super) fn new(child: callgate::Child) -> Linked {
        Linked {
            child,
            watchdog: Watchdog::new(),
            asked: None,
        }
    }

    /// Asks its library how its dispatcher stands.
    pub(super) fn ask(&mut self, broker: &BrokerHandle, name: &str) {
        // A broker that has ended is no answer.
        self.asked = broker.ask_pulse(name).ok();
    }

    /// Whether its library has said since the last time that its dispatcher serves.
    pub(super) fn has_answered(&mut self) -> bool {
        let answer = self.asked.as_ref().and_then(Asked::answer);
        answer.is_some_and(|pulse| pulse.is_ok_and(|pulse| self.watchdog.hears(pulse)))
    }
}

impl Life {
    /// Has the loop's poll tell of what happens to it.
    pub(super) fn watch(&self, registry: &Registry) -> io::Result<()> {
        let watch = |fd: Option<RawFd>, part, interest| match fd {
            Some(fd) => registry.register(&mut SourceFd(&fd), token(self.number, part), interest),
            None => Ok(()),
        };
        if let Process::Own(child) = &self.process {
            watch(Some(child.raw()), Part::Process, Interest::READABLE)?;
        }
        let stdin = self.speech.as_ref().and_then(|speech| speech.stdin.raw());
        watch(stdin, Part::Stdin, Interest::WRITABLE)?;
        self.streams(|stream, token| stream.watch(registry, token))
    }

    /// Does something with both output streams and the tokens under which they are watched.
    pub(super) fn streams(&self, act: impl Fn(&Source, Token) -> io::Result<()>) -> io::Result<()> {
        act(&self.stdout, token(self.number, Part::Stdout))?;
        act(&self.stderr, token(self.number, Part::Stderr))
    }

    /// Whether another thread has a frame of it.
    pub(super) fn is_lent(&self) -> bool {
        self.speech.as_ref().is_some_and(|speech| speech.is_lent)
    }

    /// Whether its stdout is to be read from: not while answers wait for a child that does not read, and not behind a frame that another
    /// thread reads.
    pub(super) fn is_heard(&self) -> bool {
        let speech = self.speech.as_ref();
        speech.is_none_or(|speech| !speech.is_lent && !speech.bridge.is_busy())
    }

    /// Whether there is something to read now.
    pub(super) fn has_something(&self) -> bool {
        let has_something =
            || self.stderr.can_be_read() || (self.stdout.can_be_read() && self.is_heard());
        self.paused.is_none() && has_something()
    }

    /// Measures what reading it takes: exactly, where it has used up much.
    pub(super) fn watch_reading(&self, now: Instant) -> Watch {
        match self.pace.is_low(now) {
            true => Watch::run(),
            false => Watch::passed(now, self.pace.most_at_once()),
        }
    }

    /// Whether it may have said something before this was asked first that was not read yet, and will be. Once that was read, this is
    /// asked anew.
    pub(super) fn is_to_be_read_first(&mut self) -> bool {
        let mark = self.judged_at.take();
        let mark = mark.unwrap_or_else(|| self.stdout.taken() + self.stdout.capacity());
        self.judged_at = Some(mark).filter(|_| self.is_behind(mark));
        self.judged_at.is_some()
    }

    /// Whether its course takes in the time only after more was read.
    pub(super) fn is_judged_later(&self) -> bool {
        self.judged_at.is_some_and(|mark| self.is_behind(mark))
    }

    fn is_behind(&self, mark: u64) -> bool {
        let is_unread = self.stdout.can_be_read() && self.stdout.taken() < mark;
        self.is_lent() || (is_unread && self.is_heard())
    }

    /// It has closed a pipe, unless it is just ending. One that does not speak needs none.
    pub(super) fn has_closed(&mut self, why: &'static str, now: Instant) {
        if self.speech.is_some() {
            let at = now + MAY_BE_ENDING;
            self.closed.get_or_insert(Closed { at, why });
        }
    }

    /// When it is to be looked at although nothing happens.
    pub(super) fn next(&self, limits: &Limits) -> Option<Instant> {
        let closed = self.closed.map(|closed| closed.at);
        let speech = self.speech.as_ref().and_then(|speech| speech.next(limits));
        let all = [closed, speech, self.paused];
        all.into_iter().flatten().min()
    }
}

impl Speech {
    /// Asks the child whether it still serves.
    pub(super) fn ping(&mut self) {
        self.pings += 1;
        let nonce = self.pings;
        if let Ok(line) = (Outgoing::Ping { nonce }).to_line(FRAME_CAP) {
            // A child that reads no more does not answer, which counts.
            let _ = self.stdin.write_beyond(&line);
        }
    }

    /// Gives the bridge its turn, unless another thread has it: then afterwards.
    pub(super) fn take_turn(&mut self, now: Instant) {
        if self.is_lent {
            return;
        }
        self.way_back.begins_turn();
        self.turn_at = self.bridge.sweep(now);
    }

    fn next(&self, limits: &Limits) -> Option<Instant> {
        let stuck_since = self.stdin.stuck_since();
        let stuck_until = stuck_since.and_then(|since| since.checked_add(limits.stuck_for));
        let turn_at = self.turn_at.filter(|_| !self.is_lent);
        [stuck_until, turn_at].into_iter().flatten().min()
    }
}
