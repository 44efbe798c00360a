//! `callgate serve` as a service of systemd. The tests play systemd's part.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use callgate_client::Plugin;
use callgate_tests::{PATIENCE, Process, programs};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen,
    socket, sockopt,
};
use tempfile::TempDir;

use crate::support::run;

/// How long the test waits to see that nothing comes.
const QUIET: Duration = Duration::from_secs(1);

/// A manager of services.
struct Manager {
    directory: TempDir,
    notices: UnixDatagram,
}

impl Manager {
    fn new() -> Manager {
        let directory = TempDir::new().expect("a directory");
        let notices = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        Manager { directory, notices }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("bus.sock")
    }

    /// The broker, run as a service.
    fn serve(&self) -> Command {
        self.command(&["serve"])
    }

    /// A command that is a broker, run as a service.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs!().program);
        command.args(arguments).arg("--socket").arg(self.socket());
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        command
    }

    /// The next datagram.
    fn next(&self) -> String {
        self.next_in(PATIENCE).expect("the broker says something")
    }

    fn next_in(&self, time: Duration) -> Option<String> {
        let mut buffer = [0; 4096];
        let set = self.notices.set_read_timeout(Some(time));
        set.expect("a timeout");
        let len = self.notices.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..len].to_vec()).expect("a text"))
    }

    /// The next datagram that has this line.
    fn expect(&self, line: &str) -> String {
        let said = self.wait_for(line);
        said.unwrap_or_else(|| panic!("the broker does not say {line}"))
    }

    fn wait_for(&self, line: &str) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        let next = || (Instant::now() < until).then(|| self.next_in(PATIENCE))?;
        let mut all = std::iter::from_fn(next);
        all.find(|said| said.lines().any(|said| said == line))
    }
}

fn unconnected(kind: SockType) -> OwnedFd {
    let made = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None);
    made.expect("a socket")
}

fn address(path: &Path) -> UnixAddr {
    UnixAddr::new(path).expect("a short path")
}

/// A socket that listens at a path, as a socket unit makes it.
fn listening(path: &Path, kind: SockType) -> OwnedFd {
    let made = unconnected(kind);
    bind(made.as_raw_fd(), &address(path)).expect("a place for it");
    if kind != SockType::Datagram {
        listen(&made, Backlog::MAXCONN).expect("it can listen");
    }
    made
}

/// A program that inherits this socket as descriptor 3, with these environment variables set. Its standard error goes
/// to the second file.
fn passing(passed: &OwnedFd, assignments: &str, log: &Path, program: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("export {assignments} && exec \"$@\" 3<&2 2>>\"$0\"");
    command.args(["-c", &script]).arg(log).args(program);
    command.stderr(Stdio::from(passed.try_clone().expect("a descriptor")));
    command.env_remove("CALLGATE_SOCKET");
    command
}

fn activated(manager: &Manager, passed: &OwnedFd) -> Process {
    let log = manager.directory.path().join("log");
    let program = [programs!().program, "serve"];
    let assignments = "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=callgate.socket";
    let mut command = passing(passed, assignments, &log, &program);
    command.env("NOTIFY_SOCKET", manager.directory.path().join("notify"));
    let broker = Process::spawn(command);
    if manager.wait_for("READY=1").is_none() {
        let log = fs::read_to_string(&log).unwrap_or_default();
        panic!("the broker {} is not ready: {log}", broker.id());
    }
    broker
}

/// It reports that it is ready only after it listens: units that need the socket start then. It also reports that it
/// stops.
#[test]
fn it_says_that_it_is_ready_when_it_listens_and_that_it_stops() {
    let plugins = TempDir::new().unwrap();
    let folder = plugins.path().to_str().unwrap();
    for arguments in [&["serve"][..], &["run", folder]] {
        let manager = Manager::new();
        let mut broker = Process::spawn(manager.command(arguments));
        let said = manager.next();
        let status = format!("STATUS=listening at {}", manager.socket().display());
        assert_eq!(said, format!("READY=1\n{status}"));
        let plugin = Plugin::builder("P").socket(manager.socket()).connect();
        plugin.expect("it listens");
        broker.signal(Signal::SIGTERM);
        assert_eq!(manager.next(), "STOPPING=1");
        assert_eq!(broker.wait().code(), Some(0));
        assert!(!manager.socket().exists());
    }
}

/// The manager's socket may have a name without a file, as systemd used for a long time and containers still do.
#[test]
fn it_tells_a_manager_without_a_file() {
    let manager = Manager::new();
    let name = format!("callgate-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let notices = UnixDatagram::bind_addr(&address).unwrap();
    let directory = TempDir::new().unwrap();
    let other = Manager { directory, notices };
    let mut command = manager.serve();
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let _broker = Process::spawn(command);
    other.expect("READY=1");
}

/// A variable that is left over from another service does not keep the broker from starting.
#[test]
fn a_manager_that_cannot_be_told_is_no_obstacle() {
    for address in ["vsock:2:1", "/nowhere/notify", "nonsense", ""] {
        let manager = Manager::new();
        let mut command = manager.serve();
        command.env("NOTIFY_SOCKET", address).stderr(Stdio::null());
        let mut broker = Process::spawn(command);
        assert!(
            broker.expect_line().starts_with("listening on "),
            "{address}"
        );
    }
}

/// It reports that it lives only while it serves. The watchdog restarts it if it hangs.
#[test]
fn signs_of_life_come_while_it_serves() {
    let manager = Manager::new();
    let mut command = manager.serve();
    command.env("WATCHDOG_USEC", "200000");
    let broker = Process::spawn(command);
    manager.expect("READY=1");
    let began = Instant::now();
    (0..5).for_each(|_| drop(manager.expect("WATCHDOG=1")));
    // The reports come at half of the watchdog's time, not as fast as possible.
    assert!(began.elapsed() > Duration::from_millis(300));
    let plugin = Plugin::builder("P")
        .socket(manager.socket())
        .connect()
        .unwrap();
    let path = manager.socket();
    let status = format!("STATUS=listening at {}, plugins: 1", path.display());
    manager.expect(&status);
    broker.stop();
    while manager.next_in(Duration::from_millis(1)).is_some() {}
    assert_eq!(manager.next_in(QUIET), None, "it stands still");
    broker.signal(Signal::SIGCONT);
    manager.expect("WATCHDOG=1");
    drop(plugin);
}

/// A process that a service has started does not report to the watchdog in place of the service.
#[test]
fn another_process_s_watchdog_hears_nothing() {
    for (variable, value) in [("WATCHDOG_PID", "1"), ("WATCHDOG_USEC", "0")] {
        let manager = Manager::new();
        let mut command = manager.serve();
        command.env("WATCHDOG_USEC", "100000").env(variable, value);
        let _broker = Process::spawn(command);
        manager.expect("READY=1");
        assert_eq!(manager.next_in(QUIET), None, "{variable}");
    }
}

/// During `systemctl restart`, plugins that connect wait at the unit's socket and do not fail.
#[test]
fn the_socket_of_a_unit_outlives_brokers() {
    let manager = Manager::new();
    let path = manager.socket();
    let passed = listening(&path, SockType::SeqPacket);
    for (generation, signal) in (1..).zip([Signal::SIGTERM, Signal::SIGKILL, Signal::SIGTERM]) {
        let socket = path.clone();
        // No broker accepts connections yet.
        let early = std::thread::spawn(move || {
            let early = Plugin::builder("Early").socket(socket).timeout(PATIENCE);
            early.connect().map(|plugin| plugin.name().to_owned())
        });
        std::thread::sleep(Duration::from_millis(50));
        let mut broker = activated(&manager, &passed);
        assert_eq!(
            broker.expect_line(),
            format!("listening on {}", path.display())
        );
        assert_eq!(early.join().unwrap().unwrap(), "Early");
        let knock = socket_to(&path);
        let listener = getsockopt(&knock, sockopt::PeerCredentials).unwrap();
        assert_eq!(
            listener.pid() as u32,
            broker.id(),
            "who listens is the broker"
        );
        let looks = Plugin::builder("Looks").socket(&path).connect().unwrap();
        let listing = looks.list().unwrap();
        assert_eq!(
            listing["broker"]["generation"], generation,
            "brokers are counted"
        );
        drop(looks);
        let second = run(&path, &["serve"]);
        second.assert_failed(1, "NAME_TAKEN");
        assert!(
            second.stderr.contains(&broker.id().to_string()),
            "{second:?}"
        );
        broker.signal(signal);
        broker.wait();
        assert!(path.exists(), "the file is the unit's");
    }
    let log = fs::read_to_string(manager.directory.path().join("log")).unwrap();
    assert_eq!(log, "", "there is nothing to complain of");
}

fn socket_to(path: &Path) -> OwnedFd {
    let made = unconnected(SockType::SeqPacket);
    connect(made.as_raw_fd(), &address(path)).expect("it listens");
    made
}

/// If a unit passes something wrong, the error names it. The broker does not listen elsewhere, or where nobody can
/// connect.
#[test]
fn what_was_passed_wrong_is_named() {
    let directory = TempDir::new().unwrap();
    let (path, log) = (
        directory.path().join("bus.sock"),
        directory.path().join("log"),
    );
    let right = listening(&path, SockType::SeqPacket);
    let stream = listening(&directory.path().join("stream"), SockType::Stream);
    let file = OwnedFd::from(File::create(directory.path().join("file")).unwrap());
    for (passed, assignments, named, words) in [
        (
            &right,
            "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=one:two",
            "",
            "2 sockets one:two",
        ),
        (&right, "LISTEN_FDS=x LISTEN_PID=$$", "", "LISTEN_FDS `x`"),
        (
            &right,
            "LISTEN_FDS=1 LISTEN_PID=one",
            "",
            "LISTEN_PID `one`",
        ),
        (&right, "WATCHDOG_USEC=soon", "", "WATCHDOG_USEC `soon`"),
        (
            &stream,
            "LISTEN_FDS=1 LISTEN_PID=$$",
            "",
            "ListenSequentialPacket=",
        ),
        (
            &file,
            "LISTEN_FDS=1 LISTEN_PID=$$",
            "",
            "descriptor 3 no socket",
        ),
        (
            &right,
            "LISTEN_FDS=1 LISTEN_PID=$$",
            "/elsewhere/bus.sock",
            "bus.sock /elsewhere/bus.sock",
        ),
    ] {
        let mut program = vec![programs!().program, "serve"];
        if !named.is_empty() {
            program.extend(["--socket", named]);
        }
        let _ = fs::remove_file(&log);
        let mut broker = Process::spawn(passing(passed, assignments, &log, &program));
        assert_eq!(broker.wait().code(), Some(2), "{assignments}");
        let said = fs::read_to_string(&log).unwrap();
        assert!(said.starts_with("INVALID_ARGUMENT: "), "{said}");
        for word in words.split(' ') {
            assert!(said.contains(word), "{assignments}: {word} in {said}");
        }
    }
}

/// The socket was meant for the process that started this one.
#[test]
fn the_sockets_of_another_process_are_left_alone() {
    let manager = Manager::new();
    let path = manager.socket();
    let theirs = listening(
        &manager.directory.path().join("theirs"),
        SockType::SeqPacket,
    );
    let log = manager.directory.path().join("log");
    let program = [
        programs!().program,
        "serve",
        "--socket",
        path.to_str().unwrap(),
    ];
    let command = passing(&theirs, "LISTEN_FDS=1 LISTEN_PID=1", &log, &program);
    let mut broker = Process::spawn(command);
    assert_eq!(
        broker.expect_line(),
        format!("listening on {}", path.display())
    );
}

/// A program that a host starts does not see the variables. Otherwise it could report to systemd in the host's name,
/// and take its socket.
#[test]
fn started_programs_do_not_find_the_variables() {
    let manager = Manager::new();
    let passed = listening(&manager.socket(), SockType::SeqPacket);
    let log = manager.directory.path().join("log");
    let program = [programs!().peer, "service", "Host"];
    let assignments = "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=a NOTIFY_SOCKET=/nowhere \
                       WATCHDOG_USEC=1000 WATCHDOG_PID=$$ LISTEN_PIDFDID=1 OTHER=stays";
    let mut host = Process::spawn(passing(&passed, assignments, &log, &program));
    assert_eq!(host.expect_line(), "true true 1ms");
    assert_eq!(host.expect_line(), "OTHER=stays");
    assert_eq!(host.expect_line(), "done");
}

/// The unit files are correct.
#[test]
fn the_unit_files_are_right() {
    let directory = TempDir::new().unwrap();
    let units = ["callgate.service", "callgate.socket"];
    for unit in units {
        let text = callgate_tests::workspace::read(&format!("broker/cli/systemd/{unit}"));
        let program = "%h/.cargo/bin/callgate serve";
        assert_eq!(text.contains(program), unit == units[0], "{unit}");
        let text = text.replace("%h/.cargo/bin/callgate", programs!().program);
        fs::write(directory.path().join(unit), text).unwrap();
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["--user", "verify"]).args(units);
    verify
        .current_dir(directory.path())
        .env("XDG_RUNTIME_DIR", directory.path());
    match verify.output() {
        Ok(outcome) => {
            // systemd only warns of names that it does not know.
            let said = String::from_utf8_lossy(&outcome.stderr);
            assert!(
                outcome.status.success() && !said.contains("callgate."),
                "{said}"
            );
        }
        Err(error) => println!("skipped: systemd-analyze: {error}"),
    }
}
