//! Other limits: on a file's size, and on what the kernel lets a user watch.

use std::process::Command;
use std::time::Duration;

use callgate_tests::{Bus, programs};

/// If the broker's limit on file sizes is below that of an extent, the payload gets an error. `SIGXFSZ` does not end
/// the broker.
#[test]
fn a_limit_of_the_brokers_file_size_is_an_error_of_the_payload() {
    // In units of 512 bytes: 4 MiB.
    let bus = Bus::start_after(programs!(), "ulimit -f 8192");
    let _taker = bus.peer("taker", "T", &[]);
    let mut lender = bus.peer("lender", "L", &["T"]);
    let refused = lender.ask("send 60");
    assert!(refused.starts_with("SYSTEM"), "{refused}");
    assert!(refused.contains("RLIMIT_FSIZE"), "{refused}");
    assert_eq!(lender.ask("send 2"), "ok");
    assert!(bus.command(&["ls"]).output().unwrap().status.success());
}

/// The writer's own limit does not matter, because the broker has set the size of the file.
#[test]
fn a_limit_of_the_writers_file_size_hinders_nothing() {
    let bus = Bus::start(programs!());
    let _taker = bus.peer("taker", "T", &[]);
    let peer = bus.peer_command("lender", "L", &["T"]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 64; exec \"$0\" \"$@\""]);
    command.arg(peer.get_program()).args(peer.get_args());
    command.env("CALLGATE_SOCKET", bus.socket());
    let mut lender = callgate_tests::Process::spawn(command);
    assert_eq!(lender.expect_line(), "ready");
    assert_eq!(lender.ask("send 60"), "ok");
}

/// If a user's programs watch too many files, large payloads still work, and memory that was returned is no longer
/// charged.
#[test]
fn without_watches_extents_are_charged_as_long() {
    let own = ["unshare", "--user", "--map-root-user", "true"];
    let may = Command::new(own[0]).args(&own[1..]).status();
    if !may.is_ok_and(|status| status.success()) {
        return println!("skipped: no user namespace can be made");
    }
    let script = "exec unshare --user --map-root-user sh -c \
        'echo 0 > /proc/sys/user/max_inotify_instances || exit 1; exec \"$0\" \"$@\"' \"$0\" \"$@\"";
    let bus = Bus::start_after(programs!(), script);
    let _taker = bus.peer("taker", "T", &[]);
    let mut lender = bus.peer("lender", "L", &["T"]);
    // Each is returned before the next is asked for. Together they are more than the quota of 256 MiB.
    for _ in 0..8 {
        assert_eq!(lender.ask("send 60"), "ok");
        std::thread::sleep(Duration::from_millis(150));
    }
    let log = std::fs::read_to_string(bus.log()).unwrap();
    assert!(log.contains("cannot be watched"), "{log}");
}

/// A policy file can limit the memory of all plugins together.
#[test]
fn a_policy_file_limits_the_whole_bus() {
    let script = "printf '{\"plugins\": {}, \"bus_extent_mib\": 4}' > \"$CALLGATE_SOCKET.json\"
        set -- \"$@\" --policy \"$CALLGATE_SOCKET.json\"";
    let bus = Bus::start_after(programs!(), script);
    let _taker = bus.peer("taker", "T", &[]);
    let mut lender = bus.peer("lender", "L", &["T"]);
    let refused = lender.ask("send 7");
    assert!(refused.starts_with("OVERLOADED"), "{refused}");
    assert!(
        refused.contains("4 MiB that all plugins of this bus"),
        "{refused}"
    );
    assert_eq!(lender.ask("send 3"), "ok");
}
