//! The connection that a host leaves to a program that it starts.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;

use callgate_client::Plugin;
use callgate_tests::proc::eventually;
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, PATIENCE, Process, programs};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{PEER, host, quiet, shell};

/// A file that a program writes to, and what it has written.
struct Said(tempfile::TempDir);

impl Said {
    fn new() -> Said {
        Said(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("said")
    }

    fn lines(&self, count: usize) -> Vec<String> {
        eventually("the program says what happened", || {
            let text = std::fs::read_to_string(self.path()).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            match text.ends_with('\n') && lines.len() >= count {
                true => Ok(lines),
                false => Err(text),
            }
        })
    }
}

/// A wrapper may run the command line before it starts the plugin: that does not take the plugin's connection.
#[test]
fn the_command_line_leaves_the_connection_to_the_plugin() {
    let bus = Bus::start(programs!());
    let (broker, _host) = host();
    let said = Said::new();
    let mut wrapper = shell(r#""$CALLGATE" ls >"$SAID"; "$0" endless P; exit 1"#);
    wrapper.env("CALLGATE", programs!().program);
    wrapper.env("SAID", said.path());
    wrapper.env("CALLGATE_SOCKET", bus.socket());
    let child = broker.spawn("P", wrapper).unwrap();
    child
        .wait_ready(PATIENCE)
        .expect("the plugin has its connection");
    let listed = said.lines(1).join("\n");
    assert!(
        listed.contains("plugins"),
        "the other bus was listed: {listed}"
    );
    assert_eq!(broker.snapshot().unwrap().plugins.len(), 2);
}

/// A plugin behind a wrapper is accepted.
#[test]
fn a_wrapped_plugin_is_the_plugin() {
    let (broker, host) = host();
    let wrapped = shell(r#""$0" endless P; exit 1"#);
    let child = broker.spawn("P", wrapped).unwrap();
    child.wait_ready(PATIENCE).expect("it may connect");
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    add.wait_ready(PATIENCE).unwrap();
    assert_eq!(add.invoke((2, 3)).unwrap(), 5);
    let plugins = broker.snapshot().unwrap().plugins;
    let plugin = plugins.iter().find(|plugin| plugin.name == "P").unwrap();
    assert_ne!(
        plugin.pid,
        Some(child.id()),
        "the plugin is the wrapper's child"
    );
    child.kill().unwrap();
    assert!(child.wait(PATIENCE).unwrap().is_some());
    await_that("the wrapper takes the plugin along", || !add.has_function());
}

/// The same with a tracing program, if one is installed.
#[test]
fn a_traced_plugin_is_the_plugin() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace");
        return;
    }
    let (broker, _host) = host();
    let strace = quiet("strace", &["-f", "-o", "/dev/null", PEER, "endless", "P"]);
    let child = broker.spawn("P", strace).unwrap();
    match child.wait_ready(PATIENCE) {
        Err(error) if error.to_string().contains("ended") => {
            println!("skipped: nothing can be traced here: {error}");
        }
        outcome => outcome.expect("it may connect"),
    }
}

/// A plugin that connects a second time is refused, and does not end up on the user's default bus.
#[test]
fn a_second_connection_is_refused_and_goes_nowhere_else() {
    let bus = Bus::start(programs!());
    let (broker, _host) = host();
    let said = Said::new();
    let mut plugin = shell(r#"exec "$0" connector P >"$SAID""#);
    plugin.env("SAID", said.path());
    plugin.env("CALLGATE_SOCKET", bus.socket());
    let child = broker.spawn("P", plugin).unwrap();
    child.wait_ready(PATIENCE).unwrap();
    let lines = said.lines(2);
    assert_eq!(lines[0], "connected");
    assert!(lines[1].starts_with("INVALID_ARGUMENT"), "{lines:?}");
    assert!(lines[1].contains("before"), "{lines:?}");
    assert!(
        bus.plugin("looker").list().unwrap()["plugins"]
            .as_array()
            .unwrap()
            .len()
            == 1
    );
}

/// If a wrapper starts two programs, the second is refused and does not end the session of the first.
#[test]
fn of_two_programs_with_one_connection_one_is_refused() {
    let (broker, host) = host();
    let said = Said::new();
    let script = r#""$0" endless P & while ! [ -e "$SAID.go" ]; do sleep 0.01; done
        "$0" connector P </dev/null >"$SAID"; wait"#;
    let mut wrapper = shell(script);
    wrapper.env("SAID", said.path());
    let child = broker.spawn("P", wrapper).unwrap();
    child.wait_ready(PATIENCE).unwrap();
    let add = host.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    add.wait_ready(PATIENCE).unwrap();
    std::fs::write(said.path().with_extension("go"), "").unwrap();
    let lines = said.lines(2);
    assert!(
        lines.iter().all(|line| line.starts_with("BROKER_GONE")),
        "{lines:?}"
    );
    assert!(lines[0].contains("another process"), "{lines:?}");
    assert_eq!(add.invoke((2, 3)).unwrap(), 5, "the first goes on");
}

/// A descriptor number that is out of date or means another file is an error, and that file is neither written to nor
/// closed.
#[test]
fn a_stale_number_is_an_error_and_is_left_alone() {
    let bus = Bus::start(programs!());
    let (ours, theirs) = callgate_layout::sys::fdpass::pair().unwrap();
    let theirs = inheritable(theirs);
    let raw = theirs.as_raw_fd();
    let real = callgate_layout::sys::inherit::value(std::os::fd::AsFd::as_fd(&theirs)).unwrap();
    let values = [
        raw.to_string(),
        format!("{raw}:1"),
        "999:1".to_owned(),
        "1:1".to_owned(),
        "x".to_owned(),
        String::new(),
        // A socket into which no broker has put an invitation.
        real,
    ];
    for value in values {
        let mut command = Command::new(PEER);
        command.args(["connector", "P"]).env("CALLGATE_FD", &value);
        command.env("CALLGATE_SOCKET", bus.socket());
        let mut connector = Process::spawn(command);
        let (first, second) = (connector.expect_line(), connector.expect_line());
        assert!(first.contains("CALLGATE_FD"), "{value}: {first}");
        assert_eq!(first, second, "{value}: and so it stays");
        // It did not mark the descriptor as closed on exec either.
        let mut links = format!("/proc/{}/fdinfo/{raw}", connector.id());
        links = std::fs::read_to_string(links).expect("it is still open");
        assert!(
            !links.contains("02000000") && !links.contains("flags:\t020"),
            "{links}"
        );
    }
    let nothing =
        callgate_layout::sys::fdpass::receive_plain(std::os::fd::AsFd::as_fd(&ours), &mut [0; 64]);
    let nothing = nothing.expect_err("nobody has written to it");
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
}

fn inheritable(fd: OwnedFd) -> OwnedFd {
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty())).expect("it is open");
    fd
}

/// Programs that a plugin starts do not see the variable, which is not meant for them.
#[test]
fn what_a_plugin_starts_does_not_see_the_variable() {
    let (broker, _host) = host();
    let said = Said::new();
    let mut plugin = quiet(PEER, &["connect-and-run", "P", "/bin/sh", "-c"]);
    plugin.arg(r#"echo "${CALLGATE_FD-unset}" >"$SAID""#);
    plugin.env("SAID", said.path());
    let child = broker.spawn("P", plugin).unwrap();
    child.wait_ready(PATIENCE).unwrap();
    assert_eq!(said.lines(1), ["unset"]);
}

/// A background process whose parents cannot be followed is not taken for the plugin. The host is told, and so is the
/// process.
#[test]
fn both_sides_hear_of_a_process_that_is_not_the_plugin() {
    let (broker, _host) = host();
    let said = Said::new();
    // The innermost process waits until the shell between has ended, which linked it to the outermost.
    let script = r#"
        ( sh -c 'parent() { sed -n "s/^PPid:[^0-9]*//p" "/proc/$1/status"; }
            while [ "$(parent "$(parent $$)")" = "$0" ]; do sleep 0.01; done
            exec "$1" connector P >"$SAID"' "$$" "$0" & )
        exec sleep 1000"#;
    let mut wrapper = shell(script);
    wrapper.env("SAID", said.path());
    let child = broker.spawn("P", wrapper).unwrap();
    let told = child.wait_ready(PATIENCE).unwrap_err().to_string();
    assert!(told.contains("PERMISSION_DENIED"), "{told}");
    assert!(told.contains(&format!("pid {}", child.id())), "{told}");
    let lines = said.lines(1);
    assert!(lines[0].starts_with("PERMISSION_DENIED"), "{lines:?}");
    let _: &Plugin = &_host;
}
