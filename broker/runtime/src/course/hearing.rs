//! Handles the lines of a child, and reports to its course what they mean.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::counts::Counts;
use super::journal::Journal;
use super::taken::{Taken, take_in};
use crate::bridge::Bridge;
use crate::frame::{Large, Line, Malformed};
use crate::log::LogStream;

/// The time in which malformed frames are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// The most types of frames without an id that are logged of one life, each once.
const MOST_TYPES: usize = 16;

/// An event in a child's output that the loop must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The child takes calls now.
    Serves,
    /// The child has answered a ping.
    Answered,
    /// The child has to be ended.
    Fatal { code: &'static str, why: String },
}

/// The state of a child's handshake, and the counts of its malformed frames.
#[derive(Debug)]
pub(super) struct Manners {
    /// Whether the child serves after `serve_ready` instead of `ready`.
    has_serve_ready: bool,
    is_ready: bool,
    is_serve_ready: bool,
    /// Start of the present window, and the number of malformed frames in it.
    window: Option<(Instant, u32)>,
    most_malformed: u32,
    /// The unknown types of frames without an id that were logged.
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

    /// Handles a `ready`. Returns whether the child serves from now on; `None` if it is not the first `ready`.
    fn ready(&mut self) -> Option<bool> {
        let is_first = !std::mem::replace(&mut self.is_ready, true);
        is_first.then_some(!self.has_serve_ready)
    }

    /// The frame that the child must send before it serves; `None` if it has sent all.
    pub(super) fn awaited(&self) -> Option<&'static str> {
        match (self.is_ready, self.has_serve_ready && !self.is_serve_ready) {
            (false, _) => Some("ready"),
            (true, true) => Some("serve_ready"),
            (true, false) => None,
        }
    }

    /// Handles a `serve_ready`. Returns whether the child serves from now on.
    fn serve_ready(&mut self) -> bool {
        let is_due = self.has_serve_ready && self.is_ready;
        is_due && !std::mem::replace(&mut self.is_serve_ready, true)
    }

    /// Counts a malformed frame. Returns true for the first one in the window, and for the one that exceeds the limit: these are logged.
    fn is_notable(&mut self, now: Instant) -> bool {
        let (since, count) = self.window.unwrap_or((now, 0));
        let (since, count) = match now.saturating_duration_since(since) < WINDOW {
            true => (since, count + 1),
            false => (now, 1),
        };
        self.window = Some((since, count));
        count == 1 || self.is_too_bad()
    }

    /// Whether its frames are still handled. They are not once the child is being killed for its malformed frames.
    pub(super) fn is_heard(&self) -> bool {
        !self.is_too_bad()
    }

    /// Notes a frame of an unknown type. Returns true for the first one of each type, unless [`MOST_TYPES`] were noted.
    fn is_news(&mut self, kind: &str) -> bool {
        self.unknown.len() < MOST_TYPES && self.unknown.insert(kind.to_owned())
    }

    fn is_too_bad(&self) -> bool {
        self.window
            .is_some_and(|(_, count)| count > self.most_malformed)
    }
}

/// Handles the lines of one child.
pub(super) struct Hearing<'a> {
    pub(super) journal: &'a Journal,
    pub(super) counts: &'a mut Counts,
    /// `None` for a plugin that links the client, whose lines all go to the log.
    pub(super) speaker: Option<Speaker<'a>>,
    pub(super) news: Vec<News>,
    /// Whether a long frame may be given to another thread.
    pub(super) lends: bool,
    /// A long frame that the loop gives to another thread.
    pub(super) large: Option<Large>,
}

/// The parts of a child whose frames are handled.
pub(super) struct Speaker<'a> {
    pub(super) bridge: &'a Bridge,
    pub(super) manners: &'a mut Manners,
}

impl Hearing<'_> {
    /// Handles a line. Returns true if it is an answer that a caller waits for.
    pub(super) fn hear(&mut self, stream: LogStream, line: Line<'_>) -> bool {
        match line {
            Line::Log { text, is_cut } => {
                self.journal.write(stream, &text, is_cut);
                false
            }
            Line::Frame(frame) => self.frame(frame),
            Line::Large(large) if self.lends => {
                self.large = Some(large);
                false
            }
            Line::Large(large) => self.frame(large.frame()),
        }
    }

    fn frame(&mut self, frame: &[u8]) -> bool {
        // For a plugin that links the client the splitter reports no frames.
        let Some(speaker) = &self.speaker else {
            return false;
        };
        let is_heard = speaker.manners.is_heard();
        let taken = take_in(speaker.bridge, frame, is_heard);
        self.take(taken)
    }

    /// Handles the result for a frame. Returns true if the frame is an answer that a caller waits for.
    pub(super) fn take(&mut self, taken: Taken) -> bool {
        self.counts.frames += 1;
        if matches!(taken, Taken::Malformed(..)) {
            self.counts.malformed_frames += 1;
        }
        let is_awaited = matches!(taken, Taken::Awaited);
        if let Some(speaker) = &mut self.speaker {
            self.news.extend(speaker.act_on(taken, self.journal));
        }
        is_awaited
    }
}

impl Speaker<'_> {
    fn act_on(&mut self, taken: Taken, journal: &Journal) -> Option<News> {
        match taken {
            Taken::Ready => match self.manners.ready() {
                Some(serves) => serves.then_some(News::Serves),
                None => {
                    journal.say("it said `ready` more than once; that is ignored");
                    None
                }
            },
            Taken::ServeReady => self.manners.serve_ready().then_some(News::Serves),
            Taken::Pong => Some(News::Answered),
            Taken::Unknown(kind) => {
                if self.manners.is_news(&kind) {
                    journal.say(&format!(
                        "a frame of the type {kind:?} without an `id` is no call; it and all like it are ignored"
                    ));
                }
                None
            }
            Taken::CouldNotHandle(text) => {
                journal.say(&text);
                None
            }
            Taken::Malformed(malformed, beginning) => {
                self.malformed((&beginning, &malformed), journal)
            }
            Taken::Awaited | Taken::Other => None,
        }
    }

    fn malformed(
        &mut self,
        (beginning, malformed): (&str, &Malformed),
        journal: &Journal,
    ) -> Option<News> {
        let was_too_bad = self.manners.is_too_bad();
        if self.manners.is_notable(Instant::now()) && !was_too_bad {
            journal.say(&format!("{malformed}; it is dropped: {beginning}"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A `serve_ready` directly after `ready` was lost, and a second `ready` counted as the beginning of another life.
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
