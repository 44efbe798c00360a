//! A broker that has almost no descriptors left.

use std::fs::read_to_string;
use std::thread;
use std::time::Duration;

use callgate_client::Code;
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, PATIENCE, Process, programs};

use crate::{expect_short, tell};

/// A program with a broker inside. Its standard error goes to the bus's log.
fn host(bus: &Bus) -> Process {
    let mut command = bus.peer_command("cramped", "cramped", &[]);
    command.stderr(std::fs::File::create(bus.log()).expect("a log"));
    let mut host = Process::spawn(command);
    assert_eq!(host.expect_line(), "ready");
    tell(&mut host, "broker");
    host
}

/// A plugin that connects at such a moment waits until the broker has descriptors. It is neither refused nor accepted
/// and then not read.
#[test]
fn who_connects_waits_until_the_broker_has_descriptors() {
    let bus = Bus::without_broker(programs!());
    let mut host = host(&bus);
    for spare in 0..2 {
        tell(&mut host, &format!("spare {spare}"));
        thread::scope(|scope| {
            let builder = bus.builder("P").timeout(PATIENCE);
            let connecting = scope.spawn(|| builder.connect());
            await_that("the broker says that somebody waits", || {
                let log = read_to_string(bus.log()).expect("a log");
                log.matches("cannot be accepted now and waits").count() > 0
                    && log.contains("RLIMIT_NOFILE")
            });
            thread::sleep(Duration::from_millis(100));
            assert!(!connecting.is_finished(), "it cannot be there yet");
            tell(&mut host, "free");
            let plugin = connecting
                .join()
                .expect("no panic")
                .expect("it is taken in");
            plugin.list().expect("it is on the bus");
        });
        std::fs::write(bus.log(), "").expect("a log");
    }
}

/// A host without descriptors gets an error that says so, and not only a number.
#[test]
fn a_host_without_descriptors_is_told_so() {
    let bus = Bus::without_broker(programs!());
    let mut host = host(&bus);
    tell(&mut host, "inside host");
    tell(&mut host, "spare 0");
    for command in ["inside more", "spawn more"] {
        let error = host.ask(command);
        let named = error.contains(&format!("process {}", host.id()));
        assert!(
            named && error.contains("RLIMIT_NOFILE"),
            "{command}: {error}"
        );
    }
    let error = host.ask("list");
    expect_short(&error, host.id());
    tell(&mut host, "free");
    assert_eq!(host.ask("list"), "listed");
    tell(&mut host, "inside more");
    tell(&mut host, "provide host.Add");
    // It has some to spare, but not for plugins.
    tell(&mut host, "spare 10");
    let error = bus.builder("P").connect().unwrap_err();
    assert_eq!(error.code(), Code::System, "{error}");
    let pid = format!("broker's process {}", host.id());
    assert!(error.message().contains(&pid), "{error}");
    assert!(error.message().contains("RLIMIT_NOFILE"), "{error}");
    let looking = bus
        .builder("Q")
        .inspector()
        .connect()
        .expect("only to look");
    looking.list().expect("a listing");
    let refused = looking.provide("Q.Add", |a: u64| a).unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let refused = looking.subscriber::<(u64,), u64>("Q.Add").unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    drop(looking);
    let error = host.ask("link");
    assert!(error.starts_with("SYSTEM"), "{error}");
    assert!(
        error.contains(&pid) && error.contains("RLIMIT_NOFILE"),
        "{error}"
    );
    tell(&mut host, "free");
    bus.builder("P").connect().expect("there is room again");
    tell(&mut host, "link");
}
