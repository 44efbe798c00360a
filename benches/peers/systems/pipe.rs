//! Two pipes with names, 64 bytes each way and nothing else: what two processes pay that sleep in
//! the kernel between calls, by the mechanism that is made for it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Client, Server, Setup, System};
use crate::Result;
use crate::payload::{self, Small};
use crate::scenario::Scenario;

/// Bytes of a message.
const LEN: usize = size_of::<Small>();

/// The pipes.
pub(super) struct Pipe;

impl System for Pipe {
    fn name(&self) -> &'static str {
        "pipe"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        scenario == Scenario::Unpinned
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        for path in paths(setup) {
            mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        }
        Ok(Box::new(Callee {
            paths: paths(setup),
            ends: None,
        }))
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        Ok(Box::new(Caller {
            paths: paths(setup),
            ends: None,
        }))
    }
}

fn paths(setup: &Setup) -> [PathBuf; 2] {
    ["there", "back"].map(|name| setup.place.join(name))
}

struct Callee {
    paths: [PathBuf; 2],
    ends: Option<(File, File)>,
}

impl Server for Callee {
    fn serve(&mut self) -> Result<()> {
        if self.ends.is_none() {
            // Each open waits for the other side, so both sides open in the same order.
            let there = File::open(&self.paths[0])?;
            let back = File::options().write(true).open(&self.paths[1])?;
            self.ends = Some((there, back));
        }
        let Some((there, back)) = &mut self.ends else {
            return Err("not connected".into());
        };
        loop {
            let request = receive(there)?;
            send(back, payload::answer(request))?;
            if payload::is_stop(&request) {
                return Ok(());
            }
        }
    }
}

struct Caller {
    paths: [PathBuf; 2],
    ends: Option<(File, File)>,
}

impl Client for Caller {
    #[inline]
    fn call(&mut self, number: u64) -> Result<()> {
        if self.ends.is_none() {
            let there = File::options().write(true).open(&self.paths[0])?;
            let back = File::open(&self.paths[1])?;
            self.ends = Some((there, back));
        }
        let Some((there, back)) = &mut self.ends else {
            return Err("not connected".into());
        };
        send(there, payload::request(number))?;
        payload::check(number, receive(back)?)
    }
}

fn send(pipe: &mut File, words: Small) -> Result<()> {
    let mut bytes = [0; LEN];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    Ok(pipe.write_all(&bytes)?)
}

fn receive(pipe: &mut File) -> Result<Small> {
    let mut bytes = [0; LEN];
    pipe.read_exact(&mut bytes)?;
    let mut words = Small::default();
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Ok(words)
}
