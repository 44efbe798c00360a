//! What a child's lines mean for its course.

use std::time::{Duration, Instant};

use super::counts::Counts;
use super::member::Member;
use crate::frame::{Incoming, Line, parse};
use crate::log::{Log, Source};

/// Malformed frames are counted for so long.
const WINDOW: Duration = Duration::from_secs(1);

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
    serves: bool,
    /// The malformed frames of the last second.
    window: Option<(Instant, u32)>,
    most_malformed: u32,
}

impl Manners {
    pub(super) fn new(has_serve_ready: bool, most_malformed: u32) -> Manners {
        Manners {
            has_serve_ready,
            is_ready: false,
            serves: false,
            window: None,
            most_malformed,
        }
    }

    /// Whether this is the frame from which on it serves.
    fn begins_to_serve(&mut self, is_serve_ready: bool) -> bool {
        let is_new = match is_serve_ready {
            false => !std::mem::replace(&mut self.is_ready, true),
            true => self.is_ready && !std::mem::replace(&mut self.serves, true),
        };
        is_new && is_serve_ready == self.has_serve_ready
    }

    /// Notes a malformed frame; true for the first of a second, and for the one that is too many.
    fn is_notable(&mut self, now: Instant) -> bool {
        let (since, count) = self.window.unwrap_or((now, 0));
        let (since, count) = match now.saturating_duration_since(since) < WINDOW {
            true => (since, count + 1),
            false => (now, 1),
        };
        self.window = Some((since, count));
        count == 1 || count == self.most_malformed + 1
    }

    fn is_too_bad(&self) -> bool {
        self.window.is_some_and(|(_, count)| count > self.most_malformed)
    }
}

/// What the lines of one child lead to.
pub(super) struct Hearing<'a> {
    pub(super) name: &'a str,
    pub(super) member: &'a dyn Member,
    pub(super) log: &'a Log,
    pub(super) manners: &'a mut Manners,
    pub(super) counts: &'a mut Counts,
    pub(super) news: Vec<News>,
}

impl Hearing<'_> {
    pub(super) fn stdout(&mut self, line: Line<'_>) {
        match line {
            Line::Log { text, is_cut } => self.log.add(Source::Stdout, &text, is_cut),
            Line::Frame(frame) => self.frame(frame),
        }
    }

    pub(super) fn stderr(&mut self, line: Line<'_>) {
        // On stderr no line is a frame.
        if let Line::Log { text, is_cut } = line {
            self.log.add(Source::Stderr, &text, is_cut);
        }
    }

    fn frame(&mut self, frame: &[u8]) {
        // It is being killed for what it wrote before.
        if self.manners.is_too_bad() {
            return;
        }
        self.counts.frames += 1;
        match parse(frame) {
            Ok(Incoming::Ready) => self.says_ready(false),
            Ok(Incoming::ServeReady) => self.says_ready(true),
            Ok(Incoming::Pong { .. }) => self.news.push(News::Answered),
            Ok(Incoming::Unknown { kind }) => {
                self.counts.unknown_frames += 1;
                tracing::debug!("plugin `{}`: frame of unknown type {kind:?}", self.name);
            }
            Ok(frame) => self.member.on_frame(frame),
            Err(malformed) => {
                self.counts.malformed_frames += 1;
                if self.manners.is_notable(Instant::now()) {
                    tracing::warn!("plugin `{}`: {malformed}; it is dropped", self.name);
                }
                self.member.on_malformed(&malformed);
                self.judge();
            }
        }
    }

    fn says_ready(&mut self, is_serve_ready: bool) {
        let was_known = self.manners.is_ready && !is_serve_ready;
        match self.manners.begins_to_serve(is_serve_ready) {
            true => self.news.push(News::Serves),
            false if was_known => {
                tracing::warn!("plugin `{}` said `ready` more than once", self.name);
            }
            false => {}
        }
    }

    fn judge(&mut self) {
        if self.manners.is_too_bad() {
            let most = self.manners.most_malformed;
            let why = format!("it sent more than {most} malformed frames within a second");
            self.news.push(News::Fatal {
                code: "PROTOCOL",
                why,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `serve_ready` right behind `ready` was lost, and a second `ready` began another life.
    #[test]
    fn a_child_begins_to_serve_once() {
        let mut plain = Manners::new(false, 0);
        let heard = [false, true, false, true].map(|frame| plain.begins_to_serve(frame));
        assert_eq!(heard, [true, false, false, false]);
        let mut warm = Manners::new(true, 0);
        let heard = [true, false, true, false, true].map(|frame| warm.begins_to_serve(frame));
        assert_eq!(heard, [false, false, true, false, false]);
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
