//! Services whose process is killed in the middle of what they write.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use callgate::Broker;
use callgate_client::Plugin;
use callgate_client::dynamic::open_json;
use callgate_services::Services;
use serde_json::json;
use tempfile::TempDir;

use crate::scene::PATIENCE;

const FOLDER: &str = "CALLGATE_SERVICES_TEST_FOLDER";

/// What the process that is killed does: sets values one after the other, and says which have been set.
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
    let services = Services::builder(folder).descriptor(socket).start();
    let _services = services.expect("services");
    let socket = broker.connect().expect("a connection");
    let plugin = Plugin::builder("chat").descriptor(socket).connect();
    let plugin = plugin.expect("it joins");
    let kv = open_json(&plugin, "data.kv").expect("a gate");
    let kv = kv.with_timeout(PATIENCE);
    for n in first(&kv) + 1.. {
        let value = json!({"n": n, "text": n.to_string().repeat(2_000)});
        let set = json!({"method": "set", "key": "value", "value": value});
        kv.call_values(&[set]).expect("it is set");
        println!("has set {n}");
    }
}

/// What was set last, whole.
fn first(kv: &callgate_client::dynamic::Gate) -> u64 {
    kv.wait_ready(PATIENCE).expect("it is provided");
    let get = json!({"method": "get", "key": "value"});
    let value = kv.call_values(&[get]).expect("the store is whole");
    let n = value["n"].as_u64().unwrap_or(0);
    if n > 0 {
        assert_eq!(value["text"], n.to_string().repeat(2_000));
    }
    println!("has found {n}");
    n
}

/// Kills it when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_that_is_killed_while_it_sets_leaves_the_last_value_whole() {
    let folder = TempDir::new().expect("a folder");
    let mut last = 0;
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
        // What the line says behind the words that the test's own harness may have before them.
        let number = |line: &str, words: &str| -> Option<u64> {
            line.split_once(words)?.1.trim().parse().ok()
        };
        let found = lines.by_ref().find_map(|line| number(&line, "has found "));
        // The one under way when it was killed may be there or not.
        let found = found.expect("it finds the store whole");
        assert!(found == last || found == last + 1, "{found} after {last}");
        let mut sets = lines.by_ref().filter_map(|line| number(&line, "has set "));
        last = sets.nth(round % 5).expect("it sets values");
        child.0.kill().expect("it is killed");
        // What it had said by then.
        last = sets.last().unwrap_or(last);
    }
}
