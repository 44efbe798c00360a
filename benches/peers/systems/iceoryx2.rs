//! iceoryx2's request-response, polled.
//!
//! The service is told that there are one client and one server with a response at a time, as in
//! the request-response benchmark of its own repository; here also that there is one request at
//! a time, always answered, so that nothing overflows (measured: no difference). `ipc::Service`
//! and not `ipc_threadsafe`: each port stays on one thread, which spares a lock. Payloads are
//! written into loaned memory. Both sides call `receive` in a loop without a pause, as that
//! benchmark does. That benchmark is also built with link-time optimisation, which this
//! workspace does without; it makes iceoryx2 and callgate faster by some 3 % alike.

use std::any::Any;
use std::fs;
use std::mem::MaybeUninit;

use iceoryx2::active_request::ActiveRequest;
use iceoryx2::port::client::Client as Port;
use iceoryx2::port::server::Server as ServerPort;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::request_response::PortFactory as Factory;

use super::{Client, Server, Setup};
use crate::Result;
use crate::payload::{self, LARGE_WORDS, Small, large};
use crate::raw;
use crate::scenario::Scenario;

/// iceoryx2, polled.
pub(super) struct Iceoryx2;

impl super::System for Iceoryx2 {
    fn name(&self) -> &'static str {
        "iceoryx2"
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        scenario.is_awake() || scenario == Scenario::Connect
    }

    fn host(&self, setup: &Setup) -> Result<Box<dyn Any>> {
        Ok(Box::new(Leftovers::of(setup)))
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        let node = node(setup)?;
        match setup.scenario {
            Scenario::LargeHot => {
                let port = large_service(&node)?.server_builder().create()?;
                Ok(Box::new(LargeCallee { port, _node: node }))
            }
            _ => {
                let port = small_service(&node)?.server_builder().create()?;
                Ok(Box::new(SmallCallee { port, _node: node }))
            }
        }
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        if setup.scenario == Scenario::LargeHot {
            let node = node(setup)?;
            let service = large_service(&node)?;
            let port = service.client_builder();
            let port = port.initial_max_slice_len(LARGE_WORDS).create()?;
            return Ok(Box::new(LargeCaller { port, _node: node }));
        }
        Ok(Box::new(SmallCaller {
            setup: setup.clone(),
            port: None,
        }))
    }
}

/// Removes what nodes leave behind for others of their kind, when both processes are done.
#[derive(Debug)]
pub(crate) struct Leftovers {
    prefix: String,
}

impl Leftovers {
    pub(crate) fn of(setup: &Setup) -> Leftovers {
        let prefix = setup.unique_name();
        Leftovers { prefix }
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        for file in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&self.prefix) {
                // Where it is gone already, all the better.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// A node whose files bear a name of their own, so that nothing else on this machine is found
/// or disturbed.
pub(crate) fn node(setup: &Setup) -> Result<Node<ipc::Service>> {
    set_log_level(LogLevel::Error);
    let mut config = Config::global_config().clone();
    let place = setup.place.to_string_lossy();
    config.global.set_root_path(&Path::new(place.as_bytes())?);
    config.global.prefix = FileName::new(format!("{}_", setup.unique_name()).as_bytes())?;
    let builder = NodeBuilder::new().config(&config);
    let builder = builder.signal_handling_mode(SignalHandlingMode::Disabled);
    Ok(builder.create()?)
}

/// A macro, because what a payload type does to a builder's type cannot be written briefly.
macro_rules! service {
    ($node:expr, $request:ty) => {
        $node
            .service_builder(&"call".try_into()?)
            .request_response::<$request, Small>()
            .max_clients(1)
            .max_servers(1)
            .max_nodes(2)
            .max_active_requests_per_client(1)
            .max_loaned_requests(1)
            .max_response_buffer_size(1)
            .max_borrowed_responses_per_pending_response(1)
            .enable_fire_and_forget_requests(false)
            .enable_safe_overflow_for_requests(false)
            .enable_safe_overflow_for_responses(false)
            .open_or_create()?
    };
}

pub(super) type SmallFactory = Factory<ipc::Service, Small, (), Small, ()>;
pub(super) type SmallPort = Port<ipc::Service, Small, (), Small, ()>;
pub(super) type SmallServer = ServerPort<ipc::Service, Small, (), Small, ()>;
type LargeFactory = Factory<ipc::Service, [u64], (), Small, ()>;

pub(super) fn small_service(node: &Node<ipc::Service>) -> Result<SmallFactory> {
    Ok(service!(node, Small))
}

fn large_service(node: &Node<ipc::Service>) -> Result<LargeFactory> {
    Ok(service!(node, [u64]))
}

/// Answers a request; whether it says stop.
pub(super) fn answer(request: &ActiveRequest<ipc::Service, Small, (), Small, ()>) -> Result<bool> {
    let words = *request.payload();
    let response = request.loan_uninit()?;
    response.write_payload(payload::answer(words)).send()?;
    Ok(payload::is_stop(&words))
}

struct SmallCallee {
    // Ports go before their node.
    port: SmallServer,
    _node: Node<ipc::Service>,
}

impl Server for SmallCallee {
    fn serve(&mut self) -> Result<()> {
        loop {
            if let Some(request) = self.port.receive()?
                && answer(&request)?
            {
                return Ok(());
            }
        }
    }
}

struct LargeCallee {
    port: ServerPort<ipc::Service, [u64], (), Small, ()>,
    _node: Node<ipc::Service>,
}

impl Server for LargeCallee {
    fn serve(&mut self) -> Result<()> {
        loop {
            let Some(request) = self.port.receive()? else {
                continue;
            };
            let words = large::read(|at| request.payload()[at]);
            let response = request.loan_uninit()?;
            response.write_payload(payload::answer(words)).send()?;
            if payload::is_stop(&words) {
                return Ok(());
            }
        }
    }
}

struct SmallCaller {
    setup: Setup,
    port: Option<(SmallPort, Node<ipc::Service>)>,
}

impl Client for SmallCaller {
    #[inline]
    fn call(&mut self, number: u64) -> Result<()> {
        let (port, _) = match &mut self.port {
            Some(port) => port,
            None => {
                let node = node(&self.setup)?;
                let port = small_service(&node)?.client_builder().create()?;
                self.port.insert((port, node))
            }
        };
        let request = port.loan_uninit()?;
        let pending = request.write_payload(payload::request(number)).send()?;
        loop {
            if let Some(response) = pending.receive()? {
                return payload::check(number, *response);
            }
        }
    }

    fn settle(&mut self) -> Result<()> {
        if self.setup.scenario == Scenario::Connect {
            self.port = None;
        }
        Ok(())
    }
}

struct LargeCaller {
    port: Port<ipc::Service, [u64], (), Small, ()>,
    _node: Node<ipc::Service>,
}

impl Client for LargeCaller {
    #[inline]
    fn call(&mut self, number: u64) -> Result<()> {
        let mut request = self.port.loan_slice_uninit(LARGE_WORDS)?;
        let words: &mut [MaybeUninit<u64>] = request.payload_mut();
        large::write(number, |at, word| {
            words[at].write(word);
        });
        let pending = raw::as_written(request).send()?;
        loop {
            if let Some(response) = pending.receive()? {
                return large::check(number, *response);
            }
        }
    }
}
