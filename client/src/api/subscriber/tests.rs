use super::*;
use std::process::Command;

use callgate::Broker;

use crate::api::plugin::Plugin;

const PATIENCE: Duration = Duration::from_secs(20);
const GATE: &str = "Child.Double";
/// The test below that serves as the plugin's program.
const PROGRAM: &str = "api::subscriber::tests::plugin_process";

fn program() -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "--ignored", "--nocapture", PROGRAM]);
    program
}

/// The program of the plugin that the test below starts.
#[test]
#[ignore = "a program that another test starts"]
fn plugin_process() {
    // When all ignored tests are run, no host has started this one.
    if std::env::var_os("CALLGATE_FD").is_none() {
        return;
    }
    let plugin = Plugin::connect("child").unwrap();
    let _double = plugin.provide(GATE, |n: u32| 2 * n).unwrap();
    plugin.wait_closed();
}

/// A host kills a plugin, waits for its end, starts it again and waits for its gate. If the host's own control
/// thread had not yet read of the end, the gate counted as ready, and the next call went to the dead plugin.
#[test]
fn a_gate_whose_provider_has_ended_is_not_ready_before_the_news_of_it_is_read() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let socket = broker.connect().unwrap();
    let host = Plugin::builder("host")
        .descriptor(socket)
        .connect()
        .unwrap();
    let child = broker.spawn("child", program()).unwrap();
    let double = host.subscriber::<(u32,), u32>(GATE).unwrap();
    double.wait_ready(PATIENCE).unwrap();
    // Keeps the control thread from ending links.
    let membership = double.shared.state.membership();
    let links = membership.links.lock();
    child.kill().unwrap();
    assert!(child.wait(PATIENCE).unwrap().is_some());
    let error = double.wait_ready(Duration::ZERO).unwrap_err();
    assert_eq!(error.code(), Code::NotReady, "{error}");
    assert!(error.message().ends_with("has ended"), "{error}");
    drop(links);
    let _child = broker.spawn("child", program()).unwrap();
    double.wait_ready(PATIENCE).unwrap();
    assert_eq!(double.invoke((4,)).unwrap(), 8);
}
