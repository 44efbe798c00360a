//! A bus with the suite's provider in some mode, and a caller.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Scope};
use std::time::{Duration, Instant};

use callgate::{Broker, Builder};
use callgate_client::{Arguments, CancelToken, Code, Dispatch, GateType, Plugin, Subscriber};
use callgate_tests::shorthand::{self, await_that};
use callgate_tests::suite::{self, Stage};
use callgate_tests::{Bus, Process, programs};

/// A timeout that the test lets pass, or a time in which nothing may happen.
pub(crate) const SHORT: Duration = Duration::from_millis(15);

/// Where the provider's handlers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Thread,
    Pool,
    Pump,
    /// On one thread with another plugin of its group.
    Group,
    /// On the caller's thread, in the caller's process.
    Direct,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Thread | Mode::Direct => "thread",
            Mode::Pool => "pool",
            Mode::Pump => "pump",
            Mode::Group => "group",
        }
    }

    /// How many handlers can run at once.
    pub(crate) fn threads(self) -> usize {
        match self {
            Mode::Pool => 3,
            _ => 1,
        }
    }
}

/// A bus, and the two sides of a call: the plugin `T` in this process, and `S`.
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    pub(crate) caller: Arc<Plugin>,
    provider: Mutex<Option<Provider>>,
    /// The broker, if it is in the test's process.
    _broker: Option<Arc<Broker>>,
    pub(crate) bus: Bus,
}

/// The suite's provider.
enum Provider {
    There(Process),
    Here(Here),
}

impl Setup {
    /// A setup with the provider, ready to be called.
    pub(crate) fn new(mode: Mode) -> Setup {
        let setup = Setup::vacant(mode);
        setup.begin();
        setup
    }

    /// A setup without a provider until [`Setup::begin`].
    pub(crate) fn vacant(mode: Mode) -> Setup {
        Setup::on(Bus::start(programs!()), None, mode)
    }

    /// As [`Setup::new`], with a broker in this process, so that the test can set the policy.
    pub(crate) fn ruled(
        mode: Mode,
        rules: impl FnOnce(Builder) -> Builder,
    ) -> (Setup, Arc<Broker>) {
        let bus = Bus::without_broker(programs!());
        let broker = rules(Broker::builder().socket(bus.socket())).start();
        let broker = Arc::new(broker.expect("the place is free"));
        let setup = Setup::on(bus, Some(broker.clone()), mode);
        setup.begin();
        (setup, broker)
    }

    fn on(bus: Bus, broker: Option<Arc<Broker>>, mode: Mode) -> Setup {
        let caller = bus.builder("T").direct_calls(true).connect();
        Setup {
            mode,
            caller: Arc::new(caller.expect("the bus")),
            provider: Mutex::default(),
            _broker: broker,
            bus,
        }
    }

    /// Starts the provider where the mode needs it.
    pub(crate) fn begin(&self) {
        match self.mode {
            Mode::Direct => self.begin_here(),
            _ => self.begin_there("suite"),
        }
    }

    /// Starts the provider in a process of its own.
    pub(crate) fn begin_there(&self, role: &str) {
        let process = self.bus.peer(role, "S", &[self.mode.name()]);
        self.put(Provider::There(process));
    }

    /// Starts the provider in this process.
    pub(crate) fn begin_here(&self) {
        let dispatch = suite::dispatch(self.mode.name());
        let builder = self.bus.builder("S").direct_calls(true).dispatch(dispatch);
        let stage = Stage::open(builder.connect().expect("the bus"));
        self.put(Provider::Here(Here::new(
            stage.expect("the gates are free"),
            dispatch,
        )));
    }

    fn put(&self, provider: Provider) {
        let old = self.provider.lock().unwrap().replace(provider);
        assert!(old.is_none(), "one provider at a time");
    }

    /// Ends the provider and waits until the broker knows it. A process is ended by SIGKILL.
    pub(crate) fn end(&self) {
        drop(self.provider.lock().unwrap().take());
        self.await_end();
    }

    /// Ends the provider in order: a process ends by itself, with success.
    pub(crate) fn end_in_order(&self) {
        if let Some(Provider::There(mut process)) = self.provider.lock().unwrap().take() {
            process.close_input();
            assert!(process.wait().success(), "it did not end well");
        }
        self.await_end();
    }

    /// Waits until the plugin is gone, although its process may live on.
    pub(crate) fn await_end(&self) {
        let is_there = |listing: serde_json::Value| {
            let plugins = listing["plugins"].as_array().expect("a list");
            plugins.iter().any(|plugin| plugin["name"] == "S")
        };
        await_that("the plugin is gone", || {
            !is_there(self.caller.list().expect("a listing"))
        });
    }

    /// Sends a line to the provider's process, and returns its answer; `None` if it has no process.
    pub(crate) fn ask(&self, line: &str) -> Option<String> {
        match &mut *self.provider.lock().unwrap() {
            Some(Provider::There(process)) => Some(process.ask(line)),
            _ => None,
        }
    }

    /// The number of the provider's process.
    pub(crate) fn pid(&self) -> u32 {
        match &*self.provider.lock().unwrap() {
            Some(Provider::There(process)) => process.id(),
            _ => std::process::id(),
        }
    }

    /// The provider's plugin, if it is in this process.
    pub(crate) fn plugin_here(&self) -> Option<Arc<Plugin>> {
        match &*self.provider.lock().unwrap() {
            Some(Provider::Here(here)) => here.stage.plugin(),
            _ => None,
        }
    }

    /// Keeps all threads that run the provider's handlers busy until the token is cancelled.
    pub(crate) fn occupy<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        token: &CancelToken,
    ) {
        let hang = self.open::<(), ()>("S.UntilCancelled").with_cancel(token);
        for _ in 0..self.mode.threads() {
            let hang = hang.clone();
            scope.spawn(move || hang.invoke(()).unwrap_err());
        }
        let who = self.open::<(), String>("S.Who").with_timeout(SHORT);
        await_that("all threads are busy", || {
            who.invoke(())
                .is_err_and(|error| error.code() == Code::Timeout)
        });
    }

    /// A gate of the suite, ready to be called.
    pub(crate) fn open<A: Arguments, R: GateType>(&self, gate: &str) -> Subscriber<A, R> {
        shorthand::open(&self.caller, gate)
    }
}

/// The provider in this process, with a thread that pumps if the mode needs that.
struct Here {
    stage: Arc<Stage>,
    is_over: Arc<AtomicBool>,
    pump: Option<JoinHandle<()>>,
}

impl Here {
    fn new(stage: Arc<Stage>, dispatch: Dispatch) -> Here {
        let is_over = Arc::new(AtomicBool::new(false));
        let (own, over) = (stage.clone(), is_over.clone());
        let pump = move || {
            while !over.load(Ordering::Relaxed) {
                let until = Instant::now() + Duration::from_millis(20);
                own.pump(until).expect("this thread pumps");
            }
        };
        Here {
            stage,
            is_over,
            pump: (dispatch == Dispatch::Pump).then(|| thread::spawn(pump)),
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(pump) = self.pump.take() {
            pump.join().expect("no panic");
        }
    }
}
