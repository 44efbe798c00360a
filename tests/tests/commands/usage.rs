//! Wrong usage, and a missing broker.

use std::path::{Path, PathBuf};

use callgate_tests::{Bus, programs};

use crate::support::{command, finish, run, start};

const NOWHERE: &str = "/nowhere/bus.sock";
/// The commands that need a broker.
const CLIENTS: [&[&str]; 14] = [
    &["ls"],
    &["ls", "--schema", "A.Gate"],
    &["call", "A.Gate", "1"],
    &["echo", "A.Gate"],
    &["ping", "A.Gate"],
    &["emit", "A.Gate", "1"],
    &["listen", "A.*"],
    &["share", "ls"],
    &["share", "get", "A.Table"],
    &["share", "rm", "A.Table"],
    &["start", "clock"],
    &["stop", "clock"],
    &["restart", "clock"],
    &["logs"],
];

/// The commands that start a broker. The current directory has no plugin.
const BROKERS: [&[&str]; 2] = [&["serve"], &["run", "."]];

/// The completion script completes this program's commands.
#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = run(Path::new(NOWHERE), &["completions", shell]);
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        for word in [
            "callgate", "serve", "run", "ping", "emit", "listen", "share", "start", "stop",
            "restart", "logs", "new",
        ] {
            assert!(outcome.stdout.contains(word), "{word} for {shell}");
        }
    }
    let outcome = run(Path::new(NOWHERE), &["completions", "sh"]);
    assert_eq!(outcome.exit, Some(2), "{outcome:?}");
}

/// Help is a success, and goes to standard output.
#[test]
fn help_and_version_are_printed() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["serve", "--help"],
        &["run", "--help"],
        &["ping", "-h"],
    ] {
        let outcome = run(Path::new(NOWHERE), arguments);
        assert_eq!(outcome.exit, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("Usage: callgate"), "{outcome:?}");
        assert_eq!(outcome.stderr, "");
    }
    let help = run(Path::new(NOWHERE), &["--help"]).stdout;
    for word in [
        "serve",
        "run",
        "ls",
        "call",
        "echo",
        "ping",
        "emit",
        "listen",
        "share",
        "start",
        "stop",
        "restart",
        "logs",
        "new",
        "completions",
        "--socket",
        "--timeout",
        "--json",
    ] {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
    for arguments in [&["--version"], &["-V"]] {
        let outcome = run(Path::new(NOWHERE), arguments);
        assert_eq!(outcome.exit, Some(0));
        assert_eq!(
            outcome.stdout,
            format!("callgate {}\n", env!("CARGO_PKG_VERSION"))
        );
    }
}

/// Wrong usage has its own exit code, so that a script can tell it from a failure of the bus.
#[test]
fn wrong_usage_is_exit_code_2() {
    let wrong: [&[&str]; 28] = [
        &[],
        &["no-such-command"],
        &["serve", "extra"],
        &["ls", "nonsense"],
        &["ls", "--no-such-option"],
        &["echo"],
        &["ping"],
        &["ping", "A.Gate", "--count", "0"],
        &["ping", "A.Gate", "--count", "-1"],
        &["ping", "A.Gate", "--size", "many"],
        &["ping", "A.Gate", "--interval", "often"],
        &["emit"],
        &["listen"],
        &["listen", "A.Gate", "--count", "0"],
        &["listen", "A.Gate", "B.Gate"],
        &["share"],
        &["share", "get"],
        &["share", "rm", "A.Table", "B.Table"],
        &["start"],
        &["stop", "a", "b"],
        &["restart"],
        &["logs", "a", "b"],
        &["logs", "-n", "-1"],
        &["new", "clock"],
        &["new", "--lang", "rust"],
        &["run"],
        &["ls", "--timeout", "soon"],
        &["ls", "--socket"],
    ];
    for arguments in wrong {
        let outcome = run(Path::new(NOWHERE), arguments);
        assert_eq!(outcome.exit, Some(2), "{arguments:?}: {outcome:?}");
        assert_eq!(outcome.stdout, "", "{arguments:?}: {outcome:?}");
        assert!(
            outcome.stderr.contains("sage: callgate") || outcome.stderr.contains("--help"),
            "{outcome:?}"
        );
    }
}

/// A missing broker has its own exit code, so that a script can tell it from a failed call.
#[test]
fn without_a_broker_it_is_exit_code_3() {
    let mut bus = Bus::start(programs!());
    bus.kill_broker();
    // No directory, no socket, and a socket that nobody answers.
    let places = [
        PathBuf::from(NOWHERE),
        bus.directory().join("other.sock"),
        bus.socket(),
    ];
    for socket in places {
        let shown = socket.display().to_string();
        for arguments in CLIENTS {
            let outcome = run(&socket, arguments);
            outcome.assert_failed(3, "BROKER_GONE");
            assert!(outcome.stderr.contains(&shown), "{outcome:?}");
            assert!(
                outcome.stderr.contains("callgate serve"),
                "it says what to do: {outcome:?}"
            );
            let arguments = [arguments, &["--json"]].concat();
            run(&socket, &arguments).assert_failed_in_json(3, "BROKER_GONE");
        }
        // The option overrides the environment.
        let outcome = run(
            Path::new("/elsewhere/bus.sock"),
            &["ls", "--socket", &shown],
        );
        outcome.assert_failed(3, "BROKER_GONE");
        assert!(outcome.stderr.contains(&shown), "{outcome:?}");
    }
}

/// A socket path longer than the kernel allows is refused. Cut short, it could lead to another bus.
#[test]
fn a_path_that_is_too_long_is_wrong_usage() {
    let long = format!("/tmp/{}/bus.sock", "d".repeat(120));
    for arguments in CLIENTS.iter().chain(&BROKERS) {
        let outcome = run(Path::new(&long), arguments);
        outcome.assert_failed(2, "INVALID_ARGUMENT");
        assert!(outcome.stderr.contains("107"), "{outcome:?}");
        let arguments = [arguments, &["--json"][..]].concat();
        run(Path::new(&long), &arguments).assert_failed_in_json(2, "INVALID_ARGUMENT");
    }
}

/// A directory that other users can write to is refused: they could put a socket there.
#[test]
fn a_directory_of_others_is_refused() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let bus = Bus::start(programs!());
    let open = bus.directory().join("open");
    let foreign = bus.directory().join("foreign");
    for directory in [&open, &foreign] {
        std::fs::create_dir(directory).unwrap();
    }
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut places = vec![open];
    if nix::unistd::geteuid().is_root() {
        chown(&foreign, Some(12_345), None).unwrap();
        places.push(foreign);
    }
    for directory in places {
        let socket = directory.join("bus.sock");
        for arguments in CLIENTS.iter().chain(&BROKERS) {
            let outcome = run(&socket, arguments);
            outcome.assert_failed(1, "PERMISSION_DENIED");
            assert!(
                outcome.stderr.contains(&*directory.to_string_lossy()),
                "{outcome:?}"
            );
        }
        assert_eq!(
            std::fs::read_dir(&directory).unwrap().count(),
            0,
            "nothing was left there"
        );
    }
}

/// An impossible gate name is wrong usage.
#[test]
fn an_impossible_gate_is_wrong_usage() {
    let bus = Bus::start(programs!());
    let long = "g".repeat(1000);
    for gate in ["", "line\nbreak", &long] {
        for arguments in [
            ["echo", gate],
            ["ping", gate],
            ["emit", gate],
            ["listen", gate],
        ] {
            run(&bus.socket(), &arguments).assert_failed(2, "INVALID_ARGUMENT");
        }
    }
}

/// Without a path, the socket is in the user's runtime directory.
#[test]
fn without_a_path_the_runtime_directory_is_looked_at() {
    let bus = Bus::start(programs!());
    let mut command = command(Path::new(""), &["ls"]);
    command
        .env_remove("CALLGATE_SOCKET")
        .env("XDG_RUNTIME_DIR", bus.directory());
    let outcome = finish(start(command));
    outcome.assert_failed(3, "BROKER_GONE");
    let expected = bus.directory().join("callgate/bus.sock");
    assert!(
        outcome.stderr.contains(&*expected.to_string_lossy()),
        "{outcome:?}"
    );
}

/// A timeout beyond the range of clocks only means very long: it causes no panic.
#[test]
fn a_timeout_beyond_all_clocks_is_only_long() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let age = [
        "ping",
        "P.Echo",
        "--count",
        "3",
        "--timeout",
        "500000000000years",
    ];
    let outcome = run(&bus.socket(), &age);
    assert_eq!(outcome.exit, Some(0), "{outcome:?}");
}
