//! A host in a process of its own: what it holds, what it does while nothing happens, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use callgate::supervision::State;
use callgate_runtime::{Builder, Runtime};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::life::is_alive;
use crate::scene::{PATIENCE, READY, Scene, await_that, reach, told};

/// How many plugins the hosts of these tests have.
const PLUGINS: usize = 12;

/// A process with a broker and a runtime. Killed when dropped.
struct Host {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Host {
    /// Starts a host, and waits until all of its plugins are ready.
    fn start(scene: &Scene) -> Host {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callgate-scripted"));
        command.arg(format!("host {}", scene.all().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // The folder in which it counts its starts.
        command.current_dir(scene.all());
        let mut child = command.spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut host = Host { child, lines };
        host.await_ready();
        host
    }

    fn await_ready(&mut self) {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
    }

    /// Restarts all plugins.
    fn restart_all(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"again\n").expect("it reads");
        self.await_ready();
    }

    fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(path).expect("it lives").count()
    }

    /// Its threads with their names, and how many times each has slept.
    fn threads(&self) -> Vec<(String, u64)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it lives");
        let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
        let all = tasks.flatten().filter_map(status).map(|status| {
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().trim().to_owned()
            };
            let sleeps = field("voluntary_ctxt_switches:").parse().unwrap_or(0);
            (field("Name:"), sleeps)
        });
        all.collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plugins that write their process numbers into a file of their folders.
fn scene_of(steps: &[&str]) -> Scene {
    let scene = Scene::new();
    for number in 0..PLUGINS {
        scene.plugin(&format!("p{number}"), steps);
    }
    scene
}

fn pids(scene: &Scene, file: &str) -> Vec<u32> {
    let of = |number: usize| {
        let path = scene.folder(&format!("p{number}")).join(file);
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.parse().ok())
            .collect::<Vec<u32>>()
    };
    (0..PLUGINS).flat_map(of).collect()
}

/// When a host is killed, its plugins end, even though they hold its pipes.
#[test]
fn plugins_end_with_a_host_that_is_killed() {
    let scene = scene_of(&["append pid ${pid}", "ignore SIGTERM", READY, "idle", "hang"]);
    let host = Host::start(&scene);
    let pids = pids(&scene, "pid");
    assert_eq!(pids.len(), PLUGINS);
    kill(Pid::from_raw(host.child.id() as i32), Signal::SIGKILL).unwrap();
    for pid in pids {
        await_that("it ends", || (!is_alive(pid)).then_some(()));
    }
}

#[test]
fn plugins_end_with_a_host_that_ends() {
    let scene = scene_of(&["append pid ${pid}", READY, "idle"]);
    let mut host = Host::start(&scene);
    let pids = pids(&scene, "pid");
    drop(host.child.stdin.take());
    assert!(host.child.wait().unwrap().success());
    assert!(!pids.into_iter().any(is_alive));
}

/// A host has few threads for all plugins, and restarts leave no descriptors open.
#[test]
fn a_host_has_few_threads_and_restarts_leave_nothing_open() {
    let scene = scene_of(&[READY, "serve"]);
    let mut host = Host::start(&scene);
    host.restart_all();
    let before = host.descriptors();
    for _ in 0..5 {
        host.restart_all();
    }
    let after = host.descriptors();
    assert!(after <= before + 2, "{before} {after}");
    let threads = host.threads();
    let named = |name: &str| threads.iter().filter(|(found, _)| found == name).count();
    assert_eq!(
        ["callgate-runtim", "callgate-work", "callgate-asks"].map(named),
        [1, 1, 1],
        "{threads:?}"
    );
    // The main thread, the broker's and its helpers, the runtime's three, the client's three.
    assert!(threads.len() <= 12, "{threads:?}");
    println!("{PLUGINS} plugins: {after} descriptors, {threads:?}");
}

/// A host does nothing while nothing happens: a loop that polled would use a part of a core for ever.
#[test]
fn a_host_sleeps_while_nothing_happens() {
    let scene = scene_of(&[READY, "serve"]);
    let host = Host::start(&scene);
    // Threads that have just been started may still have work.
    std::thread::sleep(Duration::from_millis(500));
    let sleeps = || -> u64 {
        let threads = host.threads().into_iter();
        let names = ["callgate-runtim", "callgate-work", "callgate-asks"];
        let own = threads.filter(|(name, _)| names.contains(&&**name));
        own.map(|(_, sleeps)| sleeps).sum()
    };
    let before = sleeps();
    std::thread::sleep(Duration::from_secs(2));
    let woken = sleeps() - before;
    // Each plugin gets a ping every ten seconds.
    assert!(woken <= 4 * PLUGINS as u64, "woken {woken} times");
}

/// A runtime whose broker has ended ends its plugins, without waiting for answers that cannot come.
#[test]
fn a_runtime_whose_broker_has_gone_ends_its_plugins_all_the_same() {
    let scene = scene_of(&["append pid ${pid}", READY, "idle"]);
    let runtime = scene.start();
    for number in 0..PLUGINS {
        reach(&runtime, &format!("p{number}"), State::Ready);
    }
    let pids = pids(&scene, "pid");
    assert_eq!(pids.len(), PLUGINS);
    let begun = Instant::now();
    scene.broker.stop();
    runtime.stop();
    assert!(begun.elapsed() < PATIENCE);
    assert!(!pids.into_iter().any(is_alive));
}

/// A plugin that is no longer on a bus is ended, although it answers pings: nobody can call it.
#[test]
fn a_plugin_that_is_on_no_bus_any_more_is_ended() {
    let scene = Scene::new();
    scene.plugin("clock", &[READY, "idle"]);
    let runtime = scene.start();
    let pid = reach(&runtime, "clock", State::Ready).supervision.pid;
    scene.broker.stop();
    // There is no bus for its next lives either.
    let status = reach(&runtime, "clock", State::Quarantined);
    assert_eq!(status.supervision.pid, None);
    assert!(!is_alive(pid.unwrap()));
    told(&runtime, "clock", "NOT_ON_BUS");
}

#[test]
fn handles_can_be_used_from_any_thread() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Runtime>();
    is_shared::<Builder>();
}
