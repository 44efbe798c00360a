//! How many threads and descriptors plugins on pipes cost the process of the runtime.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use callgate_tests::{Bus, Process, proc, programs};
use serde_json::json;

use crate::scene::Scene;

/// The descriptors of a process, counted by the kind of their files.
fn kinds(pid: u32) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for name in proc::names_of_descriptors(pid) {
        // `pipe:[12]`, `anon_inode:[pidfd]`, `/memfd:NAME (deleted)`, a path.
        let kind = match name.split_once(":[") {
            Some((kind, number)) if number.starts_with(|c: char| c.is_ascii_digit()) => kind,
            Some((_, kind)) => kind.trim_end_matches(']'),
            None => name.split(' ').next().unwrap_or(&name),
        };
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    kinds
}

/// Names of a process's threads.
fn threads(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    let names = tasks.flatten().filter_map(name);
    names.map(|name| name.trim().to_owned()).collect()
}

/// A host of so many echoing plugins, all of which are ready.
fn host_of(count: usize) -> Scene {
    let mut scene = Scene::new();
    for number in 0..count {
        scene.plugin(&format!("p{number}"), "echo", &json!({}));
    }
    scene.start(Duration::from_secs(10));
    scene.await_all_ready();
    scene
}

/// The resources that a process holds at rest, less those that it held before or that another one holds.
fn beyond(before: &BTreeMap<String, usize>, pid: u32) -> BTreeMap<String, usize> {
    proc::Holdings::at_rest(pid);
    let mut now = kinds(pid);
    for (kind, count) in &mut now {
        *count -= (*count).min(before.get(kind).copied().unwrap_or(0));
    }
    now.retain(|_, count| *count > 0);
    now
}

fn sum(kinds: &BTreeMap<String, usize>) -> usize {
    kinds.values().sum()
}

/// The descriptors of the broker for so many plugins of another process. It watches that process with one descriptor
/// for each of them, which plugins of its own process do not need.
fn of_the_broker(count: usize) -> BTreeMap<String, usize> {
    let bus = Bus::start_open(programs!());
    let broker = bus.broker.as_ref().expect("it runs").id();
    let before = kinds(broker);
    let crowd = bus.peer_command("stdio-crowd", "p", &[&count.to_string()]);
    let mut crowd = Process::spawn(crowd);
    assert_eq!(crowd.expect_line(), "ready");
    let mut held = beyond(&before, broker);
    held.remove("pidfd");
    held
}

/// Plugins on pipes cost the runtime few threads, and five descriptors each: what a host holds for them, less what a
/// broker holds for as many plugins.
fn cost(count: usize) {
    let of_the_broker = of_the_broker(count);
    let (mut empty, mut full) = (host_of(0), host_of(count));
    let (empty, pid) = (empty.host().id(), full.host().id());
    proc::Holdings::at_rest(empty);
    let of_all = beyond(&kinds(empty), pid);
    println!("{count} plugins: {of_all:?}, of them the broker's {of_the_broker:?}");
    let (with, without) = (threads(pid), threads(empty));
    println!("threads: {with:?}, without plugins {without:?}");

    assert!(sum(&of_the_broker) >= count, "the broker has none");
    let of_the_runtime = sum(&of_all) - sum(&of_the_broker);
    assert!(of_the_runtime <= 5 * count, "{of_the_runtime} for {count}");
    assert_eq!(with.len(), without.len(), "threads for plugins");
    let is_the_brokers = |name: &&String| name.starts_with("callgate-broker");
    let own: Vec<_> = with.iter().filter(|name| !is_the_brokers(name)).collect();
    assert!(own.len() <= 8, "{own:?}");
}

#[test]
fn forty_plugins_cost_few_threads_and_five_descriptors_each() {
    cost(40);
}

#[test]
#[ignore = "starts 200 processes"]
fn two_hundred_plugins_cost_few_threads_and_five_descriptors_each() {
    cost(200);
}
