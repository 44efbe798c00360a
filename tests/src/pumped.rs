//! A plugin that is pumped all the while, if it has to be.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callgate_client::{Dispatch, Plugin};

/// A plugin whose calls are served whatever its [`Dispatch`]; closed when it is dropped.
#[derive(Debug)]
pub struct Pumped {
    plugin: Arc<Plugin>,
    pump: Option<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl Pumped {
    /// Takes a plugin that was built with this way of running handlers.
    pub fn new(plugin: Plugin, dispatch: Dispatch) -> Pumped {
        let plugin = Arc::new(plugin);
        let is_over = Arc::new(AtomicBool::new(false));
        let pump = (dispatch == Dispatch::Pump).then(|| {
            let (plugin, is_over) = (plugin.clone(), is_over.clone());
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let until = Instant::now() + Duration::from_millis(5);
                    plugin.pump(until).expect("it was built to be pumped");
                }
            })
        });
        Pumped {
            plugin,
            pump,
            is_over,
        }
    }
}

impl Deref for Pumped {
    type Target = Plugin;

    fn deref(&self) -> &Plugin {
        &self.plugin
    }
}

impl Drop for Pumped {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(pump) = self.pump.take() {
            // What went wrong in it is said by the calls that nobody answered.
            let _ = pump.join();
        }
    }
}
