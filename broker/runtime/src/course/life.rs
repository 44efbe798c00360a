//! One life of a child, as the loop has it.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::hearing::Manners;
use super::member::Member;
use super::settings::Limits;
use super::source::Source;
use super::tokens::{Part, token};
use crate::process::{Child, Stdin};

/// A child that has closed a pipe is given so long to end by itself before that counts: at its end the kernel closes
/// its pipes first.
const MAY_BE_ENDING: Duration = Duration::from_millis(200);

/// A child that was started, with its place on the bus.
pub(super) struct Life {
    pub(super) number: u64,
    pub(super) child: Child,
    pub(super) stdin: Stdin,
    pub(super) stdout: Source,
    pub(super) stderr: Source,
    pub(super) member: Arc<dyn Member>,
    pub(super) manners: Manners,
    /// When a pipe that it has closed counts, and what to say of it then.
    pub(super) closed: Option<Closed>,
    /// Whether it is in line to be read from.
    pub(super) is_in_line: bool,
    /// When the member wants to be swept.
    pub(super) sweep_at: Option<Instant>,
    pub(super) pings: u64,
}

/// A pipe that a child has closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) at: Instant,
    pub(super) why: &'static str,
}

impl Life {
    /// Has the loop's poll tell of what happens to it.
    pub(super) fn watch(&self, registry: &Registry) -> io::Result<()> {
        let watch = |fd: Option<RawFd>, part, interest| match fd {
            Some(fd) => registry.register(&mut SourceFd(&fd), self.token(part), interest),
            None => Ok(()),
        };
        watch(Some(self.child.raw()), Part::Process, Interest::READABLE)?;
        watch(self.stdin.raw(), Part::Stdin, Interest::WRITABLE)?;
        watch(self.stdout.raw(), Part::Stdout, Interest::READABLE)?;
        watch(self.stderr.raw(), Part::Stderr, Interest::READABLE)
    }

    fn token(&self, part: Part) -> Token {
        token(self.number, part)
    }

    /// Whether its stdout is to be read from: not while it leaves answers unread or has asked for as much as it may.
    pub(super) fn is_heard(&self, limits: &Limits) -> bool {
        self.stdin.queued() < limits.unread_bytes && !self.member.is_busy()
    }

    /// Whether there is something to read.
    pub(super) fn has_something(&self, limits: &Limits) -> bool {
        self.stderr.can_be_read() || (self.stdout.can_be_read() && self.is_heard(limits))
    }

    /// It has closed a pipe, unless it is just ending.
    pub(super) fn has_closed(&mut self, why: &'static str, now: Instant) {
        let at = now + MAY_BE_ENDING;
        self.closed.get_or_insert(Closed { at, why });
    }

    /// When it is to be looked at although nothing happens.
    pub(super) fn next(&self, limits: &Limits) -> Option<Instant> {
        let full_until = self.stdin.full_since().and_then(|since| since.checked_add(limits.full_for));
        let closed = self.closed.map(|closed| closed.at);
        [full_until, closed, self.sweep_at].into_iter().flatten().min()
    }
}
