//! Callgate: a plugin that calls the child's gate through the bus.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use callgate::Broker;
use callgate::supervision::State;
use callgate_client::Plugin;
use callgate_client::dynamic::{Bytes, Gate, Sent, open_json};
use callgate_runtime::Runtime;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use serde_json::json;

use super::process::command;
use super::{Caller, Params, echo};
use crate::Result;
use crate::systems::Setup;
use crate::systems::plugins::connect;

/// The argument that makes a process the host.
pub(super) const HOST: &str = "stdio-host";

/// The child's name.
pub(super) const CHILD: &str = "echo";
const PATIENCE: Duration = Duration::from_secs(5);

/// A broker and a runtime with the child, in this process.
pub(super) struct Bus {
    pub(super) runtime: Runtime,
    pub(super) child: u32,
    _broker: Broker,
}

impl Bus {
    pub(super) fn start(setup: &Setup) -> Result<Bus> {
        let folder = setup.place.join("plugin");
        fs::create_dir(&folder)?;
        let manifest = json!({
            "name": CHILD,
            "version": "1.0.0",
            "backend": {"command": command(echo::ID, setup)?},
        });
        fs::write(folder.join("manifest.json"), manifest.to_string())?;
        let broker = Broker::builder().socket(setup.place.join("bus")).start()?;
        let runtime = Runtime::builder(broker.handle()).folder(folder).start()?;
        let ready = runtime.wait_for(CHILD, &[State::Ready], PATIENCE);
        let pid = ready.and_then(|status| status.supervision.pid);
        Ok(Bus {
            child: pid.ok_or_else(|| format!("{:?}", runtime.plugins()))?,
            runtime,
            _broker: broker,
        })
    }
}

/// Is the host's process.
pub(super) fn be(setup: &Setup) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let bus = Bus::start(setup)?;
    println!("{}", bus.child);
    std::io::stdin().lines().for_each(drop);
    Ok(())
}

/// Where the runtime is.
enum Where {
    Here { _bus: Bus },
    There(Child),
}

pub(super) struct Gates {
    gate: Gate,
    child: u32,
    request: Vec<u8>,
    _plugin: Plugin,
    host: Where,
}

impl Gates {
    /// A plugin in the process of the runtime.
    pub(super) fn inside(setup: &Setup) -> Result<Gates> {
        let bus = Bus::start(setup)?;
        let child = bus.child;
        Gates::new(setup, child, Where::Here { _bus: bus })
    }

    /// A plugin in another process.
    pub(super) fn elsewhere(setup: &Setup) -> Result<Gates> {
        let command = command(HOST, setup)?;
        let mut host = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = host.stdout.take().ok_or("no pipe")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let child = line.trim().parse();
        let child = child.map_err(|_| "the host has no child")?;
        Gates::new(setup, child, Where::There(host))
    }

    fn new(setup: &Setup, child: u32, host: Where) -> Result<Gates> {
        let plugin = connect(setup, "Caller")?;
        let gate = open_json(&plugin, &format!("{CHILD}.echo"))?;
        gate.wait_ready(PATIENCE)?;
        Ok(Gates {
            gate: gate.with_timeout(PATIENCE),
            child,
            request: Vec::new(),
            _plugin: plugin,
            host,
        })
    }

    fn write(&mut self, number: u64) -> Result<()> {
        self.request.clear();
        Ok(serde_json::to_writer(
            &mut self.request,
            &[Params::of(number)],
        )?)
    }

    fn send(&mut self, number: u64) -> Result<Sent> {
        self.write(number)?;
        Ok(self.gate.send(&self.request)?)
    }
}

fn check(result: &Bytes, number: u64) -> Result<()> {
    serde_json::from_slice::<Params<'_>>(result)?.check(number)
}

impl Caller for Gates {
    fn call(&mut self, number: u64) -> Result<()> {
        self.write(number)?;
        check(&self.gate.call(&self.request)?, number)
    }

    fn call_many(&mut self, first: u64, count: u64, open: u64) -> Result<()> {
        if open == 1 {
            return (first..first + count).try_for_each(|number| self.call(number));
        }
        let mut sent = VecDeque::new();
        for number in first..first + count {
            if sent.len() as u64 >= open {
                receive(&mut sent)?;
            }
            sent.push_back((number, self.send(number)?));
        }
        while !sent.is_empty() {
            receive(&mut sent)?;
        }
        Ok(())
    }

    fn processes(&self) -> (u32, Vec<u32>) {
        let others = match &self.host {
            Where::Here { .. } => Vec::new(),
            Where::There(host) => vec![host.id()],
        };
        (self.child, others)
    }
}

fn receive(sent: &mut VecDeque<(u64, Sent)>) -> Result<()> {
    let (number, sent) = sent.pop_front().ok_or("nothing was sent")?;
    check(&sent.wait()?, number)
}

impl Drop for Gates {
    fn drop(&mut self) {
        if let Where::There(host) = &mut self.host {
            let _ = host.kill();
            let _ = host.wait();
        }
    }
}
