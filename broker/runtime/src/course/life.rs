//! One life of a plugin: a process and all that belongs to it, owned by the loop.

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

/// How long a child that has closed a pipe may take to end before the closed pipe counts as an error: when a process ends, the kernel
/// closes its pipes first.
const MAY_BE_ENDING: Duration = Duration::from_millis(200);

/// A process of a plugin.
pub(super) struct Life {
    pub(super) number: u64,
    pub(super) process: Process,
    /// `None` for a plugin that links the client.
    pub(super) speech: Option<Speech>,
    pub(super) stdout: Source,
    pub(super) stderr: Source,
    /// Set when the child has closed a pipe: when that counts as an error, and which.
    pub(super) closed: Option<Closed>,
    /// Whether it is in line to be read.
    pub(super) is_in_line: bool,
    pub(super) pace: Pace,
    /// The end of a pause in which its output is not read, because its budget is used up.
    pub(super) paused: Option<Instant>,
    /// The position in its stdout up to which it must be read before its course is told of the time.
    pub(super) judged_at: Option<u64>,
    /// Whether its process has ended while another thread had a frame of it.
    pub(super) has_ended: bool,
}

/// The process of a life, by the side that started it.
pub(super) enum Process {
    /// Started by the runtime.
    Own(Child),
    /// Started by the broker, which also reaps it.
    Linked(Linked),
}

/// A process that the broker started, with the answers of its client library about its dispatcher.
pub(super) struct Linked {
    pub(super) child: callgate::Child,
    watchdog: Watchdog,
    asked: Option<Asked>,
}

/// The part of a life that only a child on pipes has.
pub(super) struct Speech {
    pub(super) stdin: Stdin,
    pub(super) bridge: Arc<Bridge>,
    pub(super) way_back: Arc<WayBack>,
    pub(super) manners: Manners,
    /// The time at which the bridge wants its next turn.
    pub(super) turn_at: Option<Instant>,
    pub(super) pings: u64,
    /// Whether another thread has a frame of this child, and with it its bridge.
    pub(super) is_lent: bool,
}

/// A pipe that the child has closed.
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

    /// Returns how the process ended; `None` while it runs. When the end is first seen, the rest of its group is killed.
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

    /// Sends SIGTERM to the process and its group. If the process has ended already, the loop is about to see that.
    pub(super) fn terminate(&self) {
        match self {
            Process::Own(child) => child.terminate(),
            Process::Linked(linked) => drop(linked.child.terminate()),
        }
    }

    /// Kills the process and its group.
    pub(super) fn kill(&self) {
        match self {
            Process::Own(child) => child.kill(),
            Process::Linked(linked) => drop(linked.child.kill()),
        }
    }
}

/// Kills the process, which otherwise would run unsupervised until the broker ends.
impl Drop for Linked {
    fn drop(&mut self) {
        // Has no effect if the process has ended.
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

    /// Asks the process's client library about the state of its dispatcher.
    pub(super) fn ask(&mut self, broker: &BrokerHandle, name: &str) {
        // If the broker has ended there is no answer, which counts as a missing one.
        self.asked = broker.ask_pulse(name).ok();
    }

    /// Whether the library has reported since the last question that its dispatcher serves.
    pub(super) fn has_answered(&mut self) -> bool {
        let answer = self.asked.as_ref().and_then(Asked::answer);
        answer.is_some_and(|pulse| pulse.is_ok_and(|pulse| self.watchdog.hears(pulse)))
    }
}

impl Life {
    /// Registers the pipes and the process with the loop's poll.
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

    /// Applies `act` to both output streams, with the tokens under which they are registered.
    pub(super) fn streams(&self, act: impl Fn(&Source, Token) -> io::Result<()>) -> io::Result<()> {
        act(&self.stdout, token(self.number, Part::Stdout))?;
        act(&self.stderr, token(self.number, Part::Stderr))
    }

    /// Whether another thread has a frame of this child.
    pub(super) fn is_lent(&self) -> bool {
        self.speech.as_ref().is_some_and(|speech| speech.is_lent)
    }

    /// Whether its stdout may be read: not while answers wait because the child does not read them, and not while another thread has a
    /// frame.
    pub(super) fn is_heard(&self) -> bool {
        let speech = self.speech.as_ref();
        speech.is_none_or(|speech| !speech.is_lent && !speech.bridge.is_busy())
    }

    /// Whether there is output that may be read now.
    pub(super) fn has_something(&self) -> bool {
        let has_something =
            || self.stderr.can_be_read() || (self.stdout.can_be_read() && self.is_heard());
        self.paused.is_none() && has_something()
    }

    /// Starts measuring the time that reading takes. If the budget is low the exact running time of the thread is used.
    pub(super) fn watch_reading(&self, now: Instant) -> Watch {
        match self.pace.is_low(now) {
            true => Watch::run(),
            false => Watch::passed(now, self.pace.most_at_once()),
        }
    }

    /// Whether output that the child may have written before the first call of this still has to be read. Once all of that was read it
    /// returns false, and the next call starts anew.
    pub(super) fn is_to_be_read_first(&mut self) -> bool {
        let mark = self.judged_at.take();
        let mark = mark.unwrap_or_else(|| self.stdout.taken() + self.stdout.capacity());
        self.judged_at = Some(mark).filter(|_| self.is_behind(mark));
        self.judged_at.is_some()
    }

    /// Whether its course is told of the time only after more output was read.
    pub(super) fn is_judged_later(&self) -> bool {
        self.judged_at.is_some_and(|mark| self.is_behind(mark))
    }

    fn is_behind(&self, mark: u64) -> bool {
        let is_unread = self.stdout.can_be_read() && self.stdout.taken() < mark;
        self.is_lent() || (is_unread && self.is_heard())
    }

    /// Notes that the child has closed a pipe, which counts later unless the child is just ending. A child without frames needs no pipes.
    pub(super) fn has_closed(&mut self, why: &'static str, now: Instant) {
        if self.speech.is_some() {
            let at = now + MAY_BE_ENDING;
            self.closed.get_or_insert(Closed { at, why });
        }
    }

    /// The next time at which the life has something due, if there is one.
    pub(super) fn next(&self, limits: &Limits) -> Option<Instant> {
        let closed = self.closed.map(|closed| closed.at);
        let speech = self.speech.as_ref().and_then(|speech| speech.next(limits));
        let all = [closed, speech, self.paused];
        all.into_iter().flatten().min()
    }
}

impl Speech {
    /// Sends a ping to the child.
    pub(super) fn ping(&mut self) {
        self.pings += 1;
        let nonce = self.pings;
        if let Ok(line) = (Outgoing::Ping { nonce }).to_line(FRAME_CAP) {
            // Fails only if the child has closed its stdin: then it cannot answer, and the missing answer counts.
            let _ = self.stdin.write_beyond(&line);
        }
    }

    /// Gives the bridge its turn. If another thread has the bridge, it gets its turn afterwards.
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
