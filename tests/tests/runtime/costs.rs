//! What plugins on pipes cost the process of the runtime: threads and descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use callgate_tests::{Bus, Process, proc, programs};
use serde_json::json;

use crate::scene::Scene;

/// Descriptors of a process, by what they are of.
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

/// A host of so many plugins that echo, all of which are ready.
fn host_of(count: usize) -> Scene {
    let mut scene = Scene::new();
    for number in 0..count {
        scene.plugin(&format!("p{number}"), "echo", &json!({}));
    }
    scene.start(Duration::from_secs(10));
    scene.await_all_ready();
    scene
}

/// How many descriptors more a process has at rest.
fn more(before: usize, pid: u32) -> usize {
    proc::Holdings::at_rest(pid).descriptors - before
}

/// Plugins on pipes cost the runtime few threads, and a few descriptors each: what a host has for them, less what the broker has
/// for plugins of a group elsewhere.
fn cost(count: usize) {
    let bus = Bus::start_open(programs!());
    let broker = bus.broker.as_ref().expect("it runs").id();
    let before = proc::Holdings::at_rest(broker).descriptors;
    let crowd = bus.peer_command("stdio-crowd", "p", &[&count.to_string()]);
    let mut crowd = Process::spawn(crowd);
    assert_eq!(crowd.expect_line(), "ready");
    let of_the_broker = more(before, broker);

    let mut empty = host_of(0);
    let empty_pid = empty.host().id();
    let before = proc::Holdings::at_rest(empty_pid).descriptors;
    let mut full = host_of(count);
    let pid = full.host().id();
    let of_all = more(before, pid);
    let (without, with) = (threads(empty_pid), threads(pid));
    println!(
        "{count} plugins: {of_all} descriptors, {of_the_broker} of them the broker's; {:?}",
        kinds(pid)
    );
    println!("threads: {with:?}, and without plugins {without:?}");

    // The broker has one for the group, too.
    let of_the_runtime = of_all - of_the_broker.min(of_all);
    assert!(of_the_runtime <= 5 * count + 8, "{of_the_runtime}");
    let is_the_brokers =
        |name: &&String| name.starts_with("callgate-broker") || name.starts_with("callgate-peer");
    let own: Vec<_> = with.iter().filter(|name| !is_the_brokers(name)).collect();
    assert!(own.len() <= 8, "{own:?}");
    assert_eq!(with.len(), without.len(), "threads for plugins");
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
