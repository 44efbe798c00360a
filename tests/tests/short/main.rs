//! Processes that run out of something: descriptors, address space, standard streams.
#![forbid(unsafe_code)]

mod descriptors;
mod events;
mod host;
mod limits;
mod shares;
mod space;
mod standard;

use callgate_client::{Payload, Plugin, Provider};
use callgate_tests::{Bus, Process, programs};

/// A program that obeys commands; see `callgate_tests::cramped`.
pub(crate) fn cramped(bus: &Bus) -> Process {
    let mut process = Process::spawn(bus.peer_command("cramped", "cramped", &[]));
    assert_eq!(process.expect_line(), "ready");
    process
}

/// Gives a command that must succeed.
#[track_caller]
pub(crate) fn tell(process: &mut Process, command: &str) {
    let answer = process.ask(command);
    assert_eq!(answer, "ok", "{command}");
}

/// An error about missing descriptors, which names the process and its limit.
#[track_caller]
pub(crate) fn expect_short(error: &str, pid: u32) {
    let named = error.contains(&format!("process {pid} may have"));
    assert!(named && error.contains("RLIMIT_NOFILE"), "{error}");
    assert!(error.starts_with("SYSTEM"), "{error}");
}

/// A plugin of the test with a gate of each kind.
pub(crate) fn provider(bus: &Bus, name: &str) -> (Plugin, [Provider; 2]) {
    let plugin = bus.plugin(name);
    let add = plugin.provide(&format!("{name}.Add"), |a: u64, b: u64| a + b);
    let raw = plugin.provide_raw(&format!("{name}.Raw"), |_, bytes: Payload<'_>| {
        bytes.len() as u64
    });
    (plugin, [add.expect("providing"), raw.expect("providing")])
}

/// The programs that Cargo built for these tests.
pub(crate) fn bus() -> Bus {
    Bus::start(programs!())
}
