//! iceoryx2's blackboard with one entry of 4 KiB, and one of its events for who waits for the next value.

use std::any::Any;

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::reader::{EntryHandle, Reader as Port};
use iceoryx2::port::writer::{EntryHandleMut, Writer};
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::blackboard::PortFactory;
use iceoryx2::service::port_factory::event::PortFactory as Events;

use super::line::{Far, Line};
use super::{byte_of, look};
use crate::Result;
use crate::scenario::{Scenario, Shares};
use crate::systems::iceoryx2::{Leftovers, node};
use crate::systems::{Client, Server, Setup, System};

const LEN: usize = 4096;
const KEY: u64 = 1;

type Value = [u8; LEN];

pub(super) struct Blackboard;

impl System for Blackboard {
    fn name(&self) -> &'static str {
        "iceoryx2"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        scenario.shares() == Some(Shares::Publish(LEN))
    }

    fn host(&self, setup: &Setup) -> Result<Box<dyn Any>> {
        let node = node(setup)?;
        let builder = node.service_builder(&"board".try_into()?);
        let board = builder
            .blackboard_creator::<u64>()
            .add::<Value>(KEY, [0; LEN]);
        let board = board.create()?;
        // Ports go before their node, and what is left over at the very end.
        Ok(Box::new((board, node, Leftovers::of(setup))))
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        let node = node(setup)?;
        let port = board(&node)?.reader_builder().create()?;
        Ok(Box::new(Taker {
            entry: port.entry::<Value>(&KEY)?,
            bell: bells(&node)?.listener_builder().create()?,
            far: Far::new(setup)?,
            _port: port,
            _node: node,
        }))
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let node = node(setup)?;
        let port = board(&node)?.writer_builder().create()?;
        Ok(Box::new(Publisher {
            entry: port.entry::<Value>(&KEY)?,
            bell: bells(&node)?.notifier_builder().create()?,
            line: Line::new(setup)?,
            _port: port,
            _node: node,
        }))
    }
}

fn board(node: &Node<ipc::Service>) -> Result<PortFactory<ipc::Service, u64>> {
    let builder = node.service_builder(&"board".try_into()?);
    Ok(builder.blackboard_opener::<u64>().open()?)
}

fn bells(node: &Node<ipc::Service>) -> Result<Events<ipc::Service>> {
    let builder = node.service_builder(&"bells".try_into()?).event();
    let builder = builder.max_nodes(2).max_notifiers(1).max_listeners(1);
    Ok(builder.event_id_max_value(0).open_or_create()?)
}

struct Taker {
    entry: EntryHandle<ipc::Service, u64, Value>,
    bell: Listener<ipc::Service>,
    far: Far,
    _port: Port<ipc::Service, u64>,
    _node: Node<ipc::Service>,
}

impl Server for Taker {
    fn serve(&mut self) -> Result<()> {
        self.far.take(|_| {
            self.bell.blocking_wait(|_| {})?;
            look(&*self.entry.get())
        })
    }
}

struct Publisher {
    entry: EntryHandleMut<ipc::Service, u64, Value>,
    bell: Notifier<ipc::Service>,
    line: Line,
    _port: Writer<ipc::Service, u64>,
    _node: Node<ipc::Service>,
}

impl Client for Publisher {
    fn call(&mut self, number: u64) -> Result<()> {
        let byte = byte_of(number);
        self.entry.update_with_copy([byte; LEN]);
        self.bell.notify()?;
        self.line.seen(byte)
    }
}
