//! Reading what children wrote.

use std::time::Instant;

use callgate::supervision::Event;

use super::Name;
use super::hearing::{Hearing, News, Speaker};
use super::life::Life;
use super::plugin::{Plugin, Present};
use super::source::Source;
use super::spending::Weights;
use super::supervisor::{SHARE, Supervisor};
use crate::frame::{Large, Line};
use crate::log::LogStream;

/// How much of a stream is read after a child's end: more than a pipe holds, 64 KiB unless its writer made it larger, of lines that are
/// not very short.
const LAST: usize = 4 << 20;

/// A child's streams, and what their lines lead to.
pub(super) struct Heard<'a> {
    stdout: &'a mut Source,
    stderr: &'a mut Source,
    /// Whether its stdout is to be read from.
    is_heard: bool,
    pub(super) hearing: Hearing<'a>,
}

/// What came of reading.
#[derive(Default)]
struct Read {
    news: Vec<News>,
    weights: Weights,
    large: Option<Large>,
}

impl<'a> Heard<'a> {
    pub(super) fn of(plugin: &'a mut Plugin) -> Option<Heard<'a>> {
        let Present::Alive(life) = &mut plugin.present else {
            return None;
        };
        let is_heard = life.is_heard();
        let Life {
            stdout,
            stderr,
            speech,
            ..
        } = &mut **life;
        let speaker = speech.as_mut().map(|speech| Speaker {
            bridge: &speech.bridge,
            manners: &mut speech.manners,
        });
        let hearing = Hearing {
            journal: &plugin.journal,
            counts: &mut plugin.counts,
            speaker,
            news: Vec::new(),
            lends: true,
            large: None,
        };
        Some(Heard {
            stdout,
            stderr,
            is_heard,
            hearing,
        })
    }

    /// Reads a share of each stream.
    fn read(mut self, buffer: &mut [u8]) -> Read {
        let hearing = &mut self.hearing;
        let mut weights = Weights::default();
        if self.stderr.can_be_read() {
            let sink = &mut |line: Line<'_>| hearing.hear(LogStream::Stderr, line);
            // On stderr no line is too long.
            weights.add(self.stderr.read(buffer, SHARE, sink).unwrap_or_default());
        }
        if self.stdout.can_be_read() && self.is_heard {
            let sink = &mut |line: Line<'_>| hearing.hear(LogStream::Stdout, line);
            match self.stdout.read(buffer, SHARE, sink) {
                Ok(of_stdout) => weights.add(of_stdout),
                Err(error) => hearing.news.push(News::Fatal {
                    code: "FRAME_TOO_LARGE",
                    why: error.to_string(),
                }),
            }
        }
        Read {
            news: self.hearing.news,
            weights,
            large: self.hearing.large,
        }
    }

    /// Reads what is left after the child's end. What it did wrong before has no consequence any more.
    fn read_last(mut self, buffer: &mut [u8]) {
        let hearing = &mut self.hearing;
        // There is one at most in what a pipe holds, and then the child is over.
        hearing.lends = false;
        let sink = &mut |line: Line<'_>| hearing.hear(LogStream::Stdout, line);
        let _ = self.stdout.read_last(buffer, LAST, sink);
        let sink = &mut |line: Line<'_>| hearing.hear(LogStream::Stderr, line);
        let _ = self.stderr.read_last(buffer, LAST, sink);
    }
}

impl Supervisor {
    /// Reads one share of a life's streams.
    pub(super) fn read_share(&mut self, name: &Name, number: u64) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let Some(life) = plugin.life_of(number) else {
            return;
        };
        life.is_in_line = false;
        let watch = life.watch_reading(Instant::now());
        let Some(heard) = Heard::of(plugin) else {
            return;
        };
        let read = heard.read(&mut self.buffer);
        let is_fatal = |news: &News| matches!(news, News::Fatal { .. });
        let is_fatal = read.news.iter().any(is_fatal);
        if let Some(life) = plugin.life_of(number) {
            if life.stdout.has_ended() && !is_fatal {
                life.has_closed("it has closed its stdout", Instant::now());
            }
            let (spent, weights) = (watch.spent(), read.weights);
            life.stdout.spend(weights.unfinished_of(spent));
            self.charge(name, number, weights.unasked_of(spent));
        }
        if let Some(large) = read.large {
            self.lend(name, number, large);
        }
        self.act_on(name, number, read.news);
    }

    /// Reads what a child that has ended has left.
    pub(super) fn read_last(&mut self, name: &Name) {
        let plugin = self.plugins.get_mut(name);
        if let Some(heard) = plugin.and_then(Heard::of) {
            heard.read_last(&mut self.buffer);
        }
    }

    pub(super) fn act_on(&mut self, name: &Name, number: u64, news: Vec<News>) {
        let now = Instant::now();
        for news in news {
            match news {
                News::Serves => self.offer(name, number),
                News::Answered => self.feed(name, Event::Answered, now),
                News::Fatal { code, why } => self.feed(name, Event::Fatal { code, why }, now),
            }
        }
        self.set_timer(name);
    }
}
