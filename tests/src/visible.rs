//! Roles of `callgate-peer` that provide and call gates that come and go, as the lines of their input say. The test
//! tells each of them over pipes what the others have done.

use std::fmt::Display;
use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use callgate_client::dynamic::{self, Gate};
use callgate_client::{
    Code, Context, Dispatch, Group, Payload, Plugin, Provider, RawSubscriber, Result, Subscriber,
    signature_of,
};

use crate::pumped::Pumped;
use crate::shorthand::code;
use crate::{PATIENCE, suite};

/// The gate that comes and goes: it returns the number with which it was provided last.
pub const GATE: &str = "Visible.Gate";
/// The same for raw bytes.
pub const RAW: &str = "Visible.Raw";
/// A gate that is called all the time.
const LOAD: &str = "Load.Gate";

/// Plays the role, if it is one of these.
pub fn play(role: &str, name: &str, more: &[String]) -> bool {
    match (role, more) {
        ("visible-provider", [mode]) => provide(name, mode),
        ("visible-caller", []) => call(name),
        ("visible-load", []) => load(name),
        ("visible-pollers", [count]) => poll(name, count.parse().expect("a number")),
        _ => return false,
    }
    true
}

fn lines() -> impl Iterator<Item = String> {
    std::io::stdin()
        .lock()
        .lines()
        .map_while(std::io::Result::ok)
}

/// `provide N` provides the gates, which return N; `drop` withdraws them.
fn provide(name: &str, mode: &str) {
    let dispatch = suite::dispatch(mode);
    let mut builder = Plugin::builder(name).dispatch(dispatch);
    let group = (mode == "group").then(|| Group::new().expect("a group"));
    if let Some(group) = &group {
        builder = builder.group(group);
    }
    let plugin = Pumped::new(builder.connect().expect("the bus"), dispatch);
    println!("ready");
    let mut provided: Vec<Provider> = Vec::new();
    for line in lines() {
        match line.split_once(' ') {
            Some(("provide", number)) => {
                provided =
                    provide_all(&plugin, number.parse().expect("a number")).expect("providing");
                println!("provided");
            }
            _ => {
                provided.clear();
                println!("dropped");
            }
        }
    }
    drop(provided);
}

/// Provides the gates with handlers that return a number.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide_all(plugin: &Plugin, number: u64) -> Result<Vec<Provider>> {
    let raw = move |_: Context<'_>, _: Payload<'_>| number;
    Ok(vec![
        plugin.provide(GATE, move |_: u64| number)?,
        plugin.provide_raw(RAW, raw)?,
    ])
}

/// All ways to call the gates that come and go.
pub struct Ways {
    typed: Subscriber<(u64,), u64>,
    bytes: Gate,
    raw: RawSubscriber<u64>,
}

impl Ways {
    /// The names of all of them.
    pub const ALL: [&str; 6] = ["typed", "bytes", "sent", "future", "raw", "waited"];

    /// Opens the gates, whether they are there or not.
    ///
    /// # Errors
    ///
    /// As [`Plugin::subscriber`].
    pub fn open(plugin: &Plugin) -> Result<Ways> {
        let signature = signature_of::<(u64,), u64>();
        Ok(Ways {
            typed: plugin.subscriber(GATE)?.with_timeout(PATIENCE),
            bytes: dynamic::open(plugin, GATE, &signature)?.with_timeout(PATIENCE),
            raw: plugin.raw_subscriber(RAW)?.with_timeout(PATIENCE),
        })
    }

    /// Calls one of the gates in one of the ways; returns the number that it gives.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::invoke`].
    pub fn call(&self, way: &str) -> Result<u64> {
        let request = dynamic::encode(&(7_u64,))?;
        match way {
            "typed" => self.typed.invoke((7,)),
            "bytes" => dynamic::decode(&self.bytes.call(&request)?),
            "sent" => dynamic::decode(&self.bytes.send(&request)?.wait()?),
            "future" => dynamic::decode(&pollster(self.bytes.send(&request)?)?),
            "raw" => self.raw.loan(64)?.invoke(),
            // A caller that was told that the gate is ready may call it.
            "waited" => self
                .typed
                .wait_ready(Duration::ZERO)
                .and_then(|()| self.typed.invoke((7,))),
            other => panic!("no way {other}"),
        }
    }
}

/// Runs a future on this thread.
fn pollster<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => thread::park(),
        }
    }
}

/// The outcome of a call as a word. A question mark follows if a failed call may have run.
pub fn word<T: Display>(outcome: Result<T>) -> String {
    match outcome {
        Ok(value) => value.to_string(),
        Err(error) if error.may_have_run() => format!("{}?", error.code()),
        Err(error) => error.code().to_string(),
    }
}

/// Makes a call in the way that each line names, and prints the outcome.
fn call(name: &str) {
    let plugin = Plugin::builder(name).connect().expect("the bus");
    let ways = Ways::open(&plugin).expect("opening");
    println!("ready");
    for way in lines() {
        println!("{}", word(ways.call(&way)));
    }
}

/// Calls a gate of its own through shared memory, and opens and closes it, from two threads, until its input ends.
fn load(name: &str) {
    let plugin = Plugin::builder(name).direct_calls(false).connect();
    let plugin = plugin.expect("the bus");
    let gate = format!("{name}.{LOAD}");
    let _gate = plugin.provide(&gate, |n: u64| n).expect("providing");
    println!("ready");
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let open = plugin.subscriber::<(u64,), u64>(&gate).expect("opening");
                open.invoke((1,)).expect("calling");
                // This makes fewer requests than a plugin is allowed.
                thread::sleep(Duration::from_millis(1));
            }
        });
        let open = plugin.subscriber::<(u64,), u64>(&gate).expect("opening");
        scope.spawn(move || {
            loop {
                open.invoke((1,)).expect("calling");
            }
        });
        lines().for_each(drop);
        std::process::exit(0);
    });
}

/// So many plugins, each of which calls the absent gate in a loop from a thread of its own. A line of input asks how
/// many calls the slowest of them has made. `end` makes each print whether it is still on the bus.
fn poll(name: &str, count: usize) {
    let (made, begin) = (
        Arc::new(Vec::from_iter((0..count).map(|_| AtomicU64::new(0)))),
        Arc::new(Barrier::new(count + 1)),
    );
    let mut plugins = Vec::new();
    for n in 0..count {
        let plugin = Plugin::builder(&format!("{name}-{n}"))
            .connect()
            .expect("the bus");
        let gate = plugin.subscriber::<(u64,), u64>(GATE).expect("opening");
        plugins.push(plugin);
        let (made, begin) = (made.clone(), begin.clone());
        thread::spawn(move || {
            begin.wait();
            loop {
                assert_eq!(code(gate.invoke((1,))), Code::NotReady);
                made[n].fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    println!("ready");
    for line in lines() {
        match line.as_str() {
            "begin" => {
                begin.wait();
                println!("begun");
            }
            "fewest" => {
                let fewest = made.iter().map(|made| made.load(Ordering::Relaxed)).min();
                println!("{}", fewest.unwrap_or(0));
            }
            "all" => {
                let all: u64 = made.iter().map(|made| made.load(Ordering::Relaxed)).sum();
                println!("{all}");
            }
            _ => {
                let ended = plugins
                    .iter()
                    .find_map(|plugin| plugin.wait_closed_for(Duration::ZERO));
                println!(
                    "{}",
                    ended.map_or("on the bus".to_owned(), |error| error.to_string())
                );
            }
        }
    }
    // The other threads still make calls.
    std::process::exit(0);
}

impl std::fmt::Debug for Ways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ways")
    }
}

/// The ways of running handlers.
pub const MODES: [&str; 4] = ["thread", "pool", "pump", "group"];

/// The same as values, for plugins of this process.
pub const DISPATCHES: [Dispatch; 3] = [Dispatch::Thread, Dispatch::Pool(3), Dispatch::Pump];
