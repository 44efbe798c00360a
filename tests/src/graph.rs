//! Plugins that call each other at random and must never stand still. Each calls only plugins with higher numbers,
//! with two exceptions that cannot close a circle:
//!
//! - a call back to a caller in its own chain, if no caller in that chain gives a call up, and neither of the two
//!   plugins is ever killed;
//! - a re-entrant gate of a plugin that is alone in its process, and whose handlers do not wait for calls that they
//!   have sent.
//!
//! Some gates run few calls at a time, and change their limits now and then. A handler of a gate with a limit waits
//! only for plugins with higher numbers, or for nobody.
//!
//! A plugin that is told nevertheless that its wait is a deadlock writes this into a file.

mod calls;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{
    Code, Dispatch, GateOptions, Group, Plugin, PluginBuilder, Provider, Result,
};

use calls::Calls;

/// What a handler has to do: a seed for its choices, how many calls deep it may go, and whether calls may be given up
/// in its chain. If they may not, calls may come back.
pub type Task = (u64, u8, bool);

/// How the plugins run their handlers. Plugins of one list share a process and call each other directly.
pub const PROCESSES: [&[Mode]; 6] = [
    &[Mode::Thread],
    &[Mode::Thread, Mode::Pool, Mode::Thread],
    &[Mode::Pump],
    &[Mode::Pool],
    &[Mode::Group, Mode::Group],
    &[Mode::Thread],
];
/// The processes that are killed now and then.
pub const MORTAL: [usize; 2] = [3, 5];
/// How many plugins there are.
pub const PLUGINS: usize = 9;

/// How a plugin runs its handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On a thread of its own.
    Thread,
    /// On a pool of three threads.
    Pool,
    /// In a loop of its process.
    Pump,
    /// On one thread with the other plugins of its process.
    Group,
}

/// A plugin of the graph.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) n: usize,
    pub(crate) process: usize,
    pub(crate) mode: Mode,
}

impl Node {
    pub(crate) fn all() -> impl Iterator<Item = Node> {
        let each = PROCESSES.iter().enumerate().flat_map(|(process, modes)| {
            let of = move |mode: &Mode| (process, *mode);
            modes.iter().map(of)
        });
        each.enumerate()
            .map(|(n, (process, mode))| Node { n, process, mode })
    }

    pub(crate) fn gate(self, gate: &str) -> String {
        format!("N{}.{gate}", self.n)
    }

    pub(crate) fn is_mortal(self) -> bool {
        MORTAL.contains(&self.process)
    }

    pub(crate) fn is_alone(self) -> bool {
        PROCESSES[self.process].len() == 1
    }

    /// Whether its handlers wait for calls that they have sent.
    pub(crate) fn sends(self) -> bool {
        !self.is_alone()
    }

    /// Whether its handlers wait for calls that they have sent to `other`. In a group they would wait for their own
    /// thread.
    pub(crate) fn may_send_to(self, other: Node) -> bool {
        let is_group = self.mode == Mode::Group && self.process == other.process;
        self.sends() && !is_group
    }
}

/// The file in which the plugins of the bus with this socket write that they were told of a deadlock.
pub fn told_file(socket: &Path) -> PathBuf {
    socket.with_extension("told")
}

/// The limit of a plugin's `Work`: one third of the plugins has a fixed limit, one third changes it now and then, and
/// the others have none.
fn limit(node: Node, seed: u64) -> Option<GateOptions> {
    let calls = match node.n % 3 {
        0 => return None,
        1 => 1,
        _ => 1 + (seed % 3) as u32,
    };
    Some(GateOptions::new().limit(calls))
}

/// Sets the limit, which holds from the next call on.
fn say_limit(plugin: &Plugin, node: Node, seed: u64) {
    let options = limit(node, seed);
    let said = options.map_or(Ok(()), |options| {
        plugin.set_gate_options(&node.gate("Work"), options)
    });
    said.expect("a gate's name");
}

/// Roughly how many calls a plugin has handled whose callers still waited.
type Count = Arc<AtomicU64>;

fn provide(plugin: &Arc<Plugin>, node: Node, count: &Count) -> Result<Vec<Provider>> {
    let peek = node.gate("Peek");
    let one = GateOptions::new().limit(1);
    plugin.set_gate_options(&peek, one.reentrant(true))?;
    plugin.set_gate_options(&node.gate("Leaf"), one)?;
    say_limit(plugin, node, 0);
    let own = Arc::downgrade(plugin);
    let calls = Arc::new(Calls::open(plugin, node)?);
    let (count, back) = (count.clone(), calls.clone());
    Ok(vec![
        plugin.provide(&peek, || 7_u64)?,
        plugin.provide(&node.gate("Leaf"), || 7_u64)?,
        plugin.provide(&node.gate("Back"), move |from: u64| back.call_back(from))?,
        plugin.provide(&node.gate("Work"), move |task: Task| {
            if task.0.is_multiple_of(16) {
                own.upgrade()
                    .iter()
                    .for_each(|own| say_limit(own, node, task.0 / 16));
            }
            calls.work(task);
            count.fetch_add(1, Ordering::Relaxed);
        })?,
    ])
}

/// Connects as soon as the broker has noticed the end of the process before.
fn connect(builder: impl Fn() -> PluginBuilder) -> Result<Plugin> {
    let until = Instant::now() + crate::PATIENCE;
    loop {
        match builder().connect() {
            Err(error) if error.code() == Code::NameTaken && Instant::now() < until => {
                thread::sleep(Duration::from_millis(1));
            }
            outcome => return outcome,
        }
    }
}

/// Is one process of the graph, by its number. Prints `ready`, and answers each line of input with how many tasks it
/// has done.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn run(process: usize) -> Result<()> {
    let (count, group) = (Count::default(), Group::new()?);
    let mut plugins = Vec::new();
    for node in Node::all().filter(|node| node.process == process) {
        let builder = || {
            let builder = Plugin::builder(&format!("N{}", node.n));
            match node.mode {
                Mode::Thread => builder,
                Mode::Pool => builder.dispatch(Dispatch::Pool(3)),
                Mode::Pump => builder.dispatch(Dispatch::Pump),
                Mode::Group => builder.group(&group),
            }
        };
        let plugin = Arc::new(connect(builder)?);
        let gates = provide(&plugin, node, &count)?;
        plugins.push((plugin, gates, node));
    }
    println!("ready");
    let is_over = Arc::<AtomicBool>::default();
    let over = is_over.clone();
    let obeying = thread::spawn(move || {
        for _ in std::io::stdin().lines().map_while(std::io::Result::ok) {
            println!("{}", count.load(Ordering::Relaxed));
        }
        over.store(true, Ordering::Relaxed);
    });
    for (plugin, _, node) in &plugins {
        while node.mode == Mode::Pump && !is_over.load(Ordering::Relaxed) {
            plugin.pump(Instant::now() + Duration::from_millis(20))?;
        }
    }
    let _ = obeying.join();
    Ok(())
}
