//! Forked children that go on without exec.

use callgate::Broker;
use callgate_tests::proc::{eventually, is_alive};
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, Process, programs};

use super::PEER;

/// A child drops what it has inherited, and does not unmap memory of its own that the kernel has put at the addresses
/// of the parent's maps.
#[test]
fn a_forked_child_drops_what_it_inherited_and_keeps_its_own() {
    for provider_is_gone in [false, true] {
        let bus = Bus::start(programs!());
        let provider = bus.plugin("H");
        let raw = provider.provide_raw("H.Raw", |_, payload: callgate_client::Payload<'_>| {
            payload.len() as u64
        });
        let mut command = bus.peer_command("forked-borrower", "B", &[]);
        command.env("RUST_BACKTRACE", "1");
        let mut borrower = Process::spawn(command);
        assert_eq!(borrower.expect_line(), "ready");
        if provider_is_gone {
            drop(raw);
            drop(provider);
            // The borrower learns of the end when the broker does, or soon after.
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        borrower.say("go on");
        assert_eq!(borrower.expect_line(), "intact true");
    }
}

/// A forked child of a host that lives on keeps neither the socket nor the lock, so another broker can use the path.
/// Dropping the broker in the child does not panic.
#[test]
fn a_forked_child_of_a_host_keeps_neither_socket_nor_lock() {
    let bus = Bus::without_broker(programs!());
    let mut host = Process::start(PEER, &["forked-host", "host"], &bus.socket());
    let child: u32 = host.expect_line().parse().unwrap();
    let snapshot = host.expect_line();
    assert!(snapshot.contains("forked child"), "{snapshot}");
    assert_eq!(host.expect_line(), "false", "there it does not run");
    assert_eq!(host.expect_line(), "dropped");
    assert!(host.wait().success(), "what started it has ended");
    await_that("the child goes on alone", || is_alive(child));
    let broker = eventually("another broker has the path", || {
        let broker = Broker::builder().socket(bus.socket()).start();
        broker.map_err(|error| error.to_string())
    });
    assert_eq!(broker.snapshot().unwrap().plugins.len(), 0);
    assert!(is_alive(child), "while the child lives");
    host.close_input();
    await_that("the child ends", || !is_alive(child));
}

/// A forked child does not wait for calls of its parent, and does not write its parent's answers into memory that
/// only the parent has mapped.
#[test]
fn a_forked_child_has_none_of_the_calls_and_answers_of_its_parent() {
    let bus = Bus::start(programs!());
    let mut sender = Process::spawn(bus.peer_command("forked-sender", "F", &[]));
    for what in ["polled", "waited for", "answered", "sent", "called"] {
        assert_eq!(sender.expect_line(), "CLOSED", "{what}");
    }
    assert_eq!(sender.expect_line(), "dropped");
}
