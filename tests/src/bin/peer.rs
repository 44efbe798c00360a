//! A plugin for tests, which does what its arguments say: `callgate-peer ROLE NAME …`.
//!
//! It prints `ready` when it has connected and provides its gates, answers each line on its input with a line on its
//! output, and ends when its input ends. Its gates are `NAME.Add`, `NAME.Echo` and so on, as written below.
#![forbid(unsafe_code)]

use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use callgate_client::{Code, Context, Group, HandlerError, Plugin, Result, View, WaitPolicy};
use callgate_tests::restart::worker;
use callgate_tests::shorthand::connect_early;
use callgate_tests::{
    ENDS_WITH_BROKER, PATIENCE, cells, events, filter, groups, hosts, keeping, lending, proc,
    shares, spans, stdio, storm, suite, types, untyped, visible,
};
use nix::sys::socket::{Backlog, listen};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, name, more @ ..] = arguments.as_slice() else {
        panic!("usage: callgate-peer ROLE NAME …");
    };
    if role == "broker" {
        return broker();
    }
    if role == "early-provider" {
        return early_provider(name, &more[0]).expect("providing");
    }
    if role == "early-caller" {
        return early_caller(name, &more[0]).expect("calling");
    }
    if role == "service" {
        return service();
    }
    if role == "host" {
        return host(name);
    }
    if role == "cramped" {
        return callgate_tests::cramped::run();
    }
    if role == "closed" {
        return callgate_tests::closed::run(&more[0]);
    }
    if role == "large" {
        let keep_idle = Duration::from_millis(more[0].parse().expect("a number"));
        return callgate_tests::large::run(name, keep_idle).expect("obeying");
    }
    if role == "graph" {
        let process = more[0].parse().expect("a number");
        return callgate_tests::graph::run(process).expect("providing");
    }
    if role == "crossing" {
        return callgate_tests::crossing::run(name, &more[0]).expect("providing");
    }
    if role == "filtered" {
        return filtered(name, more);
    }
    if role == "listener" {
        return listener();
    }
    if role == "hasty" {
        return hasty(name);
    }
    if hosts::play(role, name, more)
        || storm::play(role, name, more)
        || groups::play(role, name, more)
        || types::play(role, name, more)
        || untyped::play(role, name, more)
        || untyped::play_prefixes(role, name, more)
        || visible::play(role, name, more)
        || worker::play(role, name, more)
        || events::play(role, name, more)
        || shares::play(role, name, more)
        || cells::play(role, name, more)
        || keeping::play(role, name, more)
        || stdio::play(role, name, more)
    {
        return;
    }
    let mut builder = Plugin::builder(name).version("1.2.3");
    builder = builder.outlives_broker(std::env::var_os(ENDS_WITH_BROKER).is_none());
    let mut _neighbour = None;
    if let ("suite" | "traced-suite", [mode]) = (role.as_str(), more) {
        builder = builder.dispatch(suite::dispatch(mode));
        if mode == "group" {
            let group = Group::new().expect("a group");
            builder = builder.group(&group);
            _neighbour = Some(suite::neighbour(&group, name).expect("providing"));
        }
    }
    if role == "lender" || role == "late-provider" {
        builder = builder.keep_idle(Duration::from_millis(20));
    }
    if role == "traced-suite" {
        spans::collect_here();
    }
    let plugin = builder.connect().expect("the bus");
    match role.as_str() {
        "idle" => idle(),
        "suite" | "traced-suite" => suite::serve(plugin, &more[0]).expect("serving"),
        "soak-caller" => callgate_tests::soak::run(&plugin, &more[0]),
        "counted-caller" => callgate_tests::counted::run(&plugin, &more[0]),
        "endless" => endless(&plugin, name).expect("providing"),
        "provider" => provider(&plugin, name).expect("providing"),
        "caller" => caller(&plugin, &more[0]).expect("calling"),
        "taker" => lending::take(&plugin, name).expect("providing"),
        "lender" => lending::lend(&plugin, &more[0]).expect("calling"),
        "quiet-caller" => quiet_caller(&plugin, &more[0]).expect("calling"),
        "late-provider" => callgate_tests::later::run(&plugin, name, &more[0]).expect("providing"),
        "stress" => callgate_tests::stress::run(&plugin, more).expect("calling"),
        other => panic!("unknown role {other}"),
    }
}

fn idle() {
    println!("ready");
    wait_for_input_to_end();
}

/// Calls `Add` of a plugin a few times, and then never again.
fn quiet_caller(plugin: &Plugin, of: &str) -> Result<()> {
    let add = plugin.subscriber::<(u64, u64), u64>(&format!("{of}.Add"))?;
    add.wait_ready(PATIENCE)?;
    for n in 0..10 {
        assert_eq!(add.invoke((n, n))?, 2 * n);
    }
    idle();
    Ok(())
}

/// Provides `Double` in a mode as soon as there is a bus, until the process is killed.
fn early_provider(name: &str, mode: &str) -> Result<()> {
    let plugin = connect_early(|| Plugin::builder(name).dispatch(suite::dispatch(mode)));
    let _double = plugin.provide(&format!("{name}.Double"), |n: u64| 2 * n)?;
    loop {
        let a_while = Duration::from_millis(20);
        match mode {
            "pump" => drop(plugin.pump(Instant::now() + a_while)?),
            _ => std::thread::sleep(a_while),
        }
    }
}

/// Opens `Double` of a plugin as soon as there is a bus, whether the gate is there or not. Waits for the gate, and
/// prints the outcome of its first call.
fn early_caller(name: &str, of: &str) -> Result<()> {
    let plugin = connect_early(|| Plugin::builder(name));
    let double = plugin.subscriber::<(u64,), u64>(&format!("{of}.Double"))?;
    double.wait_ready(PATIENCE)?;
    println!("{}", double.invoke((21,))?);
    Ok(())
}

/// A broker whose memory and descriptors debuggers may look at.
fn broker() {
    let socket = std::env::var_os("CALLGATE_SOCKET").expect("a socket");
    let broker = callgate::Broker::builder()
        .socket(socket)
        .start()
        .expect("starting the broker");
    println!(
        "listening on {}",
        broker.socket().expect("it has one").display()
    );
    wait_for_input_to_end();
}

/// A service that starts a program. Prints what the service manager passed to the service, and what the program finds
/// of it.
fn service() {
    let service = callgate::systemd::take().expect("it is right");
    let (listener, notify) = (service.listener.is_some(), service.notify.is_some());
    println!(
        "{listener} {notify} {:?}",
        service.watchdog.unwrap_or_default()
    );
    let found = Command::new("env").output().expect("it runs").stdout;
    for line in String::from_utf8_lossy(&found).lines() {
        let is_one = |start: &&str| line.starts_with(start);
        if ["LISTEN_", "NOTIFY_", "WATCHDOG_", "OTHER="]
            .iter()
            .any(is_one)
        {
            println!("{line}");
        }
    }
    println!("done");
}

/// Listens on its standard input and accepts nobody. The kernel notes which process listens when that begins.
fn listener() {
    listen(&std::io::stdin(), Backlog::new(16).expect("a number")).expect("a socket");
    println!("listening");
    std::thread::sleep(10 * PATIENCE);
}

fn wait_for_input_to_end() {
    std::io::stdin().lock().lines().for_each(drop);
}

/// Provides `Add` and lives on when its input ends.
fn endless(plugin: &Plugin, name: &str) -> Result<()> {
    plugin
        .provide(&format!("{name}.Add"), |a: u64, b: u64| a.wrapping_add(b))?
        .keep();
    println!("ready");
    // Long enough for the test to find it, if the process was not ended as it should be.
    std::thread::sleep(3 * PATIENCE);
    Ok(())
}

/// A host with a broker inside it. It starts a plugin of this name and prints its process number.
fn host(name: &str) {
    let broker = callgate::Broker::builder()
        .without_socket()
        .start()
        .expect("a broker");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["endless", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let child = broker.spawn(name, command).expect("starting a plugin");
    let host = Plugin::builder("host").descriptor(broker.connect().expect("a connection"));
    let host = host.connect().expect("its own bus");
    let add = host
        .subscriber::<(u64, u64), u64>(&format!("{name}.Add"))
        .expect("opening");
    add.wait_ready(Duration::from_secs(20))
        .expect("the plugin comes");
    println!("ready");
    println!("{}", child.id());
    wait_for_input_to_end();
}

/// Connects with a short time limit. For each line of input it calls the suite's `Slow`, which sleeps for so many
/// milliseconds, with a timeout of 20. Prints the outcome as a line: `OK` or the code of the error.
fn hasty(name: &str) {
    println!("ready");
    let hurry = Duration::from_secs(1);
    let plugin = Plugin::builder(name).timeout(hurry).connect();
    let said = |outcome: Result<()>| match outcome {
        Ok(()) => println!("OK"),
        Err(error) => println!("{}", error.code()),
    };
    let plugin = match plugin {
        Ok(plugin) => plugin,
        Err(error) => return said(Err(error)),
    };
    let slow = match plugin.subscriber::<(u64,), u64>("S.Slow") {
        Ok(slow) => slow,
        Err(error) => return said(Err(error)),
    };
    said(Ok(()));
    for line in std::io::stdin()
        .lock()
        .lines()
        .map_while(std::io::Result::ok)
    {
        let millis = line.parse().expect("a number");
        let slow = slow.with_timeout(Duration::from_millis(20));
        said(slow.invoke((millis,)).map(drop));
    }
}

/// Makes the kernel refuse `futex_waitv` with an error number, `before` connecting or `after` it. Prints the outcome
/// of connecting. Then each line of input makes it call a gate `P.Sleep` for so many milliseconds. It prints the
/// outcome and how many clock ticks of processor time this took.
fn filtered(name: &str, more: &[String]) {
    let [when, errno] = more else {
        panic!("usage: callgate-peer filtered NAME before|after ERRNO");
    };
    let errno = errno.parse().expect("a number");
    if when == "before" {
        filter::refuse_waitv(errno);
        let broker = callgate::Broker::builder().without_socket().start();
        println!("{}", broker.expect_err("no broker without it"));
    }
    let builder = Plugin::builder(name).wait_policy(WaitPolicy::Park);
    let plugin = match builder.connect() {
        Ok(plugin) => plugin,
        Err(error) => return println!("{error}"),
    };
    let sleep = plugin.subscriber::<(u64,), ()>("P.Sleep").expect("opening");
    sleep.wait_ready(PATIENCE).expect("its provider");
    filter::refuse_waitv(errno);
    println!("ready");
    for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
        let before = proc::ticks(std::process::id());
        let outcome = sleep.invoke((line.parse().expect("a number"),));
        let used = proc::ticks(std::process::id()) - before;
        println!(
            "{} {used}",
            outcome.map_or_else(|error| error.code().as_str(), |()| "OK")
        );
    }
}

/// Provides one gate of every kind.
fn provider(plugin: &Plugin, name: &str) -> Result<()> {
    let gate = |what: &str| format!("{name}.{what}");
    let notes = Arc::new(AtomicU64::new(0));
    let counted = notes.clone();
    plugin
        .provide(&gate("Add"), |a: u64, b: u64| a.wrapping_add(b))?
        .keep();
    plugin
        .provide(&gate("Echo"), |bytes: View<'_, Vec<u8>>| bytes.to_vec())?
        .keep();
    plugin
        .provide(&gate("Zeros"), |count: u32| vec![0_u8; count as usize])?
        .keep();
    plugin
        .provide(&gate("Sleep"), |millis: u64| {
            std::thread::sleep(Duration::from_millis(millis));
        })?
        .keep();
    plugin
        .provide(&gate("Slow"), |millis: u64, bytes: View<'_, Vec<u8>>| {
            std::thread::sleep(Duration::from_millis(millis));
            bytes.to_vec()
        })?
        .keep();
    plugin
        .provide(&gate("Hang"), |millis: u64| {
            println!("hanging");
            std::thread::sleep(Duration::from_millis(millis));
        })?
        .keep();
    plugin
        .provide(&gate("Panic"), |text: String| -> u32 { panic!("{text}") })?
        .keep();
    plugin
        .provide(&gate("Fail"), |text: String| -> Result<u32, HandlerError> {
            Err(HandlerError::new("NO_SUCH_ROW", text)
                .with_context(serde_json::json!({ "row": 7 })))
        })?
        .keep();
    plugin
        .provide(&gate("Who"), |context: Context<'_>| {
            let caller = context.caller();
            format!("{} {} {}", caller.name(), caller.version(), context.gate())
        })?
        .keep();
    plugin
        .provide_action(&gate("Note"), move |by: u64| {
            counted.fetch_add(by, Ordering::Relaxed);
        })?
        .keep();
    plugin
        .provide(&gate("Note"), move || notes.load(Ordering::Relaxed))?
        .keep();
    callgate_tests::later::hold(plugin, name)?;
    println!("ready");
    wait_for_input_to_end();
    Ok(())
}

/// Calls `Add` of a plugin again and again, and waits for it to come back whenever it is gone. For each line of input
/// it prints how many calls were answered and how many failed. A wrong answer, or an error that no death explains,
/// ends the process with a panic.
fn caller(plugin: &Plugin, of: &str) -> Result<()> {
    let add = plugin.subscriber::<(u64, u64), u64>(&format!("{of}.Add"))?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().for_each(|line| {
            let _ = sender.send(line);
        });
        std::process::exit(0);
    });
    println!("ready");
    let (mut answered, mut gone) = (0_u64, 0_u64);
    for n in 0.. {
        match add.invoke((n, 7)) {
            Ok(sum) => {
                assert_eq!(sum, n + 7, "a wrong answer");
                answered += 1;
            }
            Err(error) => {
                // The last code if the broker is gone, too.
                let known = [Code::NotReady, Code::ProviderGone, Code::BrokerGone];
                assert!(known.contains(&error.code()), "{error}");
                gone += 1;
                let _ = add.wait_ready(Duration::from_millis(200));
            }
        }
        if n % 64 == 0 && lines.try_recv().is_ok() {
            println!("{answered} {gone}");
        }
    }
    Ok(())
}
