//! Plugins whose handlers meet, and then each call the next one's: a circle, where all of them can only handle
//! so many calls at a time as have met.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use callgate_client::{
    Dispatch, GateOptions, Group, Plugin, PluginBuilder, Provider, Result, Subscriber,
};

/// What the call of a handler to the next plugin came to: `OK`, or the error; and how many microseconds that
/// took.
pub type Crossed = (String, u64);

/// Where handlers wait for each other.
#[derive(Debug, Default)]
pub struct Meeting {
    /// How many have come, and how many times they were let go.
    state: Mutex<(u64, u64)>,
    change: Condvar,
}

impl Meeting {
    fn lock(&self) -> std::sync::MutexGuard<'_, (u64, u64)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is let go.
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

    /// Waits until so many have come.
    pub fn await_coming(&self, count: u64) {
        let mut state = self.lock();
        let until = Instant::now() + crate::PATIENCE;
        while state.0 < count {
            assert!(Instant::now() < until, "they never came");
            let waited = self.change.wait_timeout(state, Duration::from_secs(1));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets all go.
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

/// How many of its handlers run at a time.
pub fn at_a_time(mode: &str) -> u64 {
    match mode {
        "pool" => 2,
        _ => 1,
    }
}

/// Connects a plugin in a mode; with a group, where it is in one.
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

/// The gates of others that a plugin calls, by their numbers.
#[derive(Default)]
struct Leaves(Mutex<BTreeMap<u64, Subscriber<(u64,), u64>>>);

impl Leaves {
    /// The leaf of a plugin, which is opened if it is not.
    fn of(&self, plugin: &Weak<Plugin>, next: u64) -> Option<Subscriber<(u64,), u64>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = known.get(&next) {
            return Some(leaf.clone());
        }
        drop(known);
        let leaf = plugin
            .upgrade()?
            .subscriber(&format!("{}.Leaf", name(next)));
        let leaf: Subscriber<_, _> = leaf.ok()?.with_timeout(crate::PATIENCE);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(known.entry(next).or_insert(leaf).clone())
    }
}

/// The name of a plugin with a number.
pub fn name(n: u64) -> String {
    format!("P{n}")
}

/// Provides `NAME.Leaf`; `NAME.Cross`, which meets the others and then calls the leaf of the one that it is told;
/// and `NAME.Try`, which calls that at once.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide(plugin: &Arc<Plugin>, name: &str, meeting: &Arc<Meeting>) -> Result<Vec<Provider>> {
    // Of a pool it may have all threads.
    let options = GateOptions::new().limit(2);
    plugin.set_gate_options(&format!("{name}.Cross"), options)?;
    let (leaves, own) = (Arc::<Leaves>::default(), Arc::downgrade(plugin));
    let leaf = plugin.provide(&format!("{name}.Leaf"), |n: u64| n + 1)?;
    let (all, this) = (leaves.clone(), own.clone());
    let attempt = plugin.provide(&format!("{name}.Try"), move |next: u64| {
        let leaf = all.of(&this, next);
        leaf.is_some_and(|leaf| leaf.invoke((1,)).is_ok_and(|two| two == 2))
    })?;
    let met = meeting.clone();
    let cross = plugin.provide(&format!("{name}.Cross"), move |next: u64| -> Crossed {
        let leaf = leaves.of(&own, next).expect("it was tried before");
        met.come();
        let start = Instant::now();
        let outcome = match leaf.invoke((1,)) {
            Ok(two) => format!("OK {two}"),
            Err(error) => error.to_string(),
        };
        (outcome, start.elapsed().as_micros() as u64)
    })?;
    Ok(vec![leaf, attempt, cross])
}

/// Is one of them in a process, in a mode. For each line of input it waits for the number of its handlers that
/// stands there, and says so, or lets them go where it is `go`.
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

/// Pumps until it is over.
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
