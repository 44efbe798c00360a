//! Roles of `callgate-peer` for tests of processes: hosts that start programs, programs that connect in unusual ways,
//! and programs that fork.

use std::future::Future;
use std::io::BufRead;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use callgate::{Broker, Child};
use callgate_client::{Plugin, PluginBuilder, dynamic, signature_of};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, daemon};

use crate::PATIENCE;

/// Plays a role if it is one of these.
pub fn play(role: &str, name: &str, more: &[String]) -> bool {
    match role {
        "starter" => starter(name, more),
        "connector" => connector(name),
        "connect-and-run" => connect_and_run(name, more),
        "on-a-thread" => on_a_thread(name),
        "forked-host" => forked_host(),
        "forked-borrower" => forked_borrower(name),
        "forked-sender" => forked_sender(name),
        _ => return false,
    }
    true
}

/// Prints a text as one line, with line breaks replaced.
fn say(text: &str) {
    println!("{}", text.replace('\n', " "));
}

fn lines() -> impl Iterator<Item = String> {
    std::io::stdin().lock().lines().map_while(Result::ok)
}

/// An embedded broker that starts a program under a name, prints its number, and does what its input says.
fn starter(name: &str, program: &[String]) {
    let broker = Broker::builder().without_socket().start();
    let broker = broker.expect("a broker");
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = match broker.spawn(name, command) {
        Ok(child) => child,
        Err(error) => return say(&format!("not started: {error}")),
    };
    say(&child.id().to_string());
    for line in lines() {
        let outcome = match line.as_str() {
            "ready" => child.wait_ready(PATIENCE).map(|()| "ready".to_owned()),
            "kill" => child.kill().map(|()| "killed".to_owned()),
            "wait" => child.wait(PATIENCE).map(|status| format!("{status:?}")),
            "reap" => Ok(reap(&child)),
            "who" => Ok(plugin_pid(&broker)),
            other => panic!("unknown line {other}"),
        };
        say(&outcome.unwrap_or_else(|error| format!("error: {error}")));
    }
}

/// Takes the exit status of the broker's child before the broker does, if it can.
fn reap(child: &Child) -> String {
    let pid = Pid::from_raw(child.id() as i32);
    match waitpid(pid, Some(WaitPidFlag::empty())) {
        Ok(status) => format!("reaped {status:?}"),
        Err(errno) => format!("reaped elsewhere: {errno}"),
    }
}

fn plugin_pid(broker: &Broker) -> String {
    let plugins = broker.snapshot().expect("it runs").plugins;
    plugins[0].pid.expect("it runs").to_string()
}

/// Connects, prints the outcome, and tries again.
fn connector(name: &str) {
    let attempt = || Plugin::builder(name).timeout(PATIENCE).connect();
    let said = |outcome: &callgate_client::Result<Plugin>| match outcome {
        Ok(_) => say("connected"),
        Err(error) => say(&error.to_string()),
    };
    let first = attempt();
    said(&first);
    said(&attempt());
    lines().for_each(drop);
}

/// Connects, runs a program, and ends when its host does.
fn connect_and_run(name: &str, program: &[String]) {
    let plugin = Plugin::connect(name).expect("the bus");
    let status = Command::new(&program[0]).args(&program[1..]).status();
    assert!(status.expect("it runs").success());
    plugin.wait_closed();
}

/// Connects on a thread that ends, and then does nothing, even when its input ends.
fn on_a_thread(name: &str) {
    let name = name.to_owned();
    let plugin = std::thread::spawn(move || Plugin::connect(&name).expect("the bus"));
    let _plugin = plugin.join().expect("it does not panic");
    std::thread::sleep(3 * PATIENCE);
}

/// Starts a broker at the socket, forks, and prints in the child what becomes of the broker there.
fn forked_host() {
    let socket = std::env::var_os("CALLGATE_SOCKET").expect("a socket");
    let broker = Broker::builder().socket(socket).start();
    let broker = broker.expect("a broker");
    // The parent exits. This is safe code that forks and does not exec.
    daemon(true, true).expect("forking");
    say(&std::process::id().to_string());
    say(&format!(
        "{:?}",
        broker.snapshot().map_err(|error| error.to_string())
    ));
    say(&format!("{}", broker.is_running()));
    drop(broker);
    say("dropped");
    lines().for_each(drop);
}

fn builder(name: &str) -> PluginBuilder {
    Plugin::builder(name).keep_idle(Duration::from_secs(60))
}

/// Borrows memory of a gate, waits until its provider is gone, forks, fills the addresses of the maps with the
/// child's own memory, and drops everything that it has inherited.
fn forked_borrower(name: &str) {
    let plugin = builder(name).connect().expect("the bus");
    let provided = plugin.provide(&format!("{name}.Echo"), |n: u64| n);
    let raw = plugin.raw_subscriber::<u64>("H.Raw").expect("opening");
    raw.wait_ready(PATIENCE).expect("its provider");
    let mut loans: Vec<_> = (0..4).map(|_| raw.loan(1 << 20).expect("a loan")).collect();
    loans.iter_mut().for_each(|loan| loan.bytes().fill(1));
    // Frees the space of one loan while its link still lives.
    drop(loans.pop());
    say("ready");
    let mut input = lines();
    input.next();
    daemon(true, true).expect("forking");
    let mut own: Vec<Vec<u8>> = Vec::new();
    for n in 0..64_u8 {
        own.push(vec![n; 1 << 20]);
    }
    drop(loans);
    drop(raw);
    drop(provided);
    drop(plugin);
    let intact = own
        .iter()
        .zip(0_u8..)
        .all(|(bytes, n)| bytes.iter().all(|byte| *byte == n));
    say(&format!("intact {intact}"));
    input.for_each(drop);
}

/// Sends calls to a gate of its own, which leaves their answers for later. It forks while answers are given together,
/// and prints in the child what becomes of calls and answers there.
fn forked_sender(name: &str) {
    let plugin = Plugin::connect(name).expect("the bus");
    let (sender, jobs) = std::sync::mpsc::channel();
    let (gate, bytes) = (
        format!("{name}.Later"),
        signature_of::<(Vec<u8>,), Vec<u8>>(),
    );
    let later = dynamic::provide_later(&plugin, &gate, &bytes, move |_, _, responder| {
        sender.send(responder).expect("this goes on");
    });
    let gate = dynamic::open(&plugin, &gate, &bytes).expect("opening");
    let send = || gate.send(b"x").expect("it has a slot");
    let mut sent: Vec<_> = (0..4).map(|_| send()).collect();
    let answers: Vec<_> = (0..4).map(|_| jobs.recv().expect("a call")).collect();
    let answered = (send(), jobs.recv().expect("a call"));
    // At the end of this, the parent alone wakes the caller that waits for that answer.
    dynamic::answer_together(|| {
        answered.1.reply(b"y").expect("it is open");
        daemon(true, true).expect("forking");
    });
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(polled) = Pin::new(&mut sent[0]).poll(&mut context) else {
        panic!("nobody tells of it here");
    };
    say(polled.expect_err("polled").code().as_str());
    let waited = sent.pop().expect("the last").wait();
    say(waited.expect_err("waited for").code().as_str());
    for answer in answers {
        assert!(answer.is_cancelled());
        match sent.len() {
            3 => say(answer.reply(b"y").expect_err("answered").code().as_str()),
            _ => drop(answer),
        }
        sent.pop();
    }
    say(gate.send(b"x").expect_err("sent").code().as_str());
    say(gate.call(b"x").expect_err("called").code().as_str());
    drop((answered.0, gate, later, plugin));
    say("dropped");
    lines().for_each(drop);
}
