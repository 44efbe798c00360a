//! The limit set by the kernel: memory files, sent over a socket and mapped.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

use super::line::{Far, Line};
use super::{CONSTANT, byte_of, check, look};
use crate::Result;
use crate::payload::STOP;
use crate::raw;
use crate::scenario::{Scenario, Shares};
use crate::systems::{Client, Server, Setup, System};

pub(super) struct Limit;

impl System for Limit {
    fn name(&self) -> &'static str {
        "limit"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        matches!(scenario, Scenario::Shares(_))
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        let far = Far::new(setup)?;
        match setup.scenario.shares() {
            Some(Shares::Publish(_)) => Ok(Box::new(Taker(far))),
            _ => Ok(Box::new(Holder {
                file: sealed(setup.scenario.shares_len(), CONSTANT)?,
                far,
            })),
        }
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let line = Line::new(setup)?;
        match setup.scenario.shares() {
            Some(Shares::Publish(len)) => Ok(Box::new(Publisher { line, len })),
            _ => Ok(Box::new(Reader(line))),
        }
    }
}

/// A memory file that consists of such bytes and can no longer be changed.
fn sealed(len: usize, byte: u8) -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create("callgate-limit", flags)?);
    ftruncate(&file, len as i64)?;
    raw::map_new(&file)?.fill(byte);
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

struct Holder {
    file: OwnedFd,
    far: Far,
}

impl Server for Holder {
    fn serve(&mut self) -> Result<()> {
        self.far.serve(|line| line.send_file(self.file.as_fd()))
    }
}

struct Reader(Line);

impl Client for Reader {
    fn call(&mut self, number: u64) -> Result<()> {
        if number == STOP {
            return self.0.stop();
        }
        self.0.say(number)?;
        let file = File::from(self.0.take_file()?);
        check(&raw::map_sealed(&file)?, CONSTANT)
    }
}

struct Taker(Far);

impl Server for Taker {
    fn serve(&mut self) -> Result<()> {
        self.0.take(|line| {
            let file = File::from(line.take_file()?);
            look(&raw::map_sealed(&file)?)
        })
    }
}

struct Publisher {
    line: Line,
    len: usize,
}

impl Client for Publisher {
    fn call(&mut self, number: u64) -> Result<()> {
        let byte = byte_of(number);
        let file = sealed(self.len, byte)?;
        self.line.send_file(file.as_fd())?;
        self.line.seen(byte)
    }
}
