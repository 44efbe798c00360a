//! What a child's lines mean for its course.

use std::time::{Duration, Instant};

use super::counts::Counts;
use super::journal::Journal;
use crate::bridge::Bridge;
use crate::frame::{DeliverError, Incoming, Line, Malformed, parse};
use crate::log::LogStream;

/// Malformed frames are counted for so long.
const WINDOW: Duration = Duration::from_secs(1);

/// The most bytes that are logged of what a child says of an event.
const MOST_OF_ERROR: usize = 1000;

/// What the loop has to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The child takes calls.
    Serves,
    /// It has answered a ping.
    Answered,
    /// It cannot go on.
    Fatal { code: &'static str, why: String },
}

/// How far a child's handshake is, and how well it speaks.
#[derive(Debug)]
pub(super) struct Manners {
    /// Whether it serves from `serve_ready` on, and not from `ready`.
    has_serve_ready: bool,
    is_ready: bool,
    is_serve_ready: bool,
    /// The malformed frames of the last second.
    window: Option<(Instant, u32)>,
    most_malformed: u32,
}

impl Manners {
    pub(super) fn new(has_serve_ready: bool, most_malformed: u32) -> Manners {
        Manners {
            has_serve_ready,
            is_ready: false,
            is_serve_ready: false,
            window: None,
            most_malformed,
        }
    }

    /// Takes in a `ready`; true where the child serves from then on, `None` for one that is not the first.
    fn ready(&mut self) -> Option<bool> {
        let is_first = !std::mem::replace(&mut self.is_ready, true);
        is_first.then_some(!self.has_serve_ready)
    }

    /// The frame without which the child does not serve, if it has not come.
    pub(super) fn awaited(&self) -> Option<&'static str> {
        match (self.is_ready, self.has_serve_ready && !self.is_serve_ready) {
            (false, _) => Some("ready"),
            (true, true) => Some("serve_ready"),
            (true, false) => None,
        }
    }

    /// Takes in a `serve_ready`; true where the child serves from then on.
    fn serve_ready(&mut self) -> bool {
        let is_due = self.has_serve_ready && self.is_ready;
        is_due && !std::mem::replace(&mut self.is_serve_ready, true)
    }

    /// Notes a malformed frame; true for the first of a second, and for the one that is too many.
    fn is_notable(&mut self, now: Instant) -> bool {
        let (since, count) = self.window.unwrap_or((now, 0));
        let (since, count) = match now.saturating_duration_since(since) < WINDOW {
            true => (since, count + 1),
            false => (now, 1),
        };
        self.window = Some((since, count));
        count == 1 || self.is_too_bad()
    }

    fn is_too_bad(&self) -> bool {
        self.window
            .is_some_and(|(_, count)| count > self.most_malformed)
    }
}

/// What the lines of one child lead to.
pub(super) struct Hearing<'a> {
    pub(super) journal: &'a Journal,
    pub(super) counts: &'a mut Counts,
    /// `None` of a plugin that links the client, whose lines are all for the log.
    pub(super) speaker: Option<Speaker<'a>>,
    pub(super) news: Vec<News>,
}

/// A child whose frames are heard.
pub(super) struct Speaker<'a> {
    pub(super) bridge: &'a Bridge,
    pub(super) manners: &'a mut Manners,
}

impl Hearing<'_> {
    pub(super) fn hear(&mut self, stream: LogStream, line: Line<'_>) {
        match (line, &mut self.speaker) {
            (Line::Log { text, is_cut }, _) => {
                self.journal.write(stream, &text, is_cut);
            }
            (Line::Frame(frame), Some(speaker)) => {
                self.counts.frames += 1;
                match parse(frame) {
                    Ok(frame) => self.news.extend(speaker.frame(&frame, self.journal)),
                    Err(malformed) => {
                        self.counts.malformed_frames += 1;
                        self.news
                            .extend(speaker.malformed(&malformed, self.journal));
                    }
                }
            }
            // Its splitter finds no frames.
            (Line::Frame(_), None) => {}
        }
    }
}

impl Speaker<'_> {
    fn frame(&mut self, frame: &Incoming<'_>, journal: &Journal) -> Option<News> {
        match frame {
            Incoming::Ready => match self.manners.ready() {
                Some(serves) => serves.then_some(News::Serves),
                None => {
                    journal.say("it said `ready` more than once; that is ignored");
                    None
                }
            },
            Incoming::ServeReady => self.manners.serve_ready().then_some(News::Serves),
            Incoming::Pong { nonce } => {
                tracing::trace!(nonce, "pong");
                Some(News::Answered)
            }
            Incoming::Unknown { kind } => {
                tracing::debug!("a plugin sent a frame of the unknown type {kind:?}");
                self.bridge.on_frame(frame);
                None
            }
            // It is being killed for what it wrote before.
            _ if self.manners.is_too_bad() => None,
            Incoming::DeliverError(failed) => {
                journal.say(&could_not_handle(failed));
                self.bridge.on_frame(frame);
                None
            }
            frame => {
                self.bridge.on_frame(frame);
                None
            }
        }
    }

    fn malformed(&mut self, malformed: &Malformed, journal: &Journal) -> Option<News> {
        let was_too_bad = self.manners.is_too_bad();
        if self.manners.is_notable(Instant::now()) && !was_too_bad {
            journal.say(&format!("{malformed}; it is dropped"));
        }
        self.bridge.on_malformed(malformed);
        let is_new = self.manners.is_too_bad() && !was_too_bad;
        is_new.then(|| {
            let most = self.manners.most_malformed;
            News::Fatal {
                code: "PROTOCOL",
                why: format!("it sent more than {most} malformed frames within a second"),
            }
        })
    }
}

/// What is logged of an event that a child could not handle.
fn could_not_handle(failed: &DeliverError<'_>) -> String {
    let error = &failed.error[..failed.error.floor_char_boundary(MOST_OF_ERROR)];
    format!("it could not handle the event {}: {error}", failed.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `serve_ready` right behind `ready` was lost, and a second `ready` began another life.
    #[test]
    fn a_child_begins_to_serve_once() {
        let mut plain = Manners::new(false, 0);
        assert!(!plain.serve_ready());
        assert_eq!(plain.ready(), Some(true));
        assert!(!plain.serve_ready());
        assert_eq!(plain.ready(), None);
        let mut warm = Manners::new(true, 0);
        assert!(!warm.serve_ready());
        assert_eq!(warm.awaited(), Some("ready"));
        assert_eq!(warm.ready(), Some(false));
        assert_eq!(warm.awaited(), Some("serve_ready"));
        assert!(warm.serve_ready());
        assert!(!warm.serve_ready());
        assert_eq!(warm.ready(), None);
    }

    #[test]
    fn too_many_malformed_frames_are_those_of_one_second() {
        let (mut manners, now) = (Manners::new(false, 3), Instant::now());
        for step in 0..100 {
            manners.is_notable(now + step * WINDOW / 3);
            assert!(!manners.is_too_bad());
        }
        let later = now + 1000 * WINDOW;
        let notable = [(); 4].map(|()| manners.is_notable(later));
        assert_eq!(notable, [true, false, false, true]);
        assert!(manners.is_too_bad());
    }
}
