//! A Unix stream socket with length-prefixed rkyv archives.
//!
//! Archives are validated, as callgate does. Options of the socket stay as they are: buffers large
//! enough for all of 1 MiB made no difference to it (four alternating runs each with 2 and 4 MiB).
//!
//! `uds` blocks in `read`, as sockets are used. `uds-polled` spins on a socket that does not
//! block, for comparison with others that spin; few programs can afford that on a socket.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use rkyv::rancor::Error;
use rkyv::{Archive, Deserialize, Serialize};

use super::messages::{Messages, address};
use super::{Client, Server, Setup, System, typed};
use crate::Result;
use crate::payload::{self, LARGE_WORDS, Small, large};
use crate::scenario::Scenario;

#[derive(Archive, Serialize, Deserialize)]
struct SmallRequest {
    words: Small,
}

#[derive(Archive, Serialize, Deserialize)]
struct LargeRequest {
    words: Vec<u64>,
}

#[derive(Archive, Serialize, Deserialize)]
struct Answer {
    words: Small,
}

/// The sockets.
pub(super) struct Uds {
    polled: bool,
}

impl Uds {
    pub(super) const BLOCKING: Uds = Uds { polled: false };
    pub(super) const POLLED: Uds = Uds { polled: true };
}

impl System for Uds {
    fn name(&self) -> &'static str {
        if self.polled { "uds-polled" } else { "uds" }
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        (!self.polled || scenario == Scenario::SmallHot) && scenario.json().is_none()
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        if let Some(values) = setup.scenario.values() {
            return typed::socket_server(setup, values);
        }
        Ok(Box::new(Callee {
            listener: UnixListener::bind(address(setup))?,
            stream: None,
            large: setup.scenario == Scenario::LargeHot,
            polled: self.polled,
        }))
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        if let Some(values) = setup.scenario.values() {
            return typed::socket_client(setup, values);
        }
        Ok(Box::new(Caller {
            address: address(setup),
            stream: None,
            large: (setup.scenario == Scenario::LargeHot).then(|| LargeRequest {
                words: vec![0; LARGE_WORDS],
            }),
            polled: self.polled,
            once: setup.scenario == Scenario::Connect,
        }))
    }
}

struct Callee {
    listener: UnixListener,
    stream: Option<Messages>,
    large: bool,
    polled: bool,
}

impl Callee {
    /// Answers one request; whether it was one, and whether it says stop.
    fn answer(large: bool, stream: &mut Messages) -> Result<Option<bool>> {
        let Some(bytes) = stream.receive()? else {
            return Ok(None);
        };
        let request = if large {
            let request = rkyv::access::<ArchivedLargeRequest, Error>(bytes)?;
            large::read(|at| request.words[at].to_native())
        } else {
            let request = rkyv::access::<ArchivedSmallRequest, Error>(bytes)?;
            request.words.map(|word| word.to_native())
        };
        stream.send(&Answer {
            words: payload::answer(request),
        })?;
        Ok(Some(payload::is_stop(&request)))
    }
}

impl Server for Callee {
    fn serve(&mut self) -> Result<()> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let stream = Messages::new(self.listener.accept()?.0, self.polled)?;
                    self.stream.insert(stream)
                }
            };
            match Callee::answer(self.large, stream)? {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => self.stream = None,
            }
        }
    }
}

struct Caller {
    address: PathBuf,
    stream: Option<Messages>,
    large: Option<LargeRequest>,
    polled: bool,
    once: bool,
}

impl Client for Caller {
    #[inline]
    fn call(&mut self, number: u64) -> Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = UnixStream::connect(&self.address)?;
                self.stream.insert(Messages::new(stream, self.polled)?)
            }
        };
        match &mut self.large {
            Some(request) => {
                large::write(number, |at, word| request.words[at] = word);
                stream.send(request)?;
            }
            None => stream.send(&SmallRequest {
                words: payload::request(number),
            })?,
        }
        let bytes = stream.receive()?.ok_or("the callee has closed")?;
        let answer = rkyv::access::<ArchivedAnswer, Error>(bytes)?;
        let answer = answer.words.map(|word| word.to_native());
        match self.large {
            Some(_) => large::check(number, answer),
            None => payload::check(number, answer),
        }
    }

    fn settle(&mut self) -> Result<()> {
        if self.once {
            self.stream = None;
        }
        Ok(())
    }
}
