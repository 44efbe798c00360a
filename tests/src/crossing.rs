//! Plugins whose handlers meet, and then each call the next one's: a circle, where all of them can only handle
//! so many calls at a time as have met.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use callgate_client::{Dispatch, GateOptions, Group, Plugin, PluginBuilder, Provider, Result};

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

/// Provides `NAME.Leaf`, `NAME.Cross`, which meets the others and then calls the next one's leaf, and `NAME.Try`,
/// which calls that at once.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide(
    plugin: &Plugin,
    (name, next): (&str, &str),
    meeting: &Arc<Meeting>,
) -> Result<Vec<Provider>> {
    // Of a pool it may have all threads.
    let options = GateOptions::new().limit(2);
    plugin.set_gate_options(&format!("{name}.Cross"), options)?;
    let leaf = plugin.subscriber::<(u64,), u64>(&format!("{next}.Leaf"))?;
    let leaf = leaf.with_timeout(crate::PATIENCE);
    let own = plugin.provide(&format!("{name}.Leaf"), |n: u64| n + 1)?;
    let (attempt, met) = (leaf.clone(), meeting.clone());
    let attempt = plugin.provide(&format!("{name}.Try"), move || {
        attempt.invoke((1,)).is_ok_and(|two| two == 2)
    })?;
    let cross = plugin.provide(&format!("{name}.Cross"), move || -> Crossed {
        met.come();
        let start = Instant::now();
        let outcome = match leaf.invoke((1,)) {
            Ok(two) => format!("OK {two}"),
            Err(error) => error.to_string(),
        };
        (outcome, start.elapsed().as_micros() as u64)
    })?;
    Ok(vec![own, attempt, cross])
}

/// Is one of them in a process: arguments are its mode and the next one's name. For each line of input it waits
/// for the number of its handlers that stands there, and says so, or lets them go where it is `go`.
///
/// # Errors
///
/// As [`provide`].
pub fn run(name: &str, mode: &str, next: &str) -> Result<()> {
    let (plugin, _group) = connect(Plugin::builder(name), mode)?;
    let meeting = Arc::new(Meeting::default());
    let _gates = provide(&plugin, (name, next), &meeting)?;
    println!("ready");
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let over = is_over.clone();
    let obey = move || {
        for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
            match line.parse() {
                Ok(count) => meeting.await_coming(count),
                Err(_) => meeting.go(),
            }
            println!("done");
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    match dispatch(mode) {
        Dispatch::Pump => {
            let obeying = std::thread::spawn(obey);
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                plugin.pump(Instant::now() + Duration::from_millis(20))?;
            }
            let _ = obeying.join();
        }
        _ => obey(),
    }
    Ok(())
}
