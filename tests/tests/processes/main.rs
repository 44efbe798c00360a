//! Processes that a host starts: which of them is the plugin, how they end, and what a fork inherits.
#![forbid(unsafe_code)]

mod dumps;
mod endings;
mod forks;
mod hangs;
mod inherited;
mod last_words;
mod orphans;
mod starting;
mod supervised;
mod watched;

use std::path::Path;
use std::process::{Command, Stdio};

use callgate::Broker;
use callgate_client::Plugin;
use callgate_tests::{Process, programs};

/// The program of the test's plugins.
const PEER: &str = programs!().peer;

/// An embedded broker and its host as a plugin.
fn host() -> (Broker, Plugin) {
    let broker = Broker::builder().without_socket().start();
    let broker = broker.expect("a broker");
    let host = Plugin::builder("host").descriptor(broker.connect().expect("a connection"));
    (broker, host.connect().expect("its own bus"))
}

/// A program without input, whose output this test does not see.
fn quiet(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.env_remove("CALLGATE_SOCKET");
    command
}

/// A plugin of this name with the gates of a provider.
fn provider(name: &str) -> Command {
    let mut command = quiet(PEER, &["provider", name]);
    // It ends when its input does.
    command.stdin(Stdio::piped());
    command
}

/// A shell that runs a script, with the peer's program as `$0`.
fn shell(script: &str) -> Command {
    quiet("/bin/sh", &["-c", script, PEER])
}

/// A host in a process of its own that starts a program; and the number of that program.
fn starter(name: &str, program: &[&str]) -> (Process, u32) {
    let mut arguments = vec!["starter", name];
    arguments.extend(program);
    let mut host = Process::start(PEER, &arguments, Path::new("/nowhere"));
    let child = host.expect_line();
    (host, child.parse().unwrap_or_else(|_| panic!("{child}")))
}
