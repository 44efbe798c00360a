//! Reads what children write.

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

/// How much is read from a stream after a child's end, counted like [`SHARE`]: more than a pipe holds, which is 64 KiB unless the writer
/// enlarged it. Only a pipe with very many short lines is not read to its end.
const LAST: usize = 4 << 20;

/// The streams of a child, with the state that handles their lines.
pub(super) struct Heard<'a> {
    stdout: &'a mut Source,
    stderr: &'a mut Source,
    /// Whether its stdout may be read now.
    is_heard: bool,
    pub(super) hearing: Hearing<'a>,
}

/// The result of reading once.
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

    /// Reads one share of each stream.
    fn read(mut self, buffer: &mut [u8]) -> Read {
        let hearing = &mut self.hearing;
        let mut weights = Weights::default();
        if self.stderr.can_be_read() {
            let sink = &mut |line: Line<'_>| hearing.hear(LogStream::Stderr, line);
            // Lines on stderr have no limit, so reading it cannot fail.
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

    /// Reads the rest after the child's end. A violation of the protocol in it has no consequences any more.
    fn read_last(mut self, buffer: &mut [u8]) {
        let hearing = &mut self.hearing;
        // No long frame is given to another thread: a pipe holds one at most, and the child is over.
        hearing.lends = false;
        let sink = &mut |line: Line<'_>| hearing.hear(LogStream::Stdout, line);
        let _ = self.stdout.read_last(buffer, LAST, sink);
        let sink = &mut |line: Line<'_>| hearing.hear(LogStream::Stderr, line);
        let _ = self.stderr.read_last(buffer, LAST, sink);
    }
}

impl Supervisor {
    /// Reads one share of the output of a life.
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

    /// Reads the output that is left after a child has ended.
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
