//! A record to and fro between two sides whose types differ, over Callgate, which then goes by JSON, and as JSON over a
//! Unix socket; and over Callgate where both sides have the callee's types.
//!
//! The callee has wider numbers than the caller. All sides end up with a value of their own type. A record without values
//! says stop.

use std::any::Any;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::time::Duration;

use callgate_client::{GateType, Plugin, Subscriber, gate_type};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::messages::{Messages, address};
use super::plugins::{Callee, connect, start_broker};
use super::{Client, Server, Setup, System};
use crate::Result;
use crate::payload::STOP;
use crate::scenario::Scenario;

/// A record as the callee has it.
#[gate_type]
struct Wide {
    number: u64,
    values: Vec<u64>,
}

/// A record as a caller with narrower numbers has it.
#[gate_type]
struct Narrow {
    number: u32,
    values: Vec<u32>,
}

/// The parts that are the same for both.
trait Record: Sized {
    fn of(number: u64, len: usize) -> Self;

    fn renumber(&mut self, number: u64);

    /// Whether both have the same number and as many values, of which the last ones are the same.
    fn is_like(&self, other: &Self) -> bool;
}

macro_rules! record {
    ($record:ident, $number:ty) => {
        impl Record for $record {
            fn of(number: u64, len: usize) -> $record {
                // Numbers of all lengths.
                let value = |n: usize| (n as u32).wrapping_mul(0x9e37_79b1) >> (n % 32);
                $record {
                    number: number as $number,
                    values: (0..len).map(|n| value(n).into()).collect(),
                }
            }

            fn renumber(&mut self, number: u64) {
                self.number = number as $number;
            }

            fn is_like(&self, other: &$record) -> bool {
                self.number == other.number
                    && self.values.len() == other.values.len()
                    && self.values.last() == other.values.last()
            }
        }
    };
}

record!(Wide, u64);
record!(Narrow, u32);

/// How many values the callee's record has, of so many bytes.
fn count(setup: &Setup) -> Result<usize> {
    let len = setup.scenario.json().ok_or("no record is passed")?;
    Ok(len / size_of::<u64>() - 1)
}

/// Callgate between these sides.
pub(super) struct Records {
    name: &'static str,
    is_exact: bool,
}

impl Records {
    pub(super) const EXACT: Records = Records {
        name: "callgate-exact",
        is_exact: true,
    };
    pub(super) const JSON: Records = Records {
        name: "callgate-json",
        is_exact: false,
    };
}

impl System for Records {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        scenario.json().is_some()
    }

    fn host(&self, setup: &Setup) -> Result<Box<dyn Any>> {
        start_broker(setup)
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        let plugin = connect(setup, "Callee")?;
        let (stop, stopped) = mpsc::channel();
        let provider = plugin.provide("Bench.Record", move |record: Wide| {
            if record.values.is_empty() {
                // The receiver lives as long as this process.
                let _ = stop.send(());
            }
            record
        })?;
        Ok(Box::new(Callee::new(stopped, provider, plugin)))
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        match self.is_exact {
            true => client::<Wide>(setup, true),
            false => client::<Narrow>(setup, false),
        }
    }
}

fn client<R: GateType + Record>(setup: &Setup, is_exact: bool) -> Result<Box<dyn Client>> {
    let plugin = connect(setup, "Caller")?;
    let echo: Subscriber<(R,), R> = plugin.subscriber("Bench.Record")?;
    echo.wait_ready(Duration::from_secs(5))?;
    if echo.is_converted() == is_exact {
        return Err("calls do not go as they are to".into());
    }
    Ok(Box::new(Caller {
        arguments: (R::of(0, count(setup)?),),
        echo,
        _plugin: plugin,
    }))
}

struct Caller<R: GateType> {
    arguments: (R,),
    echo: Subscriber<(R,), R>,
    _plugin: Plugin,
}

impl<R: GateType + Record> Client for Caller<R> {
    #[inline]
    fn call(&mut self, number: u64) -> Result<()> {
        if number == STOP {
            self.echo.invoke((R::of(0, 0),))?;
            return Ok(());
        }
        self.arguments.0.renumber(number);
        let got = self.echo.invoke_ref(&self.arguments)?;
        check(number, &self.arguments.0, &got)
    }
}

fn check<R: Record>(number: u64, sent: &R, got: &R) -> Result<()> {
    match sent.is_like(got) {
        true => Ok(()),
        false => Err(format!("a wrong answer to call {number}").into()),
    }
}

/// The same JSON over a Unix socket, written and read by serde_json on both sides.
pub(super) struct UdsJson;

impl System for UdsJson {
    fn name(&self) -> &'static str {
        "uds-json"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        scenario.json().is_some()
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        Ok(Box::new(SocketCallee {
            listener: UnixListener::bind(address(setup))?,
            stream: None,
        }))
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let stream = UnixStream::connect(address(setup))?;
        Ok(Box::new(SocketCaller {
            record: Narrow::of(0, count(setup)?),
            stream: Messages::new(stream, false)?,
        }))
    }
}

fn exchange<S: Serialize>(stream: &mut Messages, record: &S) -> Result<()> {
    stream.send_by(|out| Ok(serde_json::to_writer(out, record)?))
}

fn receive<R: DeserializeOwned>(stream: &mut Messages) -> Result<R> {
    let bytes = stream.receive()?.ok_or("the other side has closed")?;
    Ok(serde_json::from_slice(bytes)?)
}

struct SocketCallee {
    listener: UnixListener,
    stream: Option<Messages>,
}

impl Server for SocketCallee {
    fn serve(&mut self) -> Result<()> {
        if self.stream.is_none() {
            let (stream, _) = self.listener.accept()?;
            self.stream = Some(Messages::new(stream, false)?);
        }
        let stream = self.stream.as_mut().ok_or("no stream")?;
        loop {
            let record: Wide = receive(stream)?;
            exchange(stream, &record)?;
            if record.values.is_empty() {
                return Ok(());
            }
        }
    }
}

struct SocketCaller {
    record: Narrow,
    stream: Messages,
}

impl Client for SocketCaller {
    #[inline]
    fn call(&mut self, number: u64) -> Result<()> {
        if number == STOP {
            exchange(&mut self.stream, &Narrow::of(0, 0))?;
            receive::<Narrow>(&mut self.stream)?;
            return Ok(());
        }
        self.record.renumber(number);
        exchange(&mut self.stream, &self.record)?;
        let got = receive(&mut self.stream)?;
        check(number, &self.record, &got)
    }
}
