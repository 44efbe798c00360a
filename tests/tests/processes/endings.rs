//! How processes that a host has started end: completely, and with a report in every case.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_tests::proc::{eventually, is_alive};
use callgate_tests::shorthand::await_that;
use callgate_tests::{PATIENCE, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{PEER, host, shell, starter};

/// A shell with a child, which writes their numbers into a directory. Neither ends by itself.
fn family(directory: &Path) -> Command {
    let mut family = shell(r#"sleep 1000 & echo $! >"$PIDS"; wait; wait; exit 1"#);
    family.env("PIDS", directory.join("pids"));
    family
}

fn grandchild(directory: &Path) -> u32 {
    eventually("the grandchild says its number", || {
        let text = std::fs::read_to_string(directory.join("pids")).unwrap_or_default();
        text.trim().parse().map_err(|_| text)
    })
}

/// Killing a child also kills the processes that it has started.
#[test]
fn killing_a_child_reaches_what_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _host) = host();
    let child = broker.spawn("P", family(directory.path())).unwrap();
    let grandchild = grandchild(directory.path());
    assert!(is_alive(grandchild));
    child.kill().unwrap();
    assert!(child.wait(PATIENCE).unwrap().is_some());
    await_that("the grandchild has ended", || !is_alive(grandchild));
    child.kill().expect("and killing nobody is no error");
}

/// The same if a program ends by itself.
#[test]
fn the_rest_of_a_group_ends_with_its_first_process() {
    let directory = tempfile::tempdir().unwrap();
    let (broker, _host) = host();
    let mut family = shell(r#"sleep 1000 & echo $! >"$PIDS"; exit 5"#);
    family.env("PIDS", directory.path().join("pids"));
    let child = broker.spawn("P", family).unwrap();
    let status = child.wait(PATIENCE).unwrap().expect("it has ended");
    assert_eq!(status.code(), Some(5));
    let grandchild = grandchild(directory.path());
    await_that("the grandchild has ended", || !is_alive(grandchild));
}

/// Stopping a broker also ends the processes that its children have started. They get time to end in order.
#[test]
fn stopping_reaches_what_children_started() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::builder().without_socket().start().unwrap();
    // The first ends at once; the second takes time to write its last words.
    let script = r#"sh -c 'trap "sleep 0.3; echo bye >\"$PIDS.bye\"; exit" TERM
            echo $$ >"$PIDS"; while :; do sleep 0.01; done' &
        wait; exit 1"#;
    let mut polite = shell(script);
    polite.env("PIDS", directory.path().join("pids"));
    let _child = broker.spawn("P", polite).unwrap();
    let grandchild = grandchild(directory.path());
    broker.stop();
    assert!(!is_alive(grandchild), "stop waits for it");
    let bye = directory.path().join("pids.bye");
    assert!(bye.exists(), "it had the time to say bye");

    let deaf = tempfile::tempdir().unwrap();
    let grace = Duration::from_millis(300);
    let broker = Broker::builder().without_socket().stop_grace(grace);
    let broker = broker.start().unwrap();
    let script = r#"sh -c 'trap "" TERM; echo $$ >"$PIDS"; while :; do sleep 0.01; done' & wait"#;
    let mut command = shell(script);
    command.env("PIDS", deaf.path().join("pids"));
    let _child = broker.spawn("P", command).unwrap();
    let grandchild = self::grandchild(deaf.path());
    let begun = Instant::now();
    broker.stop();
    assert!(begun.elapsed() < PATIENCE);
    await_that("the deaf one was killed", || !is_alive(grandchild));
}

/// If a host ignores SIGCHLD, the kernel reaps its children. The end of a child is still reported, and a kill never
/// reaches another process that has got the same number.
#[test]
fn the_end_is_told_where_sigchld_is_ignored() {
    let mut command = Command::new("/bin/sh");
    let script = r#"trap '' CHLD; exec "$0" starter P /bin/sh -c 'sleep 0.3; exit 7'"#;
    command.args(["-c", script, PEER]);
    let mut host = Process::spawn(command);
    let child: u32 = host.expect_line().parse().unwrap();
    let ignored = std::fs::read_to_string(format!("/proc/{}/status", host.id())).unwrap();
    let ignored = ignored
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    if ignored >> 16 & 1 == 0 {
        println!("skipped: this shell does not pass an ignored SIGCHLD on");
        return;
    }
    told(&host.ask("wait"), 7);
    assert!(!is_alive(child));
    assert_eq!(host.ask("kill"), "killed", "and killing nobody is no error");
    let ready = host.ask("ready");
    assert!(ready.contains("has ended"), "{ready}");
}

/// The end is also reported if the host reaps all its children itself.
#[test]
fn the_end_is_told_where_the_host_has_reaped_the_child() {
    let (mut host, child) = starter("P", &["/bin/sleep", "1000"]);
    host.say("reap");
    kill(Pid::from_raw(child as i32), Signal::SIGKILL).unwrap();
    // Either the broker or the host is first.
    assert!(host.expect_line().starts_with("reaped"));
    let waited = host.ask("wait");
    assert!(
        waited.contains("(9)") || waited.contains("nobody can tell"),
        "{waited}"
    );
}

/// An exit status, or, on kernels that no longer have it, only that it has ended.
fn told(outcome: &str, code: i32) {
    let is_known = outcome.contains(&format!("({})", code << 8));
    let is_ended = outcome.contains("has ended") && outcome.contains("nobody can tell");
    assert!(is_known || is_ended, "{outcome}");
}
