//! A plugin that a thread pumps all the time, if its way of running handlers needs that.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callgate_client::{Dispatch, Plugin};

/// A plugin whose calls are served with every [`Dispatch`]. It is closed when this is dropped.
#[derive(Debug)]
pub struct Pumped {
    plugin: Arc<Plugin>,
    pump: Option<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl Pumped {
    /// Takes a plugin that was built with this dispatch.
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
            // If pumping failed, the calls that nobody answered show it.
            let _ = pump.join();
        }
    }
}
