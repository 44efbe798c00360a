//! A bus with the suite's provider in some mode, and a caller.

use std::sync::Arc;

use callgate_client::{Arguments, GateType, Plugin, Subscriber};
use callgate_tests::{Bus, Process, programs, shorthand, suite};

/// A bus, and the two sides of a call.
pub(crate) struct Setup {
    pub(crate) caller: Arc<Plugin>,
    pub(crate) is_direct: bool,
    /// Handlers that sleep keep others from running, but in a pool.
    pub(crate) is_pool: bool,
    _provider: Provider,
    pub(crate) bus: Bus,
}

/// Held until the end.
enum Provider {
    There(#[allow(dead_code, reason = "ends when it is dropped")] Process),
    Here(
        #[allow(dead_code, reason = "the gates first")] Box<dyn Send>,
        #[allow(dead_code, reason = "then their plugin")] Arc<Plugin>,
    ),
}

impl Setup {
    pub(crate) fn new(mode: &str) -> Setup {
        let bus = Bus::start(programs!());
        let is_direct = mode == "direct";
        let provider = if is_direct {
            let plugin = bus.builder("S").direct_calls(true).connect();
            let plugin = Arc::new(plugin.expect("the bus"));
            let gates = suite::provide(&plugin).expect("the gates are free");
            Provider::Here(gates, plugin)
        } else {
            Provider::There(bus.peer("suite", "S", &[mode]))
        };
        Setup {
            caller: Arc::new(
                bus.builder("T")
                    .direct_calls(true)
                    .connect()
                    .expect("the bus"),
            ),
            is_direct,
            is_pool: mode == "pool",
            _provider: provider,
            bus,
        }
    }

    /// A gate of the suite, ready to be called.
    pub(crate) fn open<A: Arguments, R: GateType>(&self, gate: &str) -> Subscriber<A, R> {
        shorthand::open(&self.caller, gate)
    }
}
