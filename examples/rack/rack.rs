//! The host's side of the bus: a broker of its own, a process for each plugin, a gate to each.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use callgate::{Broker, Child};
use callgate_client::{Arguments, Cell, Code, GateType, Plugin, Share, Subscriber};

use crate::block::Block;
use crate::cli::{Args, Role};
use crate::error::Error;
use crate::heard::Heard;
use crate::kill;
use crate::meter::{LEVEL, Levels};
use crate::response;

/// The longest time from the start of a plugin until its gate is ready: a long recording is read first.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a killed process may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// A running rack. Fields are dropped from top to bottom: the host leaves the bus, then the
/// broker ends, and the plugins' processes with it.
pub(crate) struct Rack {
    pub(crate) heard: Heard,
    pub(crate) level: Cell<Levels>,
    pub(crate) instrument: Subscriber<(u64,), Block>,
    pub(crate) filter: Subscriber<(u64, Block), Block>,
    pub(crate) delay: Subscriber<(Block,), Block>,
    pub(crate) meter: Subscriber<(Block,), ()>,
    /// The share that the delay reads. It exists as long as this handle or the delay's.
    _response: Share<[f32]>,
    _host: Plugin,
    processes: [Child; Role::ALL.len()],
    broker: Broker,
}

impl Rack {
    /// Starts a broker and the plugins, and waits until all of them can be called.
    pub(crate) fn start(args: &Args) -> Result<Rack, Error> {
        let builder = Broker::builder();
        let broker = match &args.socket {
            Some(path) => builder.socket(path).start()?,
            None => builder.without_socket().start()?,
        };
        // The host is a plugin too, of its own broker.
        let socket = broker.connect().map_err(Error::Host)?;
        let host = Plugin::builder("rack")
            .display_name("The rack")
            .descriptor(socket)
            .connect()?;
        // A gate can be opened, and events subscribed to, before anybody provides them.
        let heard = Heard::subscribe(&host)?;
        let instrument = host.subscriber(Role::Instrument.gate())?;
        let filter = host.subscriber(Role::Filter.gate())?;
        let delay = host.subscriber(Role::Delay.gate())?;
        let meter = host.subscriber(Role::Meter.gate())?;
        // Make the share before the delay starts, so that the delay finds it.
        let shares = host.shares();
        let response = shares.create_with(response::TAG, response::LEN, response::fill)?;
        let processes = [
            spawn(&broker, Role::Instrument, args.input.as_deref())?,
            spawn(&broker, Role::Filter, None)?,
            spawn(&broker, Role::Delay, None)?,
            spawn(&broker, Role::Meter, None)?,
        ];
        wait_ready(&processes, Role::Instrument, &instrument)?;
        wait_ready(&processes, Role::Filter, &filter)?;
        wait_ready(&processes, Role::Delay, &delay)?;
        wait_ready(&processes, Role::Meter, &meter)?;
        // The meter opens its cell before it provides its gate.
        let level = host.shares().cell(LEVEL)?;
        Ok(Rack {
            heard,
            level,
            instrument,
            filter,
            delay,
            meter,
            _response: response,
            _host: host,
            processes,
            broker,
        })
    }

    /// The number of a plugin's process.
    pub(crate) fn pid(&self, plugin: Role) -> u32 {
        self.process(plugin).id()
    }

    /// Stops the filter, so that it can be killed while it works.
    pub(crate) fn stop_filter(&self) -> Result<(), Error> {
        kill::stop(self.process(Role::Filter)).map_err(|e| Error::process(Role::Filter, e))
    }

    /// Kills the filter while it works on a call. Returns how the call ended, and how long after the kill.
    pub(crate) fn kill_filter(
        &self,
        arguments: &(u64, Block),
    ) -> Result<(callgate_client::Error, Duration), Error> {
        let process = self.process(Role::Filter);
        let killed = kill::during(process, || self.filter.invoke_ref(arguments));
        let (answer, after) = killed.map_err(|e| Error::process(Role::Filter, e))?;
        match answer {
            Err(error) => Ok((error, after)),
            Ok(_) => Err(Error::Undead(Role::Filter)),
        }
    }

    /// Starts the filter again. The host keeps its handle of the gate.
    pub(crate) fn restart_filter(&mut self) -> Result<(), Error> {
        let ended = self.process(Role::Filter).wait(KILL_TIMEOUT);
        let ended = ended.map_err(|e| Error::process(Role::Filter, e))?;
        if ended.is_none() {
            return Err(Error::Unkillable(Role::Filter));
        }
        self.processes[Role::Filter as usize] = spawn(&self.broker, Role::Filter, None)?;
        wait_ready(&self.processes, Role::Filter, &self.filter)
    }

    fn process(&self, plugin: Role) -> &Child {
        &self.processes[plugin as usize]
    }
}

/// Waits until a plugin's gate can be called, or its process has ended without providing it.
fn wait_ready<A: Arguments, R: GateType>(
    processes: &[Child],
    plugin: Role,
    gate: &Subscriber<A, R>,
) -> Result<(), Error> {
    let until = Instant::now() + START_TIMEOUT;
    loop {
        match gate.wait_ready(Duration::from_millis(100)) {
            Err(error) if error.code() == Code::NotReady && Instant::now() < until => {}
            outcome => return Ok(outcome?),
        }
        let ended = processes[plugin as usize].try_wait();
        if let Some(status) = ended.map_err(|e| Error::process(plugin, e))? {
            return Err(Error::Ended { plugin, status });
        }
    }
}

/// Starts this program again, as a plugin.
fn spawn(broker: &Broker, plugin: Role, input: Option<&Path>) -> Result<Child, Error> {
    let start = || {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--plugin", plugin.name()]);
        if let Some(path) = input {
            // As one argument, so that a path that begins with a dash is not taken for an option.
            let mut argument = OsString::from("--input=");
            argument.push(path);
            command.arg(argument);
        }
        command.stdin(Stdio::null());
        broker.spawn(plugin.name(), command)
    };
    start().map_err(|e| Error::process(plugin, e))
}
