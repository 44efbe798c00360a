//! Services whose process is killed while they write.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use callgate::Broker;
use callgate_client::Plugin;
use callgate_client::dynamic::{Gate, Sent, open_json};
use callgate_services::{Limits, Services};
use serde_json::json;
use tempfile::TempDir;

use crate::scene::PATIENCE;

/// How many keys are set at a time.
const KEYS: usize = 12;

const FOLDER: &str = "CALLGATE_SERVICES_TEST_FOLDER";

/// The process that is killed runs this: it sets values one after the other, and prints which were confirmed.
#[test]
#[ignore = "a part of the test below"]
fn sets_until_it_is_killed() {
    let Ok(folder) = env::var(FOLDER) else {
        return;
    };
    let broker = Broker::builder()
        .without_socket()
        .start()
        .expect("a broker");
    let socket = broker.connect().expect("a connection");
    let services = Services::builder(folder)
        .descriptor(socket)
        .limits(Limits::default().bytes(40_000));
    let services = services.start();
    let _services = services.expect("services");
    let socket = broker.connect().expect("a connection");
    let plugin = Plugin::builder("chat").descriptor(socket).connect();
    let plugin = plugin.expect("it joins");
    let kv = open_json(&plugin, "data.kv").expect("a gate");
    let kv = kv.with_timeout(PATIENCE);
    for n in first(&kv) + 1.. {
        // Several at once, so that some are written together, and among them one that is refused.
        let mut sets: Vec<_> = (0..KEYS).map(|key| (key, send(&kv, key, n))).collect();
        let long = json!({"method": "set", "key": "long", "value": "x".repeat(50_000)});
        let refused = kv.send_values(&[long]).expect("it is sent");
        // The last ones first: none is confirmed before it is written.
        while let Some((key, set)) = sets.pop() {
            set.wait().expect("it is set");
            println!("has set {key} {n}");
        }
        refused.wait().expect_err("it is over the quota");
    }
}

/// Sends the value of a round.
fn send(kv: &Gate, key: usize, n: u64) -> Sent {
    let value = json!({"n": n, "text": n.to_string().repeat(200)});
    let set = json!({"method": "set", "key": format!("value-{key}"), "value": value});
    kv.send_values(&[set]).expect("it is sent")
}

/// Checks that the stored values are whole and prints them. Returns the last complete round.
fn first(kv: &Gate) -> u64 {
    kv.wait_ready(PATIENCE).expect("it is provided");
    let found = (0..KEYS).map(|key| {
        let get = json!({"method": "get", "key": format!("value-{key}")});
        let value = kv.call_values(&[get]).expect("the store is whole");
        let n = value["n"].as_u64().unwrap_or(0);
        if n > 0 {
            assert_eq!(value["text"], n.to_string().repeat(200));
        }
        println!("has found {key} {n}");
        n
    });
    found.max().unwrap_or(0)
}

/// A child process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The key and the round in a line, after these words. The test harness may have printed something before them in the
/// line.
fn said(line: &str, words: &str) -> Option<(usize, u64)> {
    let (key, n) = line.split_once(words)?.1.trim().split_once(' ')?;
    Some((key.parse().ok()?, n.parse().ok()?))
}

/// Every confirmed value is found whole after a kill, also if several were written together.
#[test]
fn a_process_that_is_killed_while_it_sets_leaves_the_last_value_whole() {
    let folder = TempDir::new().expect("a folder");
    let mut last = [0; KEYS];
    for round in 0..20 {
        let child = Command::new(env::current_exe().expect("a path"))
            .args(["--exact", "kills::sets_until_it_is_killed"])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = Killed(child.expect("it starts"));
        let output = child.0.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let highest = last.iter().copied().max().unwrap_or(0);
        for _ in 0..KEYS {
            let found = lines.by_ref().find_map(|line| said(&line, "has found "));
            let (key, found) = found.expect("it finds the store whole");
            // Values that were being written when it was killed may be there or not.
            let told = last[key];
            assert!(
                found == told || (told..=highest + 1).contains(&found),
                "{key}: {found} after {told}"
            );
        }
        let mut sets = lines.by_ref().filter_map(|line| said(&line, "has set "));
        // Kills it at another moment each time.
        for _ in 0..KEYS + 7 * (round % 5) {
            let (key, n) = sets.next().expect("it sets values");
            last[key] = n;
        }
        child.0.kill().expect("it is killed");
        // What it had confirmed by then.
        for (key, n) in sets {
            last[key] = n;
        }
    }
}
