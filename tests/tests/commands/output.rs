//! Output that nobody reads.

use std::fs::File;
use std::process::{Command, Stdio};

use callgate_tests::{Bus, Process, programs};

use crate::support::{Outcome, command, finish};

/// Runs a command whose standard output is already closed at the other end.
fn run_closed(mut command: Command) -> Outcome {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped());
    finish(command.spawn().expect("the program starts"))
}

/// A closed pipe, as in `callgate … | head -1`, causes no panic.
#[test]
fn a_closed_pipe_is_no_panic() {
    let bus = Bus::start(programs!());
    let mut echo = Process::spawn(bus.command(&["echo", "Demo.Echo"]));
    echo.expect_line();
    let commands: [&[&str]; 7] = [
        &["ls"],
        &["ls", "--json"],
        &["ping", "Demo.Echo", "--count", "10"],
        &["ping", "Demo.Echo", "--count", "10", "--json"],
        &["ping", "No.Such", "--timeout", "20ms", "--json"],
        &["echo", "Other.Echo"],
        &["--help"],
    ];
    for arguments in commands {
        let outcome = run_closed(command(&bus.socket(), arguments));
        assert!(outcome.exit.is_some(), "{arguments:?}: {outcome:?}");
        assert_eq!(
            outcome.stderr, "",
            "{arguments:?}: nothing is wrong with the bus"
        );
    }
    let other = bus.directory().join("other.sock");
    let outcome = run_closed(command(&other, &["serve"]));
    assert_eq!(
        (outcome.exit, &*outcome.stderr),
        (Some(1), ""),
        "{outcome:?}"
    );
    assert!(
        !other.exists(),
        "a broker that could not say where it listens is gone"
    );
}

/// A full disk is reported.
#[test]
fn a_full_disk_is_said() {
    let bus = Bus::start(programs!());
    let mut command = command(&bus.socket(), &["ls", "--json"]);
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    command.stdout(full).stderr(Stdio::piped());
    let outcome = finish(command.spawn().expect("the program starts"));
    assert_eq!(outcome.exit, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("No space left"), "{outcome:?}");
}

/// A closed standard error does not end the command.
#[test]
fn a_closed_standard_error_is_no_panic_either() {
    let bus = Bus::start(programs!());
    for (arguments, exit) in [
        (&["ping", "No.Such", "--timeout", "20ms"][..], 1),
        (&["nonsense"], 2),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = command(&bus.socket(), arguments);
        command.stdout(Stdio::piped()).stderr(writer);
        let outcome = finish(command.spawn().expect("the program starts"));
        assert_eq!(
            (outcome.exit, &*outcome.stdout),
            (Some(exit), ""),
            "{outcome:?}"
        );
    }
}
