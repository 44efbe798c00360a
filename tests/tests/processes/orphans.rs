//! The children of a host that is killed.

use callgate_tests::proc::{eventually, is_alive};
use callgate_tests::shorthand::await_that;

use super::{PEER, starter};

/// A plugin that connects on a thread which then ends still ends with its host: the kernel's signal at the parent's
/// death belongs to a thread.
#[test]
fn a_plugin_that_connected_on_a_thread_ends_with_its_host() {
    let (mut host, child) = starter("P", &[PEER, "on-a-thread", "P"]);
    assert_eq!(host.ask("ready"), "ready");
    host.kill();
    await_that("the plugin has ended", || !is_alive(child));
}

/// A program that never connects ends with its host, although it asks for no signal.
#[test]
fn a_program_that_never_connects_ends_with_its_host() {
    let (host, child) = starter("P", &["/bin/sleep", "1000"]);
    assert!(is_alive(child));
    host.kill();
    await_that("the program has ended", || !is_alive(child));
}

/// The kernel's signal reaches only the wrapper; the plugin notices the host's end itself.
#[test]
fn a_wrapped_plugin_ends_with_its_host() {
    let (mut host, child) = starter("P", &["/bin/sh", "-c", r#""$0" endless P; exit 1"#, PEER]);
    assert_eq!(host.ask("ready"), "ready");
    let plugin: u32 = eventually("the plugin's number", || {
        let line = host.ask("who");
        line.parse().map_err(|_| line)
    });
    assert_ne!(plugin, child);
    assert!(is_alive(plugin));
    host.kill();
    await_that("both have ended", || !is_alive(plugin) && !is_alive(child));
}
