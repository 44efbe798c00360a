//! The plugins of the plain model: everything that does not change.

/// How a dispatcher runs handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Thread,
    Pool(usize),
    /// A pump, whose thread also makes calls outside of handlers.
    Pump,
}

#[derive(Clone, Debug)]
pub(super) struct Dispatcher {
    pub(super) mode: Mode,
    pub(super) process: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    pub(super) limit: Option<usize>,
    pub(super) reentrant: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Plugin {
    /// Plugins of a group have the same one.
    pub(super) dispatcher: usize,
    pub(super) gates: Vec<Gate>,
}

/// Everything that does not change.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) dispatchers: Vec<Dispatcher>,
    pub(super) plugins: Vec<Plugin>,
    /// The dispatcher and the process of each thread.
    pub(super) threads: Vec<(Option<usize>, usize)>,
}

impl Setup {
    /// With the threads of all dispatchers, and some more that only visit.
    pub(super) fn new(dispatchers: Vec<Dispatcher>, plugins: Vec<Plugin>, more: &[usize]) -> Setup {
        let mut threads = Vec::new();
        for (number, dispatcher) in dispatchers.iter().enumerate() {
            let count = match dispatcher.mode {
                Mode::Pool(count) => count,
                Mode::Thread | Mode::Pump => 1,
            };
            threads.extend((0..count).map(|_| (Some(number), dispatcher.process)));
        }
        threads.extend(more.iter().map(|process| (None, *process)));
        Setup {
            dispatchers,
            plugins,
            threads,
        }
    }

    pub(super) fn mode_of(&self, plugin: usize) -> Mode {
        self.dispatchers[self.plugins[plugin].dispatcher].mode
    }

    pub(super) fn process_of(&self, plugin: usize) -> usize {
        self.dispatchers[self.plugins[plugin].dispatcher].process
    }

    pub(super) fn gate(&self, target: Target) -> Gate {
        self.plugins[target.plugin].gates[target.gate]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) plugin: usize,
    pub(super) gate: usize,
}
