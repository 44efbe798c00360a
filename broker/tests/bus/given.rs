//! A listening socket that the broker was given.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use callgate::{Broker, StartError};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};

use crate::support::Peer;

fn bound(path: &Path, kind: SockType) -> OwnedFd {
    let made = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(made.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    made
}

fn listening(path: &Path) -> OwnedFd {
    let made = bound(path, SockType::SeqPacket);
    listen(&made, Backlog::new(8).unwrap()).unwrap();
    made
}

fn start(socket: impl Into<OwnedFd>) -> Result<Broker, StartError> {
    Broker::builder().listener(socket.into()).start()
}

fn refusal(socket: impl Into<OwnedFd>) -> String {
    start(socket).expect_err("it started").to_string()
}

/// A plugin that connects while the broker is restarted waits in the socket's queue, and is not told that there is no
/// broker.
#[test]
fn who_connects_between_two_brokers_waits_for_the_second() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus.sock");
    let made = listening(&path);
    for n in 0..3 {
        let mut waits = Peer::connect(&path);
        let broker = start(made.try_clone().unwrap()).unwrap();
        assert_eq!(broker.socket(), Some(path.as_path()));
        waits.join(&format!("waits-{n}"));
        let mut later = Peer::connect(&path);
        later.join("later");
        let listing = broker.snapshot().unwrap();
        assert_eq!(
            (listing.plugins.len(), listing.broker.generation),
            (2, n + 1)
        );
        broker.stop();
        assert!(path.exists(), "the file is not the broker's");
        // The lock file stays as well, unlocked, and counts the brokers.
        assert!(directory.path().join("bus.sock.lock").exists());
    }
}

/// Two brokers that accept from one queue would each have half of the plugins.
#[test]
fn the_lock_beside_the_socket_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus.sock");
    let made = listening(&path);
    let broker = start(made.try_clone().unwrap()).unwrap();
    let pid = std::process::id().to_string();
    let by_path = Broker::builder().socket(&path).start();
    let by_path = by_path.expect_err("it started").to_string();
    for why in [refusal(made), by_path] {
        assert!(why.contains(&pid) && why.contains("bus.sock"), "{why}");
    }
    Peer::connect(&path).join("a");
    broker.stop();
}

/// A broker that was given its socket does not make it again when it is removed: the path may belong to another
/// program.
#[test]
fn a_socket_that_is_removed_is_not_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus.sock");
    let broker = start(listening(&path)).unwrap();
    let mut peer = Peer::connect(&path);
    peer.join("a");
    fs::remove_file(&path).unwrap();
    fs::remove_file(directory.path().join("bus.sock.lock")).unwrap();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(peer.is_quiet(), "who was there is served on");
    // Nor does it remove another program's socket that is there when it ends.
    let _other = listening(&path);
    broker.stop();
    assert!(path.exists());
}

/// A socket that plugins cannot connect to is refused, with the reason.
#[test]
fn what_plugins_cannot_connect_to_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let name = format!("callgate-given-{}", std::process::id());
    let name = SocketAddr::from_abstract_name(name).unwrap();
    let flags = SockFlag::SOCK_CLOEXEC;
    let hidden = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
    let address = UnixAddr::new_abstract(b"callgate-given").unwrap();
    bind(hidden.as_raw_fd(), &address).unwrap();
    listen(&hidden, Backlog::new(8).unwrap()).unwrap();
    let file = fs::File::create(path("file")).unwrap();
    let refused: [(OwnedFd, &str); 8] = [
        (
            UnixListener::bind(path("stream")).unwrap().into(),
            "ListenSequentialPacket=",
        ),
        (
            UnixDatagram::bind(path("datagram")).unwrap().into(),
            "ListenSequentialPacket=",
        ),
        (
            UnixListener::bind_addr(&name).unwrap().into(),
            "ListenSequentialPacket=",
        ),
        (
            UnixStream::pair().unwrap().0.into(),
            "ListenSequentialPacket=",
        ),
        (
            TcpListener::bind("127.0.0.1:0").unwrap().into(),
            "no Unix socket",
        ),
        (file.into(), "no Unix socket"),
        (
            bound(&path("quiet"), SockType::SeqPacket),
            "does not listen",
        ),
        (hidden, "absolute path"),
    ];
    for (given, expected) in refused {
        let why = refusal(given);
        assert!(why.contains(expected), "{expected}: {why}");
    }
    let open = path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let why = refusal(listening(&open.join("bus.sock")));
    assert!(why.contains("others can write"), "{why}");
}
