use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;
use crate::sys::mapping::Mapping;
use crate::sys::{fdpass, memfd};

const LEN: usize = 1 << 20;

/// A memory file as the broker makes it: its own descriptor, the writer's and the reader's.
fn extent() -> [OwnedFd; 3] {
    let made = memfd::create("test", LEN).unwrap();
    let open = |writable| memfd::reopen(made.as_fd(), writable).unwrap();
    [open(true), open(true), open(false)]
}

fn is_held(fd: &OwnedFd) -> bool {
    is_held_elsewhere(fd.as_fd()).unwrap()
}

/// A map, a descriptor, or a descriptor that waits in a socket each count as holding the memory. Otherwise a plugin
/// could keep memory that nobody is charged for.
#[test]
fn every_way_to_hold_memory_is_seen() {
    let [own, writer, reader] = extent();
    assert!(is_held(&own), "both descriptors");
    memfd::allocate(writer.as_fd(), LEN).unwrap();
    let map = Mapping::writable(writer, LEN).unwrap();
    memfd::seal_writer(own.as_fd()).unwrap();
    assert!(is_held(&own), "a writable map and a descriptor for reading");
    drop(map);
    let (ours, theirs) = fdpass::pair().unwrap();
    fdpass::send(ours.as_fd(), b"x", &[reader.as_fd()]).unwrap();
    drop(reader);
    assert!(is_held(&own), "a descriptor in flight");
    let received = fdpass::receive(theirs.as_fd(), &mut [0; 8]).unwrap();
    let [reader] = received.descriptors.try_into().unwrap();
    let map = Mapping::read_only(reader, LEN).unwrap();
    assert!(is_held(&own), "a map for reading");
    drop(map);
    assert!(!is_held(&own), "nobody");
    assert_eq!(memfd::allocated(own.as_fd()).unwrap(), LEN as u64);
}

/// A process that opens the file during the lease does not end the broker by `SIGIO`.
#[test]
fn an_open_during_the_lease_ends_nobody() {
    let [own, writer, reader] = extent();
    let path = format!("/proc/self/fd/{}", own.as_raw_fd());
    let mut options = std::fs::File::options();
    let hidden = options.read(true).custom_flags(libc::O_PATH).open(&path);
    let hidden = hidden.unwrap();
    drop((writer, reader));
    assert!(take(own.as_fd()).unwrap(), "O_PATH does not count");
    let path = format!("/proc/self/fd/{}", hidden.as_raw_fd());
    let mut options = std::fs::File::options();
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let opened = options.open(&path).unwrap_err();
    assert_eq!(opened.raw_os_error(), Some(libc::EWOULDBLOCK));
    // The kernel sends the signal before it answers; the default action would end this process.
    let_go(own.as_fd()).unwrap();
    assert!(!is_held(&own));
    drop(options.open(&path).unwrap());
}

/// Taking a lease needs no capability: a broker has none.
#[test]
fn no_privilege_is_needed() {
    const NAME: &str = "sys::lease::tests::every_way_to_hold_memory_is_seen";
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: this is no privileged process, so all tests here show it");
    }
    // The test runs a copy of the program, because another user may not enter the directory of the build.
    let copy = std::env::temp_dir().join(format!("callgate-lease-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut test = Command::new(&copy);
    test.args(["--exact", NAME, "--nocapture"]);
    test.current_dir("/").uid(65534).gid(65534);
    let output = test.output();
    std::fs::remove_file(&copy).unwrap();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}
