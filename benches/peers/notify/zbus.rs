//! Signals of D-Bus by zbus, from peer to peer: one connection for each listener and no daemon between.
//!
//! A signal is built once and sent on each connection; a batch by `send_all`. Its listeners always sleep until something comes,
//! so it has no part where listeners look all the time; and it does not drop the oldest.

use std::any::Any;
use std::future::poll_fn;
use std::ops::Range;
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ::zbus::connection::Builder;
use ::zbus::export::futures_core::Stream;
use ::zbus::{Connection, Guid, Message, MessageStream, block_on};

use super::{BATCH, Bus, Events, Listener, Sender, Tally};
use crate::Result;
use crate::payload::{self, Small};
use crate::systems::Setup;

/// An event as D-Bus has it: a struct of eight numbers.
type Words = (u64, u64, u64, u64, u64, u64, u64, u64);

/// Both sides shake hands when they connect, so this goes on in a thread while listeners are started.
type Connecting = JoinHandle<std::result::Result<Vec<Connection>, String>>;

/// Signals.
pub(super) struct Zbus;

impl Bus for Zbus {
    fn name(&self) -> &'static str {
        "zbus-p2p"
    }

    fn takes_part(&self, events: Events) -> bool {
        !events.gives_way() && !events.drops_the_oldest()
    }

    fn host(&self, setup: &Setup, events: Events) -> Result<Box<dyn Any>> {
        let listener = UnixListener::bind(setup.place.join("socket"))?;
        let accept = move |_| -> Result<Connection> {
            let (stream, _) = listener.accept()?;
            let builder = Builder::unix_stream(stream).server(Guid::generate()).p2p();
            Ok(block_on(builder.build())?)
        };
        let connect = move || (0..events.listeners()).map(accept).collect::<Result<_>>();
        let connecting: Connecting =
            thread::spawn(move || connect().map_err(|error| error.to_string()));
        Ok(Box::new(Some(connecting)))
    }

    fn listener(
        &self,
        setup: &Setup,
        _: Events,
        _: usize,
        _: &Arc<Tally>,
    ) -> Result<Box<dyn Listener>> {
        let stream = UnixStream::connect(setup.place.join("socket"))?;
        let connection = block_on(Builder::unix_stream(stream).p2p().build())?;
        Ok(Box::new(Hearer {
            stream: MessageStream::from(connection),
        }))
    }

    fn sender(&self, _: &Setup, _: Events, host: &mut dyn Any) -> Result<Box<dyn Sender>> {
        let connecting: &mut Option<Connecting> = host.downcast_mut().ok_or("no connections")?;
        let connecting = connecting.take().ok_or("they were taken")?;
        let connections = connecting.join().map_err(|_| "connecting failed")??;
        Ok(Box::new(Emitter { connections }))
    }
}

struct Emitter {
    connections: Vec<Connection>,
}

fn signal(number: u64) -> ::zbus::Result<Message> {
    let [a, b, c, d, e, f, g, h] = payload::request(number);
    let signal = Message::signal("/bench", "bench.Events", "Event");
    signal.build(&(a, b, c, d, e, f, g, h))
}

impl Sender for Emitter {
    fn send(&mut self, numbers: Range<u64>) -> Result<()> {
        block_on(async {
            for number in numbers {
                let signal = signal(number)?;
                for connection in &self.connections {
                    connection.send(&signal).await?;
                }
            }
            Ok(())
        })
    }

    fn send_batches(&mut self, numbers: Range<u64>) -> Result<()> {
        block_on(async {
            for first in numbers.clone().step_by(BATCH) {
                let batch = first..numbers.end.min(first + BATCH as u64);
                let signals = batch.map(signal).collect::<::zbus::Result<Vec<_>>>()?;
                for connection in &self.connections {
                    connection.send_all(&signals).await?;
                }
            }
            Ok(())
        })
    }
}

struct Hearer {
    stream: MessageStream,
}

impl Listener for Hearer {
    fn listen(&mut self, tally: &Tally) -> Result<()> {
        block_on(async {
            loop {
                let stream = &mut self.stream;
                let message = poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await;
                let message = message.ok_or("the sender has closed")??;
                let (a, b, c, d, e, f, g, h): Words = message.body().deserialize()?;
                let words: Small = [a, b, c, d, e, f, g, h];
                if tally.take(&words) {
                    return Ok(());
                }
            }
        })
    }
}
