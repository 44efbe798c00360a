//! A bus, a provider in some mode, and a caller with other types.

use callgate_client::{Arguments, GateType, Plugin, Subscriber};
use callgate_tests::shorthand::open;
use callgate_tests::types::{Stage, provide};
use callgate_tests::{Bus, Process, programs};

/// All modes of a provider. In the last one it is in this process, and runs its handlers on the caller's thread.
pub(crate) const MODES: [&str; 5] = ["thread", "pool", "pump", "group", "direct"];

/// Both sides of the calls.
pub(crate) struct Scene {
    pub(crate) caller: Plugin,
    provider: Provider,
    pub(crate) bus: Bus,
}

enum Provider {
    There(Process),
    /// Withdrawn before the plugin closes.
    Here(
        Stage,
        #[expect(dead_code, reason = "it is kept open")] Plugin,
    ),
}

impl Scene {
    /// A scene with a provider `S` in a mode, and a caller `T`.
    pub(crate) fn new(mode: &str) -> Scene {
        let bus = Bus::start(programs!());
        let provider = match mode {
            "direct" => {
                let plugin = bus
                    .builder("S")
                    .direct_calls(true)
                    .connect()
                    .expect("the bus");
                Provider::Here(provide(&plugin, "S").expect("the gates are free"), plugin)
            }
            _ => Provider::There(bus.peer("types", "S", &[mode])),
        };
        let caller = bus.builder("T").direct_calls(true).connect();
        Scene {
            caller: caller.expect("the bus"),
            provider,
            bus,
        }
    }

    pub(crate) fn open<A: Arguments, R: GateType>(&self, gate: &str) -> Subscriber<A, R> {
        open(&self.caller, gate)
    }

    /// The sum of the arguments with which the provider's action was called.
    pub(crate) fn notes(&mut self) -> u64 {
        match &mut self.provider {
            Provider::There(process) => process.ask("notes").parse().expect("a number"),
            Provider::Here(stage, _) => stage.notes(),
        }
    }

    /// The number of a gate's calls that arrived as JSON, from the listing of the bus.
    pub(crate) fn json_calls(&self, gate: &str) -> u64 {
        let listing = self.caller.list().expect("a listing");
        let gates = listing["gates"].as_array().expect("a list");
        let found = gates
            .iter()
            .find(|one| one["name"] == gate)
            .expect("the gate");
        found["json_calls"]
            .as_u64()
            .unwrap_or_else(|| panic!("{found}"))
    }
}
