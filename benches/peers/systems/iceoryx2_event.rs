//! iceoryx2's request-response with an event each way, so that both sides sleep.
//!
//! The documented way to block (its example `request_response_with_events`): an event service
//! for the server and one for the client, tuned to one notifier and one listener with one event.
//! Each side has one listener to wait for and does so by `blocking_wait`; a `WaitSet`, which is
//! for several, adds a system call to each wait.

use std::any::Any;

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::event::PortFactory as Events;

use super::iceoryx2::{Leftovers, SmallPort, SmallServer, answer, node, small_service};
use super::{Client, Server, Setup};
use crate::Result;
use crate::payload;
use crate::scenario::Scenario;

/// iceoryx2 with events.
pub(super) struct Iceoryx2Event;

impl super::System for Iceoryx2Event {
    fn name(&self) -> &'static str {
        "iceoryx2-event"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        !scenario.is_awake() && scenario != Scenario::Connect && !scenario.passes_values()
    }

    fn host(&self, setup: &Setup) -> Result<Box<dyn Any>> {
        Ok(Box::new(Leftovers::of(setup)))
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        let node = node(setup)?;
        Ok(Box::new(Callee {
            port: small_service(&node)?.server_builder().create()?,
            requests: event(&node, "requests")?.listener_builder().create()?,
            answers: event(&node, "answers")?.notifier_builder().create()?,
            _node: node,
        }))
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let node = node(setup)?;
        Ok(Box::new(Caller {
            port: small_service(&node)?.client_builder().create()?,
            requests: event(&node, "requests")?.notifier_builder().create()?,
            answers: event(&node, "answers")?.listener_builder().create()?,
            _node: node,
        }))
    }
}

fn event(node: &Node<ipc::Service>, name: &str) -> Result<Events<ipc::Service>> {
    let builder = node.service_builder(&name.try_into()?).event();
    let builder = builder.max_nodes(2).max_notifiers(1).max_listeners(1);
    Ok(builder.event_id_max_value(0).open_or_create()?)
}

struct Callee {
    port: SmallServer,
    requests: Listener<ipc::Service>,
    answers: Notifier<ipc::Service>,
    _node: Node<ipc::Service>,
}

impl Server for Callee {
    fn serve(&mut self) -> Result<()> {
        loop {
            self.requests.blocking_wait(|_| {})?;
            while let Some(request) = self.port.receive()? {
                let stop = answer(&request)?;
                self.answers.notify()?;
                if stop {
                    return Ok(());
                }
            }
        }
    }
}

struct Caller {
    port: SmallPort,
    requests: Notifier<ipc::Service>,
    answers: Listener<ipc::Service>,
    _node: Node<ipc::Service>,
}

impl Client for Caller {
    fn call(&mut self, number: u64) -> Result<()> {
        let request = self.port.loan_uninit()?;
        let pending = request.write_payload(payload::request(number)).send()?;
        self.requests.notify()?;
        loop {
            self.answers.blocking_wait(|_| {})?;
            if let Some(response) = pending.receive()? {
                return payload::check(number, *response);
            }
        }
    }
}
