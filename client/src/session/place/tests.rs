//! Connecting by a path whose meaning changes, and to sockets of other users.

use std::fs::{create_dir, remove_dir_all, rename};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::socket::{Backlog, bind, listen};

use super::*;

/// A directory of this test's, which is removed with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("callgate-place-{name}-{}", std::process::id());
        let directory = canonicalize(std::env::temp_dir()).unwrap().join(name);
        create_dir(&directory).unwrap();
        Scratch(directory)
    }

    /// A directory in it.
    fn directory(&self, name: &str) -> PathBuf {
        let directory = self.0.join(name);
        create_dir(&directory).unwrap();
        directory
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_dir_all(&self.0);
    }
}

/// A socket at a path at which nobody listens yet.
fn bound(path: &Path) -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = new_socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
    bind(socket.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    socket
}

fn listening(path: &Path) -> OwnedFd {
    let socket = bound(path);
    listen(&socket, Backlog::new(8).unwrap()).unwrap();
    socket
}

fn connected(place: &Place) -> Result<BrokerName> {
    let until = Instant::now() + Duration::from_secs(10);
    place.connect(until).map(|(_, name)| name)
}

fn refusal(outcome: Result<BrokerName>) -> Error {
    outcome.map(|name| name.to_string()).unwrap_err()
}

/// A plugin that came back after the user had changed a symbolic link was on another bus than before.
#[test]
fn a_link_that_is_changed_leads_nowhere_else() {
    let scratch = Scratch::new("link");
    let [first, second] = ["first", "second"].map(|name| scratch.directory(name));
    let link = scratch.0.join("link");
    symlink(&first, &link).unwrap();
    let place = Place::resolve(&link.join("bus.sock")).unwrap();
    assert_eq!(place.path(), first.join("bus.sock"));
    let _elsewhere = listening(&second.join("bus.sock"));
    symlink(&second, scratch.0.join("other")).unwrap();
    rename(scratch.0.join("other"), &link).unwrap();
    let why = refusal(connected(&place));
    assert_eq!(why.code(), Code::BrokerGone);
    assert!(why.message().contains("first/bus.sock"), "{why}");
    let listener = listening(&first.join("bus.sock"));
    let name = connected(&place).unwrap().to_string();
    assert!(
        name.contains(&std::process::id().to_string()) && name.contains("first"),
        "{name}"
    );
    // And again, when another listens there.
    drop(listener);
    std::fs::remove_file(first.join("bus.sock")).unwrap();
    assert_eq!(refusal(connected(&place)).code(), Code::BrokerGone);
    let _later = listening(&first.join("bus.sock"));
    connected(&place).unwrap();
}

/// A relative path led elsewhere after the program had changed its working directory.
#[test]
fn a_relative_path_is_made_absolute() {
    let here = canonicalize(std::env::current_dir().unwrap()).unwrap();
    match Place::resolve(Path::new("bus.sock")) {
        Ok(place) => assert_eq!(place.path(), here.join("bus.sock")),
        Err(error) => assert_eq!(error.code(), Code::PermissionDenied, "{error}"),
    }
}

/// A plugin could connect by a path that a symbolic link made short, but could not come back, because the path
/// without the link was too long.
#[test]
fn a_long_directory_is_reached_by_a_short_link() {
    let scratch = Scratch::new("long");
    let long = scratch.directory(&"l".repeat(200));
    let link = scratch.0.join("s");
    symlink(&long, &link).unwrap();
    let _listener = listening(&link.join("bus.sock"));
    let place = Place::resolve(&link.join("bus.sock")).unwrap();
    connected(&place).unwrap();
    let direct = Place::resolve(&long.join("bus.sock")).unwrap_err();
    assert_eq!(direct.code(), Code::InvalidArgument, "as the broker says");
}

/// Paths that do not end in a name for a socket.
#[test]
fn a_path_without_a_name_is_refused() {
    for path in ["", "/", "..", "/tmp/.."] {
        let error = Place::resolve(Path::new(path)).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{path}: {error}");
    }
}

/// The directory belonged only to this user when the plugin first connected, and is writable by others when it
/// comes back.
#[test]
fn the_directory_is_looked_at_each_time() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("mode");
    let directory = scratch.directory("d");
    let _listener = listening(&directory.join("bus.sock"));
    let place = Place::resolve(&directory.join("bus.sock")).unwrap();
    connected(&place).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    let why = refusal(connected(&place));
    assert_eq!(why.code(), Code::PermissionDenied);
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
    connected(&place).unwrap();
    remove_dir_all(&directory).unwrap();
    let why = refusal(connected(&place));
    assert!(
        why.message().contains("its directory does not exist"),
        "{why}"
    );
}

/// The kernel knows whose process listens; the socket's file does not tell.
#[test]
fn a_listener_of_another_user_is_refused() {
    const NAME: &str = "session::place::tests::listens_on_its_standard_input";
    if !geteuid().is_root() {
        return println!("skipped: only root starts processes of other users");
    }
    let scratch = Scratch::new("uid");
    let socket = scratch.0.join("bus.sock");
    let others = bound(&socket);
    // A copy, because nobody else may enter the directory that the tests were built in.
    let program = std::env::temp_dir().join(format!("callgate-place-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut test = Command::new(&program);
    test.args(["--exact", NAME, "--nocapture", "--ignored"]);
    test.current_dir("/").uid(65534).gid(65534);
    // The process that calls `listen` counts as the listener, even if it has ended and another has the socket.
    let outcome = test
        .stdin(Stdio::from(others.try_clone().unwrap()))
        .output();
    std::fs::remove_file(&program).unwrap();
    let outcome = outcome.unwrap();
    assert!(outcome.status.success(), "{outcome:?}");
    let place = Place::resolve(&socket).unwrap();
    let why = refusal(connected(&place));
    assert_eq!(why.code(), Code::PermissionDenied);
    for word in ["belongs to user 65534", "bus.sock", "remove that socket"] {
        assert!(why.message().contains(word), "{why}");
    }
    // Each attempt checks.
    listen(&others, Backlog::new(8).unwrap()).unwrap();
    connected(&place).unwrap();
}

/// Not a test by itself: the other user's process for the test above.
#[test]
#[ignore = "the process that another test starts"]
fn listens_on_its_standard_input() {
    listen(&std::io::stdin(), Backlog::new(8).unwrap()).unwrap();
}
