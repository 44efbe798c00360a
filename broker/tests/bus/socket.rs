//! Where a socket may be, and to whom it may belong.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use callgate::{Broker, StartError};
use nix::unistd::{Uid, chown, geteuid};

use crate::support::{Peer, bus};

fn start(socket: &Path) -> Result<Broker, StartError> {
    Broker::builder().socket(socket).start()
}

fn refusal(socket: &Path) -> String {
    start(socket).expect_err("it started").to_string()
}

/// Two brokers on one socket would each have half of the plugins.
#[test]
fn a_second_broker_is_refused() {
    let bus = bus();
    let why = refusal(&bus.socket);
    let pid = std::process::id().to_string();
    assert!(why.contains(&pid) && why.contains("bus.sock"), "{why}");
    let mut plugin = bus.plugin("a");
    assert!(plugin.is_quiet(), "the first serves on");
}

/// After a crash nobody should have to remove files by hand.
#[test]
fn a_stale_socket_is_replaced() {
    let bus = bus();
    let (socket, aside) = (bus.socket.clone(), bus.directory.path().join("aside"));
    fs::rename(&socket, &aside).unwrap();
    let lock = bus.directory.path().join("bus.sock.lock");
    let owner = fs::read_to_string(&lock).unwrap();
    bus.broker.stop();
    assert!(!lock.exists(), "a clean end leaves nothing");
    // As a killed broker leaves them: a socket that nobody listens on, and a lock that nobody holds.
    fs::rename(&aside, &socket).unwrap();
    fs::write(&lock, owner).unwrap();
    let begun = Instant::now();
    let broker = start(&socket).unwrap();
    let took = begun.elapsed();
    assert!(
        took < Duration::from_millis(500),
        "its plugins wait: {took:?}"
    );
    assert_eq!(broker.snapshot().unwrap().broker.generation, 2);
    Peer::connect(&socket).join("a");
    broker.stop();
    assert!(!socket.exists() && !lock.exists());
}

/// A broker must not take the path of another program's socket.
#[test]
fn a_living_socket_of_another_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bus.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert!(refusal(&socket).contains("answers"));
    assert!(socket.exists());
}

/// Removing a file that only happens to have this name would lose data.
#[test]
fn a_file_in_the_way_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("bus.sock");
    fs::write(&socket, "precious").unwrap();
    let why = refusal(&socket);
    assert!(why.contains("is not a socket"), "{why}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
}

/// The kernel's own message, "invalid argument", does not help.
#[test]
fn a_path_that_is_too_long_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("x".repeat(120));
    let why = refusal(&socket);
    assert!(why.contains("107") && why.contains("bytes"), "{why}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// A place that cannot be written to is named in the error, with the reason.
#[test]
fn a_place_that_is_not_writable_is_refused() {
    for place in [
        "/proc/callgate/bus.sock",
        "/proc/self/bus.sock",
        "/sys/kernel/bus.sock",
    ] {
        let why = refusal(Path::new(place));
        assert!(why.contains(place), "{why}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let why = refusal(&file.join("bus.sock"));
    assert!(why.contains("file/bus.sock"), "{why}");
}

/// A user who can write into the directory can replace the broker's socket.
#[test]
fn a_directory_that_others_control_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let socket = inner.join("bus.sock");
    for mode in [0o1777, 0o775] {
        fs::set_permissions(&inner, Permissions::from_mode(mode)).unwrap();
        let why = refusal(&socket);
        assert!(why.contains("others can write"), "{why}");
    }
    fs::set_permissions(&inner, Permissions::from_mode(0o755)).unwrap();
    start(&socket).unwrap().stop();
    // Only the super-user can give a directory away; others find theirs in /proc above.
    if geteuid().is_root() {
        chown(&inner, Some(Uid::from_raw(12345)), None).unwrap();
        let why = refusal(&socket);
        assert!(why.contains("belongs to user 12345"), "{why}");
    }
}

/// Other users must not even be able to connect.
#[test]
fn socket_and_directory_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("new/bus.sock");
    let broker = start(&socket).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(&directory.path().join("new")), 0o700);
    assert_eq!(broker.socket(), Some(socket.as_path()));
}

/// A mistyped path must not become a tree of directories.
#[test]
fn of_a_given_path_only_the_last_directory_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let why = refusal(&directory.path().join("no/such/bus.sock"));
    assert!(
        why.contains("no/such/bus.sock") && why.contains("last one"),
        "{why}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Waits until a plugin can join at a path; `None` when it never could.
fn join_in_time(socket: &Path, name: &str) -> Option<Peer> {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if let Some(mut peer) = Peer::try_connect(socket) {
            peer.join(name);
            return Some(peer);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// A broker puts its socket back if it is removed, for example by a program that cleans up temporary files.
#[test]
fn a_socket_that_is_removed_is_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    let socket = inner.join("bus.sock");
    let lock = inner.join("bus.sock.lock");
    fs::create_dir(&inner).unwrap();
    fs::write(&lock, "4711 6").unwrap();
    let broker = start(&socket).unwrap();
    let mut first = Peer::connect(&socket);
    first.join("first");
    type Remove<'a> = &'a dyn Fn();
    let removals: [(&str, Remove<'_>); 4] = [
        ("socket", &|| fs::remove_file(&socket).unwrap()),
        ("lock", &|| fs::remove_file(&lock).unwrap()),
        ("renamed", &|| fs::rename(&socket, inner.join("x")).unwrap()),
        ("all", &|| fs::remove_dir_all(&inner).unwrap()),
    ];
    for (name, remove) in removals {
        let before = file_of(&lock);
        remove();
        if name == "lock" || name == "all" {
            let until = Instant::now() + Duration::from_secs(10);
            while file_of(&lock).is_none() || file_of(&lock) == before {
                assert!(Instant::now() < until, "{name}: the lock is not put back");
                thread::sleep(Duration::from_millis(5));
            }
        }
        join_in_time(&socket, name).unwrap_or_else(|| panic!("{name}: nobody can connect"));
        let again = refusal(&socket);
        assert!(again.contains(&std::process::id().to_string()), "{again}");
        let text = fs::read_to_string(&lock).unwrap();
        assert_eq!(text, format!("{} 7\n", std::process::id()), "{name}");
    }
    assert!(first.is_quiet(), "who was there stays");
    assert_eq!(broker.snapshot().unwrap().broker.generation, 7);
    broker.stop();
    assert!(!socket.exists() && !lock.exists());
}

fn file_of(path: &Path) -> Option<(u64, u64)> {
    let entry = fs::symlink_metadata(path).ok()?;
    Some((entry.dev(), entry.ino()))
}

/// A broker that stops removes only its own files, and not those of another broker that has taken the path.
#[test]
fn a_broker_that_stops_removes_what_is_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let [socket, aside] = ["bus.sock", "aside.sock"].map(|name| directory.path().join(name));
    let [lock, aside_lock] = [&socket, &aside].map(|path| path.with_extension("sock.lock"));
    let old = start(&socket).unwrap();
    let mut first = Peer::connect(&socket);
    first.join("first");
    // The other broker's files get to the path in one step each, so that the first broker cannot put its own back in between.
    let _listener = UnixListener::bind(&aside).unwrap();
    let held = fs::File::create(&aside_lock).unwrap();
    held.lock().unwrap();
    fs::rename(&aside_lock, &lock).unwrap();
    fs::rename(&aside, &socket).unwrap();
    let theirs = (file_of(&socket), file_of(&lock));
    // The broker looks, and leaves the other one's files as they are.
    thread::sleep(Duration::from_millis(200));
    assert_eq!((file_of(&socket), file_of(&lock)), theirs);
    assert!(first.is_quiet(), "it serves those it has");
    old.stop();
    assert_eq!((file_of(&socket), file_of(&lock)), theirs);
}

/// A broker makes nothing in the directory of another user: `sudo -E callgate serve` would leave a directory of the
/// super-user in a user's runtime directory, and that user's own broker could not start any more.
#[test]
fn nothing_is_made_in_the_directory_of_another_user() {
    if !geteuid().is_root() {
        println!("skipped: only the super-user can give a directory away");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let runtime = directory.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    chown(&runtime, Some(Uid::from_raw(12345)), None).unwrap();
    let why = refusal(&runtime.join("callgate/bus.sock"));
    for word in ["belongs to user 12345", "XDG_RUNTIME_DIR", "callgate"] {
        assert!(why.contains(word), "{why}");
    }
    assert_eq!(fs::read_dir(&runtime).unwrap().count(), 0);
}
