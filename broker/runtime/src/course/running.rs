//! The running loop, as other threads see it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use callgate::supervision::State;
use crossbeam_channel::{Sender, bounded};
use mio::Poll;

use super::asks::Asks;
use super::mailbox::Mailbox;
use super::message::{Found, Message, Refusal, Request};
use super::plan::Plan;
use super::settings::Settings;
use super::status::PluginStatus;
use super::supervisor::Supervisor;
use super::surroundings::Surroundings;
use super::timers::Timers;
use super::tokens::MAILBOX;
use super::worker::Worker;

/// The loop and its workers. Dropping this ends all plugins, and waits until they have ended.
#[derive(Debug)]
pub(crate) struct Running {
    teller: Teller,
    thread: Option<JoinHandle<()>>,
}

/// Sends requests to the loop, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Teller(Mailbox<Message>);

impl Running {
    pub(crate) fn start(
        settings: &Arc<Settings>,
        surroundings: Arc<Surroundings>,
    ) -> io::Result<Running> {
        let poll = Poll::new()?;
        let (mailbox, messages) = Mailbox::new(poll.registry(), MAILBOX)?;
        let of_asks = mailbox.clone();
        let call_loop = move || {
            of_asks.tell(Message::JobsWait);
        };
        let supervisor = Supervisor {
            poll,
            messages,
            mailbox: mailbox.clone(),
            worker: Worker::start("callgate-work")?,
            asks: Asks::start(call_loop)?,
            long: None,
            surroundings,
            settings: settings.clone(),
            plugins: BTreeMap::new(),
            lives: HashMap::new(),
            next_life: 0,
            timers: Timers::default(),
            line: VecDeque::new(),
            ended: Vec::new(),
            buffer: Supervisor::buffer(),
            stops_at: None,
        };
        let thread = thread::Builder::new().name("callgate-runtime".into());
        let thread = thread.spawn(move || supervisor.run())?;
        Ok(Running {
            teller: Teller(mailbox),
            thread: Some(thread),
        })
    }

    pub(crate) fn teller(&self) -> &Teller {
        &self.teller
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.teller.0.tell(Message::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the runtime's thread has panicked");
        }
    }
}

impl Teller {
    /// Supervises a plugin, and starts it.
    pub(crate) fn add(&self, plan: Plan) -> Result<(), Refusal> {
        let plan = Box::new(plan);
        let answer = self.ask(|answer| Message::Add { plan, answer });
        answer.unwrap_or(Err(Refusal::Stopping))
    }

    pub(crate) fn request(&self, name: &str, request: Request) -> Result<(), Refusal> {
        let answer = self.ask(|answer| Message::Request {
            name: name.into(),
            request,
            answer,
        });
        answer.unwrap_or(Err(Refusal::Stopping))
    }

    /// The status of all plugins, by name; empty once the loop has ended.
    pub(crate) fn list(&self) -> Vec<PluginStatus> {
        self.ask(|answer| Message::List { answer })
            .unwrap_or_default()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Found> {
        let name = name.into();
        self.ask(|answer| Message::Find { name, answer }).flatten()
    }

    /// Waits until a plugin is in one of these states. Returns `None` if that does not happen in time.
    pub(crate) fn wait_for(
        &self,
        name: &str,
        states: &[State],
        patience: Duration,
    ) -> Option<PluginStatus> {
        let (answer, told) = bounded(1);
        self.0.tell(Message::Await {
            name: name.into(),
            states: states.to_vec(),
            answer,
        });
        told.recv_timeout(patience).ok()
    }

    /// Sends a message and waits for the answer; `None` once the loop has ended.
    fn ask<T>(&self, message: impl FnOnce(Sender<T>) -> Message) -> Option<T> {
        let (answer, told) = bounded(1);
        self.0.tell(message(answer));
        told.recv().ok()
    }
}
