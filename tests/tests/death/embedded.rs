//! Hosts with a broker inside them, and the plugins that they start.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use callgate::Broker;
use callgate_client::{Code, Plugin};
use callgate_tests::restart::Told;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{PATIENCE, Process, programs};

/// A plugin of a host. It ends when its input does.
fn plugin(role: &str, name: &str) -> Command {
    let mut command = Command::new(programs!().peer);
    command
        .args([role, name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    command.env_remove("CALLGATE_SOCKET");
    command
}

fn host() -> (Broker, Plugin) {
    let broker = Broker::builder()
        .without_socket()
        .start()
        .expect("a broker");
    let connection = broker.connect().expect("a connection");
    let host = Plugin::builder("host")
        .direct_calls(false)
        .descriptor(connection)
        .connect();
    (broker, host.expect("its own bus"))
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
    // A process whose status nobody has taken stays in the list, but does nothing any more.
    state.is_some_and(|state| state != b'Z' && state != b'X')
}

/// A host can kill a plugin, wait for its end, and start it again.
#[test]
fn a_plugin_is_killed_waited_for_and_started_again() {
    let (broker, host) = host();
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    for n in 0..3 {
        let child = broker.spawn("P", plugin("provider", "P")).unwrap();
        add.wait_ready(PATIENCE).unwrap();
        assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
        assert!(child.try_wait().unwrap().is_none());
        assert!(child.wait(Duration::ZERO).unwrap().is_none());
        child.kill().unwrap();
        let status = child.wait(PATIENCE).unwrap().expect("it was killed");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
        assert_eq!(child.try_wait().unwrap(), Some(status), "and says so again");
        child
            .kill()
            .expect("one that has ended is not killed again");
        await_that("the gate is gone", || {
            code(add.invoke((1, 1))) == Code::NotReady
        });
    }
    assert_eq!(broker.snapshot().unwrap().plugins.len(), 1);
}

/// Plugins end with the broker of their host.
#[test]
fn plugins_end_with_their_broker() {
    let (broker, host) = host();
    let told = Told::by(&host);
    let child = broker.spawn("P", plugin("provider", "P")).unwrap();
    let idle = broker.spawn("Idle", plugin("idle", "Idle")).unwrap();
    let add = open::<(u64, u64), u64>(&host, "P.Add");
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    broker.stop();
    assert_eq!(told.lost().code(), Code::BrokerGone);
    for child in [child, idle] {
        assert!(child.wait(PATIENCE).unwrap().is_some(), "it was ended");
        assert!(!is_alive(child.id()));
    }
    await_that("the gate is gone", || !add.has_function());
}

/// Plugins end when their host is killed.
#[test]
fn plugins_end_with_their_host() {
    let mut host = Process::start(programs!().peer, &["host", "P"], Path::new("/nowhere"));
    assert_eq!(host.expect_line(), "ready");
    let child: u32 = host.expect_line().parse().unwrap();
    assert!(is_alive(child));
    host.kill();
    await_that("the plugin has ended", || !is_alive(child));
}

/// Only the started program can use the connection, and only under the name that its host chose.
#[test]
fn a_connection_is_only_for_what_was_started_and_under_its_name() {
    let (broker, host) = host();
    // The host starts the shell. Its child may be the plugin, and the connection can be used once.
    let mut shell = Command::new("sh");
    let script = r#""$0" idle P 2>/dev/null; "$0" idle P 2>/dev/null; exit 7"#;
    shell.args(["-c", script, programs!().peer]);
    shell.stdin(Stdio::null());
    shell.stdout(Stdio::null()).stderr(Stdio::null());
    let child = broker.spawn("P", shell).unwrap();
    let status = child.wait(PATIENCE).unwrap().expect("both have ended");
    assert_eq!(status.code(), Some(7));
    child.wait_ready(PATIENCE).expect("the first had connected");
    // A plugin with another name than the one that its host chose.
    let mut other = plugin("idle", "Other");
    other.stderr(Stdio::null());
    let other = broker.spawn("P", other).unwrap();
    let status = other.wait(PATIENCE).unwrap().expect("it was refused");
    assert!(!status.success());
    let names: Vec<_> = broker
        .snapshot()
        .unwrap()
        .plugins
        .into_iter()
        .map(|p| p.name)
        .collect();
    assert_eq!(names, ["host"]);
    drop(host);
}

/// Two brokers in one process do not mix up their plugins.
#[test]
fn two_brokers_in_one_process_are_two_buses() {
    let ((first, one), (second, two)) = (host(), host());
    let _a = one.provide("Same.Gate", || 1_u8).unwrap();
    let _b = two.provide("Same.Gate", || 2_u8).unwrap();
    let connect = |broker: &Broker| {
        Plugin::builder("guest")
            .direct_calls(false)
            .descriptor(broker.connect().unwrap())
            .connect()
            .unwrap()
    };
    let (guest, other) = (connect(&first), connect(&second));
    assert_eq!(open::<(), u8>(&guest, "Same.Gate").invoke(()).unwrap(), 1);
    assert_eq!(open::<(), u8>(&other, "Same.Gate").invoke(()).unwrap(), 2);
}
