//! The gates of the conformance suite. They are the same in a process of their own, in each dispatch mode, and in the
//! test's process.

mod answering;
pub mod chaining;
mod changing;
pub mod later;
pub mod reentrant;
mod timing;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use callgate_client::dynamic::Responder;
use callgate_client::{Dispatch, Group, Plugin, Provider, Result, Subscriber};

/// A plugin with all gates of the suite, and the state that they share.
#[derive(Debug, Default)]
pub struct Stage {
    /// The field stands before the plugin, so that the gates are withdrawn first.
    providers: Mutex<Vec<(&'static str, Provider)>>,
    /// `None` after a handler has closed it.
    plugin: Mutex<Option<Arc<Plugin>>>,
    runs: AtomicU64,
    saw_cancel: AtomicBool,
    /// When a handler saw that no caller waited any more, in nanoseconds of the monotonic clock.
    noticed: AtomicU64,
    /// How many handlers run of the gate that has one call at a time.
    alone: AtomicU64,
    is_busy: AtomicBool,
    pumped: AtomicU64,
    /// The responders of calls whose answers are held back.
    held: Mutex<Vec<Responder>>,
    /// The outcomes of calls made by a handler that had less time than those calls.
    outcomes: Mutex<Vec<String>>,
}

/// Locks a mutex even if a handler has panicked while holding it: panics are part of the suite.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    /// Provides all gates of the suite, as long as the returned stage lives.
    ///
    /// # Errors
    ///
    /// As [`Plugin::provide`].
    pub fn open(plugin: Plugin) -> Result<Arc<Stage>> {
        let plugin = Arc::new(plugin);
        let stage = Arc::new(Stage {
            plugin: Mutex::new(Some(plugin.clone())),
            ..Stage::default()
        });
        answering::provide(&plugin, &stage)?;
        chaining::provide(&plugin, &stage)?;
        timing::provide(&plugin, &stage)?;
        changing::provide(&plugin, &stage)?;
        later::provide(&plugin, &stage)?;
        reentrant::provide(&plugin, &stage)?;
        Ok(stage)
    }

    /// The plugin, unless it has closed. A caller that holds it keeps it from closing.
    pub fn plugin(&self) -> Option<Arc<Plugin>> {
        lock(&self.plugin).clone()
    }

    /// Pumps once, and counts what was served. That the plugin has closed is no error.
    ///
    /// # Errors
    ///
    /// As [`Plugin::pump`].
    pub fn pump(&self, deadline: Instant) -> Result<()> {
        if let Some(plugin) = self.plugin() {
            let served = plugin.pump(deadline)?;
            self.pumped.fetch_add(served as u64, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Withdraws what was provided under a name; returns whether there was anything.
    fn withdraw(&self, name: &str) -> bool {
        let mut all = lock(&self.providers);
        let place = all.iter().position(|(other, _)| *other == name);
        let gone = place.map(|place| all.remove(place));
        // The provider is dropped after the lock is released.
        drop(all);
        gone.is_some()
    }

    fn keep(&self, name: &'static str, provider: Provider) {
        lock(&self.providers).push((name, provider));
    }

    /// Obeys a line of the process's input, and returns the answer.
    fn obey(&self, line: &str, turn: &Subscriber<(), ()>) -> String {
        match line {
            "pumped" => self.pumped.load(Ordering::SeqCst).to_string(),
            "pump" => self.pump_idly(),
            // This holds no handle of the plugin, so that a handler may close it meanwhile.
            "turn" => match turn.with_timeout(crate::PATIENCE).invoke(()) {
                Ok(()) => "OK".to_owned(),
                Err(error) => error.code().to_string(),
            },
            other => format!("what is {other}?"),
        }
    }

    /// Pumps for a while with nothing to serve: how many pumps that were, in how many milliseconds.
    fn pump_idly(&self) -> String {
        let start = Instant::now();
        let outcome = self
            .plugin()
            .map(|plugin| plugin.pump(start + Duration::from_millis(50)));
        match outcome {
            Some(Ok(served)) => format!("{served} {}", start.elapsed().as_millis()),
            Some(Err(error)) => error.code().to_string(),
            None => "it has closed".to_owned(),
        }
    }
}

/// A handler's reference to its stage. It does not keep the plugin from closing.
type Own = Weak<Stage>;

/// The dispatch that the suite's arguments name.
pub fn dispatch(mode: &str) -> Dispatch {
    match mode {
        "thread" | "group" => Dispatch::Thread,
        "pool" => Dispatch::Pool(3),
        "pump" => Dispatch::Pump,
        other => panic!("unknown mode {other}"),
    }
}

/// Another plugin of the suite's group. It stays when the suite's plugin closes.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn neighbour(group: &Group, of: &str) -> Result<Plugin> {
    let name = format!("{of}-neighbour");
    let plugin = Plugin::builder(&name).group(group).connect()?;
    plugin.provide(&format!("{name}.Echo"), |n: u64| n)?.keep();
    Ok(plugin)
}

/// Is the suite's provider: prints `ready`, and serves until its input ends. Each line of input is a question, which
/// is answered by a line: `pumped`, `pump` or `turn`.
///
/// # Errors
///
/// As [`Stage::open`].
pub fn serve(plugin: Plugin, mode: &str) -> Result<()> {
    let is_pump = dispatch(mode) == Dispatch::Pump;
    let turn = plugin.subscriber::<(), ()>("T.Turn")?;
    let stage = Stage::open(plugin)?;
    let lines = lines();
    say_nothing_of_panics();
    println!("ready");
    loop {
        let wait = match is_pump {
            true => {
                stage.pump(Instant::now() + Duration::from_millis(20))?;
                Duration::ZERO
            }
            false => crate::PATIENCE,
        };
        match lines.recv_timeout(wait) {
            Ok(line) => println!("{}", stage.obey(&line, &turn)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Prints nothing when the suite's handlers panic: a million messages would fill a disk.
pub fn say_nothing_of_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location();
        if !place.is_some_and(|place| place.file().ends_with(answering::FILE)) {
            before(panic);
        }
    }));
}

/// The lines of this process's input.
fn lines() -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
