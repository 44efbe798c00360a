//! Typed payloads to and fro: vectors that the callee takes as values and gives back, over Callgate
//! and over a Unix socket with the same serialisation.
//!
//! Both sides of both systems end up with a `Vec` of their own, as a function that takes and returns
//! one would. An empty vector says stop.

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::time::Duration;

use callgate_client::{Plugin, Subscriber};
use rkyv::rancor::Error;

use super::messages::{Messages, address};
use super::plugins::{Callee, connect};
use super::{Client, Server, Setup};
use crate::Result;
use crate::payload::STOP;
use crate::scenario::{Element, Values};

/// The values of call `number`: it stands in the first, the middle and the last of them.
fn mark<T: Copy>(values: &mut [T], mark: T) {
    for at in [0, values.len() / 2, values.len().saturating_sub(1)] {
        if let Some(value) = values.get_mut(at) {
            *value = mark;
        }
    }
}

fn check<T: PartialEq>(number: u64, sent: &[T], got: &[T]) -> Result<()> {
    let samples = [0, sent.len() / 2, sent.len().saturating_sub(1)];
    if sent.len() == got.len() && samples.iter().all(|at| sent.get(*at) == got.get(*at)) {
        return Ok(());
    }
    Err(format!("a wrong answer to call {number}").into())
}

// rkyv's bounds for a generic element would be longer than this.
macro_rules! element {
    ($module:ident, $element:ty) => {
        mod $module {
            use super::*;

            type Vector = Vec<$element>;

            pub(super) fn server(setup: &Setup) -> Result<Box<dyn Server>> {
                let plugin = connect(setup, "Callee")?;
                let (stop, stopped) = mpsc::channel();
                let provider = plugin.provide("Bench.Echo", move |values: Vector| {
                    if values.is_empty() {
                        // The receiver lives as long as this process.
                        let _ = stop.send(());
                    }
                    values
                })?;
                Ok(Box::new(Callee::new(stopped, provider, plugin)))
            }

            pub(super) fn client(setup: &Setup, len: usize) -> Result<Box<dyn Client>> {
                let plugin = connect(setup, "Caller")?;
                let echo = plugin.subscriber("Bench.Echo")?;
                echo.wait_ready(Duration::from_secs(5))?;
                let values = vec![Default::default(); len / size_of::<$element>()];
                Ok(Box::new(Caller {
                    arguments: (values,),
                    echo,
                    _plugin: plugin,
                }))
            }

            struct Caller {
                arguments: (Vector,),
                echo: Subscriber<(Vector,), Vector>,
                _plugin: Plugin,
            }

            impl Client for Caller {
                #[inline]
                fn call(&mut self, number: u64) -> Result<()> {
                    if number == STOP {
                        self.echo.invoke((Vec::new(),))?;
                        return Ok(());
                    }
                    mark(&mut self.arguments.0, number as $element);
                    let got = self.echo.invoke_ref(&self.arguments)?;
                    check(number, &self.arguments.0, &got)
                }
            }

            pub(super) fn socket_server(setup: &Setup) -> Result<Box<dyn Server>> {
                Ok(Box::new(SocketCallee {
                    listener: UnixListener::bind(address(setup))?,
                    stream: None,
                }))
            }

            struct SocketCallee {
                listener: UnixListener,
                stream: Option<Messages>,
            }

            fn receive(stream: &mut Messages) -> Result<Vector> {
                let bytes = stream.receive()?.ok_or("the other side has closed")?;
                let archived = rkyv::access::<rkyv::Archived<Vector>, Error>(bytes)?;
                Ok(rkyv::deserialize::<Vector, Error>(archived)?)
            }

            impl Server for SocketCallee {
                fn serve(&mut self) -> Result<()> {
                    if self.stream.is_none() {
                        let (stream, _) = self.listener.accept()?;
                        self.stream = Some(Messages::new(stream, false)?);
                    }
                    let stream = self.stream.as_mut().ok_or("no stream")?;
                    loop {
                        let values = receive(stream)?;
                        stream.send(&values)?;
                        if values.is_empty() {
                            return Ok(());
                        }
                    }
                }
            }

            pub(super) fn socket_client(setup: &Setup, len: usize) -> Result<Box<dyn Client>> {
                let stream = UnixStream::connect(address(setup))?;
                Ok(Box::new(SocketCaller {
                    values: vec![Default::default(); len / size_of::<$element>()],
                    stream: Messages::new(stream, false)?,
                }))
            }

            struct SocketCaller {
                values: Vector,
                stream: Messages,
            }

            impl Client for SocketCaller {
                #[inline]
                fn call(&mut self, number: u64) -> Result<()> {
                    if number == STOP {
                        self.stream.send(&Vector::new())?;
                        receive(&mut self.stream)?;
                        return Ok(());
                    }
                    mark(&mut self.values, number as $element);
                    self.stream.send(&self.values)?;
                    let got = receive(&mut self.stream)?;
                    check(number, &self.values, &got)
                }
            }
        }
    };
}

element!(bytes, u8);
element!(floats, f32);

pub(super) fn server(setup: &Setup, values: Values) -> Result<Box<dyn Server>> {
    match values.element {
        Element::Byte => bytes::server(setup),
        Element::Float => floats::server(setup),
    }
}

pub(super) fn client(setup: &Setup, values: Values) -> Result<Box<dyn Client>> {
    match values.element {
        Element::Byte => bytes::client(setup, values.len),
        Element::Float => floats::client(setup, values.len),
    }
}

pub(super) fn socket_server(setup: &Setup, values: Values) -> Result<Box<dyn Server>> {
    match values.element {
        Element::Byte => bytes::socket_server(setup),
        Element::Float => floats::socket_server(setup),
    }
}

pub(super) fn socket_client(setup: &Setup, values: Values) -> Result<Box<dyn Client>> {
    match values.element {
        Element::Byte => bytes::socket_client(setup, values.len),
        Element::Float => floats::socket_client(setup, values.len),
    }
}
