//! iceoryx2's publish-subscribe, and for listeners that sleep its events beside it.
//!
//! Nothing is dropped (`RetryUntilDelivered`, no overflow), but where the scenario drops the oldest: there its overflow is on.
//! Listeners call `receive` in a loop without a pause. It has no batches, so those are sent one by one.
//!
//! A listener that sleeps waits for an event of a second service, which every event of the first is followed by: the
//! documented way. One notifier wakes all listeners.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use iceoryx2::port::listener::Listener as Bell;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::event::PortFactory as Bells;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory as Topic;

use super::{Bus, Events, Listener, Looking, Sender, Tally};
use crate::Result;
use crate::payload::{self, Small};
use crate::systems::Setup;
use crate::systems::iceoryx2::{Leftovers, node};

/// Events that a listener may be behind. With 1,024 a burst would not fit.
const BUFFER: usize = 2048;

/// iceoryx2, whose listeners look all the time or are woken.
pub(super) struct Iceoryx2 {
    woken: bool,
}

impl Iceoryx2 {
    pub(super) const POLLED: Iceoryx2 = Iceoryx2 { woken: false };
    pub(super) const WOKEN: Iceoryx2 = Iceoryx2 { woken: true };
}

impl Bus for Iceoryx2 {
    fn name(&self) -> &'static str {
        match self.woken {
            false => "iceoryx2",
            true => "iceoryx2-event",
        }
    }

    fn takes_part(&self, events: Events) -> bool {
        events.is_asleep() == self.woken
    }

    fn host(&self, setup: &Setup, _: Events) -> Result<Box<dyn Any>> {
        Ok(Box::new(Leftovers::of(setup)))
    }

    fn listener(
        &self,
        setup: &Setup,
        events: Events,
        _: usize,
        _: &Arc<Tally>,
    ) -> Result<Box<dyn Listener>> {
        let node = node(setup)?;
        let bell = match self.woken {
            true => Some(bells(&node, events)?.listener_builder().create()?),
            false => None,
        };
        Ok(Box::new(Taker {
            port: topic(&node, events)?.subscriber_builder().create()?,
            bell,
            looking: Looking::new(events),
            _node: node,
        }))
    }

    fn sender(&self, setup: &Setup, events: Events, _: &mut dyn Any) -> Result<Box<dyn Sender>> {
        let node = node(setup)?;
        let topic = topic(&node, events)?;
        let port = topic.publisher_builder();
        let port = match events.drops_the_oldest() {
            true => port,
            false => port.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered),
        };
        let bell = match self.woken {
            true => Some(bells(&node, events)?.notifier_builder().create()?),
            false => None,
        };
        Ok(Box::new(Giver {
            port: port.create()?,
            bell,
            _node: node,
        }))
    }
}

fn topic(node: &Node<ipc::Service>, events: Events) -> Result<Topic<ipc::Service, Small, ()>> {
    let builder = node.service_builder(&"events".try_into()?);
    let builder = builder.publish_subscribe::<Small>().history_size(0);
    let builder = builder
        .max_publishers(1)
        .max_subscribers(events.listeners())
        .max_nodes(events.listeners() + 1)
        .subscriber_max_borrowed_samples(1)
        .subscriber_max_buffer_size(BUFFER)
        .enable_safe_overflow(events.drops_the_oldest());
    Ok(builder.open_or_create()?)
}

fn bells(node: &Node<ipc::Service>, events: Events) -> Result<Bells<ipc::Service>> {
    let builder = node.service_builder(&"bells".try_into()?).event();
    let builder = builder
        .max_nodes(events.listeners() + 1)
        .max_notifiers(1)
        .max_listeners(events.listeners());
    Ok(builder.event_id_max_value(0).open_or_create()?)
}

struct Giver {
    // Ports go before their node.
    port: Publisher<ipc::Service, Small, ()>,
    bell: Option<Notifier<ipc::Service>>,
    _node: Node<ipc::Service>,
}

impl Sender for Giver {
    fn send(&mut self, numbers: Range<u64>) -> Result<()> {
        for number in numbers {
            let sample = self.port.loan_uninit()?;
            sample.write_payload(payload::request(number)).send()?;
            if let Some(bell) = &self.bell {
                bell.notify()?;
            }
        }
        Ok(())
    }
}

struct Taker {
    port: Subscriber<ipc::Service, Small, ()>,
    bell: Option<Bell<ipc::Service>>,
    looking: Looking,
    _node: Node<ipc::Service>,
}

impl Listener for Taker {
    fn listen(&mut self, tally: &Tally) -> Result<()> {
        loop {
            match self.port.receive()? {
                Some(event) if tally.take(&event) => return Ok(()),
                Some(_) => {}
                None => match &self.bell {
                    Some(bell) => {
                        bell.blocking_wait(|_| {})?;
                    }
                    None => self.looking.in_vain(),
                },
            }
        }
    }
}
