//! Plugins that the broker starts, and the host as a plugin.
//!
//! The plugin process is this test program, run again.

use std::process::Command;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate::listing::{PluginEntry, Transport};
use callgate_layout::Code;
use callgate_layout::control::{SessionToPlugin, ToPlugin};
use callgate_layout::invitation;

use crate::support::{PATIENCE, Peer, SHORT, code_of, eventually};

const NAME: &str = "CALLGATE_TEST_NAME";

/// Not a test, but the plugin that the other tests start. It says hello and reads on until the broker hangs up. Its exit code is the code
/// of the failure that it was told at the end.
#[test]
fn plugin_process() {
    let Ok(name) = std::env::var(NAME) else {
        return;
    };
    let mut peer = Peer::on(invitation::take().unwrap().unwrap());
    peer.hello(&name);
    while let Ok(Some((record, _))) = peer.next_within(4 * PATIENCE) {
        if let ToPlugin::Session(SessionToPlugin::Ended(failure)) = record {
            std::process::exit(failure.code.into());
        }
    }
    std::process::exit(99);
}

fn plugin(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["spawn::plugin_process", "--exact", "--nocapture"]);
    command.env(NAME, name).stdout(std::process::Stdio::null());
    command
}

fn embedded() -> Broker {
    Broker::builder().without_socket().start().unwrap()
}

fn listed(broker: &Broker) -> Vec<PluginEntry> {
    broker.snapshot().unwrap().plugins
}

/// A host must be able to start a plugin, to see it, and to end it.
#[test]
fn a_plugin_is_started_seen_and_killed() {
    let broker = embedded();
    assert_eq!(broker.socket(), None);
    let child = broker.spawn("filter", plugin("filter")).unwrap();
    eventually("the plugin is there", || listed(&broker).len() == 1);
    let entry = &listed(&broker)[0];
    assert_eq!(
        (entry.pid, entry.name.as_str()),
        (Some(child.id()), "filter")
    );
    assert_eq!(entry.transport, Transport::Shm);
    assert_eq!(child.try_wait().unwrap(), None);
    assert_eq!(child.wait(Duration::from_millis(20)).unwrap(), None);
    child.kill().unwrap();
    let status = child.wait(PATIENCE).unwrap().expect("it still runs");
    assert!(!status.success());
    eventually("the plugin is gone", || listed(&broker).is_empty());
    child.kill().unwrap();
    let again = broker.spawn("filter", plugin("filter")).unwrap();
    assert_ne!(again.id(), child.id());
}

/// A plugin must not take another name than its host gave it, and so pass for another plugin.
#[test]
fn a_plugin_bears_the_name_it_was_given() {
    let broker = embedded();
    let child = broker.spawn("filter", plugin("delay")).unwrap();
    let status = child.wait(PATIENCE).unwrap().unwrap();
    assert_eq!(status.code(), Some(Code::PermissionDenied as i32));
    assert!(listed(&broker).is_empty());
    assert!(broker.spawn("", plugin("")).is_err());
    let missing = broker.spawn("x", Command::new("/no/such/program"));
    let why = missing.unwrap_err().to_string();
    assert!(
        why.contains("`x`") && why.contains("/no/such/program"),
        "{why}"
    );
}

/// A plugin that is started through a wrapper must be able to connect: the shell is the process that was started, and its child is the
/// plugin.
#[test]
fn a_child_of_the_started_process_may_say_hello() {
    let broker = embedded();
    let inner = plugin("filter");
    let mut shell = Command::new("/bin/sh");
    // The command is not the shell's last one, so that the shell does not become it by exec.
    shell.args(["-c", "\"$0\" \"$@\"; exit $?"]);
    shell.arg(inner.get_program()).args(inner.get_args());
    shell
        .env(NAME, "filter")
        .stdout(std::process::Stdio::null());
    let child = broker.spawn("filter", shell).unwrap();
    eventually("the plugin is there", || {
        let plugins = listed(&broker);
        plugins.len() == 1 && plugins[0].pid != Some(child.id())
    });
    child.kill().unwrap();
    eventually("the plugin is gone", || listed(&broker).is_empty());
}

/// Another process must not become the plugin because the connection was passed on to it.
#[test]
fn only_the_started_process_and_its_children_may_say_hello() {
    let broker = embedded();
    let inner = plugin("filter");
    let mut shell = Command::new("/bin/sh");
    // A process in the background of a shell that has ended is a child of nobody that the host knows.
    let script = r#"
        ( sh -c 'parent() { sed -n "s/^PPid:[^0-9]*//p" "/proc/$1/status"; }
            while [ "$(parent "$(parent $$)")" = "$0" ]; do sleep 0.01; done
            exec "$@"' "$$" "$0" "$@" & )
        exec sleep 1000"#;
    shell.args(["-c", script]);
    shell.arg(inner.get_program()).args(inner.get_args());
    shell
        .env(NAME, "filter")
        .stdout(std::process::Stdio::null());
    let child = broker.spawn("filter", shell).unwrap();
    let why = child.wait_ready(PATIENCE).unwrap_err().to_string();
    assert!(why.contains("PERMISSION_DENIED"), "{why}");
    assert!(why.contains(&format!("pid {}", child.id())), "{why}");
    assert!(listed(&broker).is_empty());
}

/// A broker that ends must not leave processes behind, not even those that ignore signals.
#[test]
fn children_end_with_the_broker() {
    let broker = Broker::builder().without_socket().stop_grace(SHORT);
    let broker = broker.start().unwrap();
    let polite = broker.spawn("polite", plugin("polite")).unwrap();
    let mut sleeper = Command::new("/bin/sleep");
    sleeper.arg("1000");
    let sleeper = broker.spawn("sleeper", sleeper).unwrap();
    let mut deaf = Command::new("/bin/sh");
    deaf.args(["-c", "trap '' TERM; echo; while :; do sleep 0.01; done"]);
    deaf.stdout(std::process::Stdio::null());
    let deaf = broker.spawn("deaf", deaf).unwrap();
    eventually("the polite one is there", || !listed(&broker).is_empty());
    let before = Instant::now();
    drop(broker);
    assert!(before.elapsed() < PATIENCE);
    for child in [polite, sleeper, deaf] {
        assert!(child.try_wait().unwrap().is_some());
    }
}

/// A host takes part like any plugin, without a socket in the file system.
#[test]
fn the_host_takes_part_itself() {
    let broker = embedded();
    let mut host = Peer::on(broker.connect().unwrap());
    host.join("host");
    eventually("the host is there", || listed(&broker).len() == 1);
    assert_eq!(listed(&broker)[0].transport, Transport::InProcess);
    broker.stop();
    assert_eq!(code_of(&host.ended()), Code::BrokerGone);
}

/// Another plugin that says the name of a plugin which is only starting would take its place.
#[test]
fn a_name_that_was_given_is_kept() {
    let bus = crate::support::bus();
    let mut sleeper = Command::new("sleep");
    sleeper.arg("60");
    let child = bus.broker.spawn("filter", sleeper).unwrap();
    let mut peer = bus.connect();
    peer.hello("filter");
    let failure = peer.ended();
    assert_eq!(code_of(&failure), Code::NameTaken);
    let pid = format!("pid {}", child.id());
    assert!(failure.message.contains(&pid), "{failure:?}");
    child.kill().unwrap();
    child.wait(PATIENCE).unwrap();
    eventually("the name is free", || {
        let mut peer = bus.connect();
        peer.hello("filter");
        let first = peer.record();
        matches!(first, ToPlugin::Session(SessionToPlugin::Welcome { .. }))
    });
}
