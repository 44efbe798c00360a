//! Plugins that call each other at random and never stand still: each calls only those with higher numbers,
//! but for what cannot close a circle. That is
//!
//! - what comes back to a caller in its own chain, where nobody in that chain gives a call up, and neither of the
//!   two is ever killed;
//! - a re-entrant gate of a plugin that is alone in its process, and whose handlers do not wait for calls that
//!   were sent.
//!
//! Some gates have few calls at a time, and other limits now and then. Who is in one that others wait for waits
//! for higher numbers only, or for nobody.
//!
//! Who is told nevertheless that it waits in vain writes that into a file.

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

/// What a handler is to do: a seed for its choices, how many calls deep it may go, and whether calls may be
/// given up in its chain, or else come back.
pub type Task = (u64, u8, bool);

/// Where the plugins run their handlers: those of one process together, which call each other directly.
pub const PROCESSES: [&[Mode]; 6] = [
    &[Mode::Thread],
    &[Mode::Thread, Mode::Pool, Mode::Thread],
    &[Mode::Pump],
    &[Mode::Pool],
    &[Mode::Group, Mode::Group],
    &[Mode::Thread],
];
/// Those that are killed now and then.
pub const MORTAL: [usize; 2] = [3, 5];
/// How many plugins there are.
pub const PLUGINS: usize = 9;

/// Where a plugin runs its handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On a thread of its own.
    Thread,
    /// On three.
    Pool,
    /// In a loop of its process.
    Pump,
    /// On one thread with the others of its process.
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

    /// Whether its handlers wait for calls that were sent.
    pub(crate) fn sends(self) -> bool {
        !self.is_alone()
    }

    /// Whether they wait for those that were sent to this one: in a group they would wait for their own thread.
    pub(crate) fn may_send_to(self, other: Node) -> bool {
        let is_group = self.mode == Mode::Group && self.process == other.process;
        self.sends() && !is_group
    }
}

/// Where the plugins of the bus with this socket write what they must not be told.
pub fn told_file(socket: &Path) -> PathBuf {
    socket.with_extension("told")
}

/// How many calls of a plugin's `Work` run at a time: of every third one, of every third as many as it says now
/// and then, and of the others as many as there can be.
fn limit(node: Node, seed: u64) -> Option<GateOptions> {
    let calls = match node.n % 3 {
        0 => return None,
        1 => 1,
        _ => 1 + (seed % 3) as u32,
    };
    Some(GateOptions::new().limit(calls))
}

/// Says it, from the next call on.
fn say_limit(plugin: &Plugin, node: Node, seed: u64) {
    let options = limit(node, seed);
    let said = options.map_or(Ok(()), |options| {
        plugin.set_gate_options(&node.gate("Work"), options)
    });
    said.expect("a gate's name");
}

/// How many calls a plugin has handled whose callers still waited, more or less.
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

/// Connects as soon as the broker knows that the one before has ended.
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

/// Is one process of the graph, by its number: says `ready`, and for each line of input how many tasks it has
/// done.
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
