//! ipc-channel: typed channels over Unix sockets, with serde.
//!
//! Two channels, one each way, made by the caller and passed on through a one-shot server, as
//! its documentation has it. 1 MiB goes as [`IpcSharedMemory`], which is what it has for large
//! data: one region is kept and written in place for each call, its descriptor is passed. As
//! plain bytes it would be copied through the socket in fragments.

use std::fs;
use std::path::PathBuf;

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender, IpcSharedMemory};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Client, Server, Setup, System};
use crate::Result;
use crate::payload::{self, LARGE_WORDS, Small, large};
use crate::raw;
use crate::scenario::Scenario;

/// ipc-channel.
pub(super) struct IpcChannel;

impl System for IpcChannel {
    fn name(&self) -> &'static str {
        "ipc-channel"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        !scenario.passes_values()
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        match setup.scenario {
            Scenario::LargeHot => Ok(Box::new(Callee::<IpcSharedMemory>::new(setup)?)),
            _ => Ok(Box::new(Callee::<Small>::new(setup)?)),
        }
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        match setup.scenario {
            Scenario::LargeHot => Ok(Box::new(Caller::<IpcSharedMemory>::new(setup))),
            _ => Ok(Box::new(Caller::<Small>::new(setup))),
        }
    }
}

/// Arguments as this system takes them.
trait Request: Serialize + DeserializeOwned + 'static {
    type Kept;

    fn keep() -> Self::Kept;
    fn write(kept: &mut Self::Kept, number: u64) -> Self;
    fn read(&self) -> Small;
    fn check(number: u64, answer: Small) -> Result<()>;
}

impl Request for Small {
    type Kept = ();

    fn keep() {}

    fn write((): &mut (), number: u64) -> Small {
        payload::request(number)
    }

    fn read(&self) -> Small {
        *self
    }

    fn check(number: u64, answer: Small) -> Result<()> {
        payload::check(number, answer)
    }
}

impl Request for IpcSharedMemory {
    type Kept = IpcSharedMemory;

    fn keep() -> IpcSharedMemory {
        IpcSharedMemory::from_byte(0, LARGE_WORDS * 8)
    }

    fn write(kept: &mut IpcSharedMemory, number: u64) -> IpcSharedMemory {
        let bytes = raw::bytes_mut(kept);
        large::write(number, |at, word| {
            bytes[at * 8..][..8].copy_from_slice(&word.to_ne_bytes());
        });
        kept.clone()
    }

    fn read(&self) -> Small {
        large::read(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&self[at * 8..][..8]);
            u64::from_ne_bytes(word)
        })
    }

    fn check(number: u64, answer: Small) -> Result<()> {
        large::check(number, answer)
    }
}

/// A caller's message to a one-shot server: the callee's ends.
#[derive(Serialize, Deserialize)]
#[serde(bound = "R: Serialize + DeserializeOwned")]
struct Ends<R> {
    requests: IpcReceiver<R>,
    answers: IpcSender<Answer>,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Words(Small),
    /// Where the next caller finds the callee; a one-shot server takes one.
    Next(String),
}

/// The file with the name of the first one-shot server.
fn name_file(setup: &Setup) -> PathBuf {
    setup.place.join("name")
}

struct Callee<R> {
    waiting: Option<IpcOneShotServer<Ends<R>>>,
    ends: Option<Ends<R>>,
    once: bool,
}

impl<R: Request> Callee<R> {
    fn new(setup: &Setup) -> Result<Callee<R>> {
        let (waiting, name) = IpcOneShotServer::new()?;
        fs::write(name_file(setup), name)?;
        let once = setup.scenario == Scenario::Connect;
        Ok(Callee {
            waiting: Some(waiting),
            ends: None,
            once,
        })
    }

    fn accept(&mut self) -> Result<Ends<R>> {
        let waiting = self.waiting.take().ok_or("nobody else can connect")?;
        Ok(waiting.accept()?.1)
    }
}

impl<R: Request> Server for Callee<R> {
    fn serve(&mut self) -> Result<()> {
        loop {
            let ends = match self.ends.take() {
                Some(ends) => ends,
                None => self.accept()?,
            };
            let request = ends.requests.recv()?.read();
            let words = payload::answer(request);
            ends.answers.send(Answer::Words(words))?;
            if self.once {
                let (waiting, name) = IpcOneShotServer::new()?;
                self.waiting = Some(waiting);
                ends.answers.send(Answer::Next(name))?;
            } else {
                self.ends = Some(ends);
            }
            if payload::is_stop(&request) {
                return Ok(());
            }
        }
    }
}

struct Channels<R> {
    requests: IpcSender<R>,
    answers: IpcReceiver<Answer>,
}

struct Caller<R: Request> {
    name_file: PathBuf,
    /// Where the callee waits, if that is not in the file.
    name: Option<String>,
    channels: Option<Channels<R>>,
    kept: R::Kept,
    once: bool,
}

impl<R: Request> Caller<R> {
    fn new(setup: &Setup) -> Caller<R> {
        Caller {
            name_file: name_file(setup),
            name: None,
            channels: None,
            kept: R::keep(),
            once: setup.scenario == Scenario::Connect,
        }
    }

    #[cold]
    fn connect(&mut self) -> Result<Channels<R>> {
        let name = match self.name.take() {
            Some(name) => name,
            None => fs::read_to_string(&self.name_file)?,
        };
        let first = IpcSender::connect(name)?;
        let (sender, requests) = ipc::channel()?;
        let (answers, receiver) = ipc::channel()?;
        first.send(Ends { requests, answers })?;
        Ok(Channels {
            requests: sender,
            answers: receiver,
        })
    }
}

impl<R: Request> Client for Caller<R> {
    fn call(&mut self, number: u64) -> Result<()> {
        let channels = match self.channels.take() {
            Some(channels) => channels,
            None => self.connect()?,
        };
        let channels = self.channels.insert(channels);
        channels.requests.send(R::write(&mut self.kept, number))?;
        match channels.answers.recv()? {
            Answer::Words(words) => R::check(number, words),
            Answer::Next(_) => Err("a name in the place of an answer".into()),
        }
    }

    fn settle(&mut self) -> Result<()> {
        if self.once
            && let Some(channels) = self.channels.take()
        {
            match channels.answers.recv()? {
                Answer::Next(name) => self.name = Some(name),
                Answer::Words(_) => return Err("an answer that nobody asked for".into()),
            }
        }
        Ok(())
    }
}
