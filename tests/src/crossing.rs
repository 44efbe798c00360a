//! Plugins whose handlers meet, and then each call the next plugin. The calls form a circle, in which every plugin
//! already runs as many calls as it can at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use callgate_client::{
    Dispatch, GateOptions, GateType, Group, Plugin, PluginBuilder, Provider, Result, Subscriber,
};

/// The outcome of the call that a handler makes to the next plugin, `OK` or the error, and how many microseconds it
/// took.
pub type Crossed = (String, u64);

/// A place where handlers wait for each other.
#[derive(Debug, Default)]
pub struct Meeting {
    /// How many handlers have come, and how many times they were released.
    state: Mutex<(u64, u64)>,
    change: Condvar,
}

impl Meeting {
    fn lock(&self) -> std::sync::MutexGuard<'_, (u64, u64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts this handler, and waits until the handlers are released.
    fn come(&self) {
        let mut state = self.lock();
        let before = state.1;
        state.0 += 1;
        self.change.notify_all();
        let until = Instant::now() + crate::PATIENCE;
        while state.1 == before && Instant::now() < until {
            let waited = self.change.wait_timeout(state, Duration::from_secs(1));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until this many handlers have come.
    pub fn await_coming(&self, count: u64) {
        let mut state = self.lock();
        let until = Instant::now() + crate::PATIENCE;
        while state.0 < count {
            assert!(Instant::now() < until, "they never came");
            let waited = self.change.wait_timeout(state, Duration::from_secs(1));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Releases all handlers.
    pub fn go(&self) {
        let mut state = self.lock();
        *state = (0, state.1 + 1);
        self.change.notify_all();
    }
}

/// How a plugin runs its handlers: `thread`, `group`, `pool` or `pump`.
pub fn dispatch(mode: &str) -> Dispatch {
    match mode {
        "pool" => Dispatch::Pool(2),
        other => crate::suite::dispatch(other),
    }
}

/// How many of a plugin's handlers run at a time.
pub fn at_a_time(mode: &str) -> u64 {
    match mode {
        "pool" => 2,
        _ => 1,
    }
}

/// Connects a plugin in a mode; returns its group, too, if it has one.
///
/// # Errors
///
/// As [`PluginBuilder::connect`].
pub fn connect(builder: PluginBuilder, mode: &str) -> Result<(Plugin, Option<Group>)> {
    let group = match mode {
        "group" => Some(Group::new()?),
        _ => None,
    };
    let builder = match &group {
        Some(group) => builder.group(group),
        None => builder.dispatch(dispatch(mode)),
    };
    Ok((builder.connect()?, group))
}

/// The gates of other plugins that a plugin calls, all of one kind, by the other plugins' numbers.
struct Others<R: GateType> {
    gate: &'static str,
    own: Weak<Plugin>,
    known: Mutex<BTreeMap<u64, Subscriber<(u64,), R>>>,
}

impl<R: GateType> Others<R> {
    fn new(gate: &'static str, own: &Arc<Plugin>) -> Others<R> {
        Others {
            gate,
            own: Arc::downgrade(own),
            known: Mutex::default(),
        }
    }

    /// The gate of a plugin; opens it if it is not open yet.
    fn of(&self, next: u64) -> Option<Subscriber<(u64,), R>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = known.get(&next) {
            return Some(other.clone());
        }
        drop(known);
        let gate = format!("{}.{}", name(next), self.gate);
        let other: Subscriber<_, _> = self.own.upgrade()?.subscriber(&gate).ok()?;
        let other = other.with_timeout(crate::PATIENCE);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Some(known.entry(next).or_insert(other).clone())
    }
}

/// The name of the plugin with this number.
pub fn name(n: u64) -> String {
    format!("P{n}")
}

/// The number that makes [`NARROW`] call nobody.
pub const NOBODY: u64 = u64::MAX;

/// A gate with one call at a time. Its handler meets the others and then calls that gate of the next plugin.
pub const NARROW: &str = "Narrow";

/// The outcome of the call to the next plugin, and the time that it took.
fn crossed<T: std::fmt::Display>(call: impl FnOnce() -> Result<T>) -> Crossed {
    let start = Instant::now();
    let outcome = match call() {
        Ok(value) => format!("OK {value}"),
        Err(error) => error.to_string(),
    };
    (outcome, start.elapsed().as_micros() as u64)
}

fn provide_narrow(plugin: &Arc<Plugin>, name: &str, meeting: &Arc<Meeting>) -> Result<Provider> {
    let gate = format!("{name}.{NARROW}");
    plugin.set_gate_options(&gate, GateOptions::new().limit(1))?;
    let (others, meeting) = (Others::<Crossed>::new(NARROW, plugin), meeting.clone());
    plugin.provide(&gate, move |next: u64| -> Crossed {
        if next == NOBODY {
            return ("2".to_owned(), 0);
        }
        let other = others.of(next).expect("it can be opened");
        other.wait_ready(crate::PATIENCE).expect("its provider");
        meeting.come();
        crossed(|| Ok(other.invoke((NOBODY,))?.0))
    })
}

/// Provides `NAME.Leaf`; `NAME.Cross`, which meets the others and then calls the leaf of the plugin with the given
/// number; `NAME.Try`, which calls that leaf at once; and [`NARROW`].
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide(plugin: &Arc<Plugin>, name: &str, meeting: &Arc<Meeting>) -> Result<Vec<Provider>> {
    // In a pool these calls may take all threads.
    let options = GateOptions::new().limit(2);
    plugin.set_gate_options(&format!("{name}.Cross"), options)?;
    let leaves = Arc::new(Others::<u64>::new("Leaf", plugin));
    let leaf = plugin.provide(&format!("{name}.Leaf"), |n: u64| n + 1)?;
    let all = leaves.clone();
    let attempt = plugin.provide(&format!("{name}.Try"), move |next: u64| {
        let leaf = all.of(next);
        leaf.is_some_and(|leaf| leaf.invoke((1,)).is_ok_and(|two| two == 2))
    })?;
    let met = meeting.clone();
    let cross = plugin.provide(&format!("{name}.Cross"), move |next: u64| -> Crossed {
        let leaf = leaves.of(next).expect("it was tried before");
        met.come();
        crossed(|| leaf.invoke((1,)))
    })?;
    let narrow = provide_narrow(plugin, name, meeting)?;
    Ok(vec![leaf, attempt, cross, narrow])
}

/// Is one of these plugins in a process, in a mode. A number on a line of input makes it wait until so many of its
/// handlers have come, and confirm that. The line `go` releases them.
///
/// # Errors
///
/// As [`provide`].
pub fn run(name: &str, mode: &str) -> Result<()> {
    let (plugin, _group) = connect(Plugin::builder(name), mode)?;
    let (plugin, meeting) = (Arc::new(plugin), Arc::<Meeting>::default());
    let _gates = provide(&plugin, name, &meeting)?;
    println!("ready");
    let is_over = Arc::<AtomicBool>::default();
    let over = is_over.clone();
    let obey = move || {
        for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
            match line.parse() {
                Ok(count) => meeting.await_coming(count),
                Err(_) => meeting.go(),
            }
            println!("done");
        }
        over.store(true, Ordering::Relaxed);
    };
    match dispatch(mode) {
        Dispatch::Pump => {
            let obeying = std::thread::spawn(obey);
            pump(&plugin, &is_over)?;
            let _ = obeying.join();
        }
        _ => obey(),
    }
    Ok(())
}

/// Pumps until `is_over` is set.
///
/// # Errors
///
/// As [`Plugin::pump`].
pub fn pump(plugin: &Plugin, is_over: &AtomicBool) -> Result<()> {
    while !is_over.load(Ordering::Relaxed) {
        plugin.pump(Instant::now() + Duration::from_millis(20))?;
    }
    Ok(())
}
