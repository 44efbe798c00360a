//! Joining a bus: how a plugin introduces itself to each of its brokers in turn.

use std::thread;
use std::time::Instant;

use callgate_layout::control::{BrokerFacts, DoorbellName, Identity, SessionToBroker, ToBroker};
use callgate_layout::{Code, clock};

use crate::api::group::{Doorbells, GroupCore};
use crate::base::error::Result;
use crate::call::sent::Sender;
use crate::link::peer::Caller;
use crate::session::connection::Connection;
use crate::session::handshake::{self, Reached, Welcome};
use crate::session::membership::MembershipParts;
use crate::session::retry::{Retry, random};

/// How a plugin introduces itself to a broker.
#[derive(Debug)]
pub(super) struct Introduction {
    pub(super) identity: Identity,
    /// Whether the plugin is an inspector, which may only list what is on the bus.
    pub(super) inspects: bool,
}

impl Introduction {
    /// Sends `Hello` to a broker. If that broker ends before it has answered, connects to the next one at the same
    /// socket and tries again, until the deadline.
    pub(super) fn join(
        &self,
        mut reached: Reached,
        doorbells: Option<&Doorbells>,
        until: Instant,
    ) -> Result<(Reached, Welcome)> {
        let begun = Instant::now();
        loop {
            let error = match self.greet(&reached, doorbells, until) {
                Ok(welcome) => return Ok((reached, welcome)),
                Err(error) => error,
            };
            let wait = Retry::since(begun).wait(Instant::now(), random());
            let is_over = error.code() != Code::BrokerGone || Instant::now() + wait >= until;
            let Some(place) = reached.place.take().filter(|_| !is_over) else {
                return Err(error);
            };
            // The broker accepted the connection and then ended. A new one may be starting, so wait and connect
            // again.
            thread::sleep(wait);
            reached = Reached::at(&place, until)?;
        }
    }

    /// Sends `Hello` on a connection and waits for the welcome. `doorbells` are those of the plugin's group.
    pub(super) fn greet(
        &self,
        reached: &Reached,
        doorbells: Option<&Doorbells>,
        until: Instant,
    ) -> Result<Welcome> {
        let shared = doorbells.map_or(Vec::new(), Doorbells::all);
        let names = shared.iter().map(|(name, _)| *name).collect();
        handshake::greet(reached, (&self.hello(names), shared), until)
    }

    /// The first record of a session: `Hello`, `HelloInGroup` or `Inspect`.
    fn hello(&self, doorbells: Vec<DoorbellName>) -> ToBroker {
        let identity = Identity {
            clock: clock::facts(),
            ..self.identity.clone()
        };
        let hello = match self.inspects {
            true => SessionToBroker::Inspect(identity),
            false if doorbells.is_empty() => SessionToBroker::Hello(identity),
            false => SessionToBroker::HelloInGroup {
                identity,
                doorbells,
            },
        };
        hello.into()
    }

    /// What a membership is made of, once the broker has welcomed the plugin.
    pub(super) fn membership(
        &self,
        welcome: Welcome,
        reached: Reached,
        group: &GroupCore,
    ) -> MembershipParts {
        let Identity {
            name,
            display_name,
            version,
            ..
        } = self.identity.clone();
        let me = Caller {
            name,
            display_name,
            version,
            pid: std::process::id(),
            plugin: welcome.plugin,
        };
        let broker = reached.broker.with_pid(welcome.broker.pid);
        let dispatcher = &group.dispatcher;
        MembershipParts {
            me,
            bus: welcome.bus,
            limits: welcome.limits,
            memory: welcome.memory,
            connection: Connection::new(reached.socket, broker),
            serving: (
                dispatcher.changes().clone(),
                dispatcher.outstanding().clone(),
            ),
        }
    }
}

/// The name of the plugin's doorbell: it is named by the bus and the plugin that got it.
pub(super) fn doorbell(welcome: &Welcome) -> DoorbellName {
    DoorbellName {
        bus: welcome.bus,
        plugin: welcome.plugin,
    }
}

/// The plugin's handle on the calls that are sent by its doorbell.
pub(super) fn sender(welcome: &Welcome, doorbells: Option<&mut Doorbells>) -> Result<Sender> {
    match doorbells {
        Some(doorbells) => doorbells.add(doorbell(welcome), &welcome.memory),
        None => Ok(Sender::first()),
    }
}

/// Facts about the broker that has welcomed the plugin.
pub(super) fn facts(welcome: &Welcome) -> BrokerFacts {
    welcome.broker
}
