//! What a child's lines mean for its course.

use std::collections::BTreeSet;
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

/// The most bytes that are logged of a malformed frame.
const MOST_OF_FRAME: usize = 160;
/// The most types of frames without an id that are logged of one life, each once.
const MOST_TYPES: usize = 16;

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
    /// Types of frames without an id that nobody knows, as far as they were logged.
    unknown: BTreeSet<String>,
}

impl Manners {
    pub(super) fn new(has_serve_ready: bool, most_malformed: u32) -> Manners {
        Manners {
            has_serve_ready,
            is_ready: false,
            is_serve_ready: false,
            window: None,
            most_malformed,
            unknown: BTreeSet::new(),
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

    /// Notes a frame of a type that nobody knows; true for the first one of each type, but for those beyond the most that are noted.
    fn is_news(&mut self, kind: &str) -> bool {
        self.unknown.len() < MOST_TYPES && self.unknown.insert(kind.to_owned())
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
                            .extend(speaker.malformed((frame, &malformed), self.journal));
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
                if self.manners.is_news(kind) {
                    journal.say(&format!(
                        "a frame of the type {kind:?} without an `id` is no call; it and all like it are ignored"
                    ));
                }
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

    fn malformed(
        &mut self,
        (frame, malformed): (&[u8], &Malformed),
        journal: &Journal,
    ) -> Option<News> {
        let was_too_bad = self.manners.is_too_bad();
        if self.manners.is_notable(Instant::now()) && !was_too_bad {
            let beginning = beginning(frame);
            journal.say(&format!("{malformed}; it is dropped: {beginning}"));
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

/// The first bytes of a frame, with what a terminal would obey written out.
fn beginning(frame: &[u8]) -> String {
    let (first, rest) = frame.split_at(frame.len().min(MOST_OF_FRAME));
    let cut = if rest.is_empty() { "" } else { " […]" };
    let first = String::from_utf8_lossy(first);
    // Not those that JSON is full of.
    let escape = |symbol: char| match symbol {
        '"' | '\'' | '\\' => symbol.to_string(),
        _ => symbol.escape_debug().to_string(),
    };
    let first: String = first.chars().map(escape).collect();
    format!("{first}{cut}")
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

    /// A line of the log said where a frame was wrong, and not which one it was.
    #[test]
    fn a_malformed_frame_is_known_by_its_beginning() {
        assert_eq!(beginning(br#"{"a": 'b\n'}"#), r#"{"a": 'b\n'}"#);
        assert_eq!(beginning(b"\x1b[2J\xff"), "\\u{1b}[2J\u{fffd}");
        let long = "é".repeat(MOST_OF_FRAME);
        let told = beginning(long.as_bytes());
        assert_eq!(told, format!("{} […]", "é".repeat(MOST_OF_FRAME / 2)));
    }

    #[test]
    fn each_unknown_type_is_logged_once_and_not_all_of_them() {
        let mut manners = Manners::new(false, 0);
        let news = |manners: &mut Manners| {
            (0..100)
                .filter(|kind| manners.is_news(&kind.to_string()))
                .count()
        };
        assert_eq!([news(&mut manners), news(&mut manners)], [MOST_TYPES, 0]);
    }
}
