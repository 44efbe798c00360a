//! The bytes themselves, over a stream socket, into a buffer that is kept.

use super::line::{Far, Line};
use super::{CONSTANT, byte_of, check, look};
use crate::Result;
use crate::payload::STOP;
use crate::scenario::{Scenario, Shares};
use crate::systems::{Client, Server, Setup, System};

pub(super) struct Uds;

impl System for Uds {
    fn name(&self) -> &'static str {
        "uds"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        matches!(scenario, Scenario::Shares(_))
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        let (far, bytes) = (
            Far::new(setup)?,
            vec![CONSTANT; setup.scenario.shares_len()],
        );
        match setup.scenario.shares() {
            Some(Shares::Publish(_)) => Ok(Box::new(Taker { far, bytes })),
            _ => Ok(Box::new(Holder { far, bytes })),
        }
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let (line, bytes) = (Line::new(setup)?, vec![0; setup.scenario.shares_len()]);
        match setup.scenario.shares() {
            Some(Shares::Publish(_)) => Ok(Box::new(Publisher { line, bytes })),
            _ => Ok(Box::new(Reader { line, bytes })),
        }
    }
}

struct Holder {
    far: Far,
    bytes: Vec<u8>,
}

impl Server for Holder {
    fn serve(&mut self) -> Result<()> {
        self.far.serve(|line| line.send_bytes(&self.bytes))
    }
}

struct Reader {
    line: Line,
    bytes: Vec<u8>,
}

impl Client for Reader {
    fn call(&mut self, number: u64) -> Result<()> {
        if number == STOP {
            return self.line.stop();
        }
        self.line.say(number)?;
        self.line.take_bytes(&mut self.bytes)?;
        check(&self.bytes, CONSTANT)
    }
}

struct Taker {
    far: Far,
    bytes: Vec<u8>,
}

impl Server for Taker {
    fn serve(&mut self) -> Result<()> {
        self.far.take(|line| {
            line.take_bytes(&mut self.bytes)?;
            look(&self.bytes)
        })
    }
}

struct Publisher {
    line: Line,
    bytes: Vec<u8>,
}

impl Client for Publisher {
    fn call(&mut self, number: u64) -> Result<()> {
        let byte = byte_of(number);
        self.bytes.fill(byte);
        self.line.send_bytes(&self.bytes)?;
        self.line.seen(byte)
    }
}
