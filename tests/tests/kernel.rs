//! Kernels, and filters in front of them, that support less than they should.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Plugin};
use callgate_tests::shorthand::{code, open};
use callgate_tests::{Bus, PATIENCE, Process, programs};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, socket,
};
use tempfile::TempDir;

/// `EPERM` and `ENOSYS`, with which seccomp profiles answer unknown calls, and an error that none should give.
const ANSWERS: [(&str, &str); 3] = [
    ("1", "seccomp"),
    ("38", "Linux 5.16"),
    ("22", "Invalid argument"),
];

/// If a container's profile refuses `futex_waitv` with EPERM, connecting and starting a broker fail with that reason.
/// It is not taken for a kernel that has the call, on which every wait would then spin.
#[test]
fn who_may_not_wait_is_told_so_when_it_connects_or_starts_a_broker() {
    let bus = Bus::start(programs!());
    for (errno, why) in ANSWERS {
        let mut peer = Process::spawn(bus.peer_command("filtered", "F", &["before", errno]));
        let [broker, plugin] = [peer.expect_line(), peer.expect_line()];
        assert!(plugin.starts_with("SYSTEM: "), "{plugin}");
        for said in [broker, plugin] {
            assert!(said.contains("futex_waitv") && said.contains(why), "{said}");
        }
    }
}

/// A plugin that restricts itself after it has connected sleeps in its waits, and does not spin.
#[test]
fn who_may_not_wait_any_more_sleeps_and_does_not_spin() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    for (errno, _) in ANSWERS {
        let mut peer = bus.peer("filtered", "F", &["after", errno]);
        let line = peer.ask("1500");
        let (outcome, ticks) = line.split_once(' ').expect("two words");
        assert_eq!(outcome, "OK");
        // A wait that spins would take 150, with ticks of ten milliseconds.
        let ticks: u64 = ticks.parse().expect("a number");
        assert!(ticks < 60, "{ticks} ticks in a call of 1.5 s");
        assert_eq!(peer.ask("1").split(' ').next(), Some("OK"));
    }
}

/// A command in a time namespace of its own, whose monotonic clock is so many seconds ahead. `None` if this process
/// may not make one.
fn in_other_time(ahead: u32, program: &str, arguments: &[&str]) -> Option<Command> {
    let ahead = ahead.to_string();
    for privilege in [&["-T"][..], &["-r", "-T"]] {
        let command = || {
            let mut command = Command::new("unshare");
            command.args(privilege).args(["--monotonic", &ahead, "--"]);
            command
        };
        let tried = command().arg("true").output();
        if tried.is_ok_and(|output| output.status.success()) {
            let mut command = command();
            command.arg(program).args(arguments);
            return Some(command);
        }
    }
    println!("skipped: this process may not make a time namespace");
    None
}

/// Plugins with different clocks are told so when they are linked. Otherwise every call would seem late to the
/// provider, or to have time without end. Two plugins that share such a clock can call each other.
#[test]
fn plugins_with_different_clocks_are_told_so_when_they_are_linked() {
    let bus = Bus::start(programs!());
    let peer = |ahead, name| {
        let mut command = in_other_time(ahead, programs!().peer, &["provider", name])?;
        command.env("CALLGATE_SOCKET", bus.socket());
        let mut peer = Process::spawn(command);
        assert_eq!(peer.expect_line(), "ready");
        Some(peer)
    };
    let Some(ahead) = peer(100_000, "Ahead") else {
        return;
    };
    // Two seconds: no hello takes so long, so the broker notices the difference.
    let near = peer(2, "Near").expect("as before");
    let same = peer(0, "Same").expect("as before");
    let caller = bus.plugin("Caller");
    for (name, apart) in [("Ahead", "100000s"), ("Near", "2s")] {
        let gate = format!("{name}.Add");
        let error = caller.subscriber::<(u64, u64), u64>(&gate);
        let error = error.expect_err("the clocks differ");
        assert_eq!(error.code(), Code::System, "{error}");
        for word in ["Caller", name, apart, "time namespace"] {
            assert!(error.message().contains(word), "{word}: {error}");
        }
        assert_eq!(error.gate(), Some(&*gate));
    }
    let add = open::<(u64, u64), u64>(&caller, "Same.Add");
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);

    let mut other = in_other_time(100_000, programs!().peer, &["caller", "Other", "Ahead"]);
    let other = other.as_mut().expect("as before");
    other.env("CALLGATE_SOCKET", bus.socket());
    let mut other = Process::spawn(std::mem::replace(other, Command::new("true")));
    assert_eq!(other.expect_line(), "ready");
    let until = Instant::now() + PATIENCE;
    while other.ask("how many?").starts_with("0 ") {
        assert!(Instant::now() < until, "no call was answered");
        thread::sleep(Duration::from_millis(10));
    }
    drop((ahead, near, same));
}

/// A socket whose queue is full of waiting connections, and one more that connects.
struct Queue {
    directory: TempDir,
    listener: OwnedFd,
    waiting: Vec<OwnedFd>,
}

impl Queue {
    fn full() -> Queue {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("bus.sock");
        let address = UnixAddr::new(&path).expect("an address");
        let new = || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket")
        };
        let listener = new();
        bind(listener.as_raw_fd(), &address).expect("binding");
        listen(&listener, Backlog::new(1).expect("a number")).expect("listening");
        let knock = || {
            let socket = new();
            connect(socket.as_raw_fd(), &address).ok().map(|()| socket)
        };
        let waiting = std::iter::from_fn(knock).collect();
        Queue {
            directory,
            listener,
            waiting,
        }
    }

    fn connect(&self, timeout: Duration) -> callgate_client::Error {
        let builder = Plugin::builder("P").timeout(timeout);
        let path = self.directory.path().join("bus.sock");
        builder
            .socket(path)
            .connect()
            .expect_err("no broker is there")
    }
}

/// If many plugins start and the broker's queue is full for a moment, they wait for it.
#[test]
fn a_full_queue_is_waited_for() {
    let queue = Queue::full();
    assert!(!queue.waiting.is_empty());
    let pid = std::process::id();
    let lock = queue.directory.path().join("bus.sock.lock");
    std::fs::write(lock, format!("{pid} 1\n")).unwrap();
    let begun = Instant::now();
    let error = queue.connect(Duration::from_millis(300));
    assert!(begun.elapsed() >= Duration::from_millis(300), "{error}");
    assert_eq!(error.code(), Code::Timeout, "{error}");
    for word in ["did not take", "bus.sock", &format!("pid {pid}")] {
        assert!(error.message().contains(word), "{word}: {error}");
    }
    // They go on once the queue has room.
    let listener = queue.listener.as_fd().as_raw_fd();
    thread::scope(|scope| {
        let error = scope.spawn(|| queue.connect(Duration::from_secs(2)));
        thread::sleep(Duration::from_millis(200));
        let taken: Vec<i32> = (0..queue.waiting.len())
            .map(|_| accept4(listener, SockFlag::SOCK_CLOEXEC).expect("one of those that wait"))
            .collect();
        let error = error.join().expect("no panic");
        assert!(
            error.message().contains("did not answer the hello"),
            "{error}"
        );
        assert!(!taken.is_empty());
    });
}

/// An error names the broker that it is about, and says whether there never was one or it has just ended.
#[test]
fn errors_name_the_broker_that_is_meant() {
    let mut bus = Bus::start(programs!());
    let pid = bus.broker.as_ref().expect("it was started").id();
    let plugin = bus.mortal_plugin("P");
    let gate = plugin.subscriber::<(), ()>("Q.Absent").unwrap();
    bus.kill_broker();
    let who = format!("the broker (pid {pid}) at {}", bus.socket().display());
    let lost = plugin.wait_closed();
    assert_eq!(lost.code(), Code::BrokerGone);
    assert!(lost.message().starts_with(&who), "{lost}");
    assert!(!lost.message().contains("callgate serve"), "{lost}");
    assert_eq!(gate.invoke(()).unwrap_err().message(), lost.message());
    // An error of a larger operation also names the gate.
    for error in [
        plugin.subscriber::<(), ()>("Q.New").map(drop).unwrap_err(),
        plugin.watch("Q.New").map(drop).unwrap_err(),
    ] {
        assert_eq!(
            (error.code(), error.gate()),
            (Code::BrokerGone, Some("Q.New"))
        );
        assert_eq!(error.message(), lost.message());
    }
    let absent = bus.builder("R").connect().expect_err("it was killed");
    assert_eq!(absent.code(), Code::BrokerGone);
    let path = bus.socket().display().to_string();
    for word in [
        &*path,
        "callgate serve",
        &format!("process {pid}, has ended"),
    ] {
        assert!(absent.message().contains(word), "{word}: {absent}");
    }
    let nowhere = bus.directory().join("nowhere.sock");
    let never = Plugin::builder("R").socket(&nowhere).connect();
    assert!(!never.unwrap_err().message().contains("process"));
    let none = Plugin::builder("R")
        .socket(bus.socket())
        .timeout(Duration::ZERO);
    assert_eq!(code(none.connect()), Code::Timeout);
}
