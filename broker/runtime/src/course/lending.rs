//! Long frames are handled by another thread: parsing 4 MiB of JSON takes as long as a hundred calls.
//!
//! Meanwhile the loop serves other plugins. It does not read this child's stdout, so that the child's frames stay in order and only one of
//! them is being handled by the other thread; and it does not use the child's bridge, which that thread uses. If the child ends meanwhile,
//! the loop handles that afterwards.

use std::time::{Duration, Instant};

use callgate_layout::sys::cores::running_time;

use super::Name;
use super::message::Message;
use super::reading::Heard;
use super::supervisor::Supervisor;
use super::taken::{Taken, take_in};
use super::worker::{Job, Worker};
use crate::frame::Large;

impl Supervisor {
    /// Has another thread handle a frame.
    pub(super) fn lend(&mut self, name: &Name, number: u64, large: Large) {
        let plugin = self.plugins.get_mut(name);
        let life = plugin.and_then(|plugin| plugin.life_of(number));
        let Some(speech) = life.and_then(|life| life.speech.as_mut()) else {
            return;
        };
        speech.is_lent = true;
        let (bridge, is_heard) = (speech.bridge.clone(), speech.manners.is_heard());
        let mailbox = self.mailbox.clone();
        self.run_long(Box::new(move || {
            let since = running_time();
            let taken = take_in(&bridge, large.frame(), is_heard);
            // Dropped before the time is taken, so that freeing the memory is charged as well.
            drop(large);
            let spent = Duration::from_nanos(running_time().saturating_sub(since));
            mailbox.tell(Message::TakenIn {
                life: number,
                taken,
                spent,
            });
        }));
    }

    fn run_long(&mut self, job: Job) {
        if self.long.is_none() {
            let started = Worker::start("callgate-long");
            let failed = |error| tracing::warn!("there is no thread for long frames: {error}");
            self.long = started.map_err(failed).ok();
        }
        match &self.long {
            Some(worker) => worker.jobs().run(job),
            // No thread could be started, so the loop handles the frame itself and the other plugins have to wait.
            None => job(),
        }
    }

    /// Takes the result for a long frame.
    pub(super) fn taken_in(&mut self, number: u64, taken: Taken, spent: Duration) {
        let Some(name) = self.lives.get(&number).cloned() else {
            return;
        };
        let Some(plugin) = self.plugins.get_mut(&name) else {
            return;
        };
        let (mut is_awaited, mut news) = (false, Vec::new());
        if let Some(mut heard) = Heard::of(plugin) {
            is_awaited = heard.hearing.take(taken);
            news = heard.hearing.news;
        }
        let (mut unsettled, mut has_ended) = (Duration::ZERO, false);
        if let Some(life) = plugin.life_of(number) {
            (unsettled, has_ended) = (life.stdout.settle(), life.has_ended);
            if let Some(speech) = &mut life.speech {
                speech.is_lent = false;
                // Gives the bridge the turn that it could not have meanwhile.
                speech.take_turn(Instant::now());
            }
        }
        if !is_awaited {
            self.charge(&name, number, unsettled + spent);
        }
        self.act_on(&name, number, news);
        if has_ended {
            self.take_end(&name, number);
        }
        self.queue_up(number);
    }
}
