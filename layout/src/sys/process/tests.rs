//! Processes that this one starts, by their descriptors.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

fn shell(script: &str) -> (Child, OwnedFd) {
    let mut command = Command::new("sh");
    command.args(["-c", script]).process_group(0);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = piped.spawn().unwrap();
    let pidfd = pidfd_open(child.id()).unwrap();
    (child, pidfd)
}

/// Whether the kernel still reports how a process ended after its status was taken: since Linux 6.15.
fn keeps_status() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap(), numbers.next().unwrap());
    version >= (6, 15)
}

/// Waits until the process has ended, without taking its status.
fn await_end(pidfd: &OwnedFd) {
    let start = Instant::now();
    while !has_ended(pidfd.as_fd()) {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The status says how a program ended: by itself or by a signal. It can be taken once.
#[test]
fn a_status_is_taken_in_once_and_is_the_right_one() {
    type Ended = (Option<i32>, Option<i32>);
    let cases: [(&str, Ended); 4] = [
        ("exit 0", (Some(0), None)),
        ("exit 3", (Some(3), None)),
        ("exit 255", (Some(255), None)),
        ("kill -9 $$", (None, Some(9))),
    ];
    for (script, expected) in cases {
        let (_child, pidfd) = shell(script);
        await_end(&pidfd);
        assert!(is_unreaped_child(pidfd.as_fd()), "{script}");
        let status = reap(pidfd.as_fd()).unwrap().unwrap();
        assert_eq!((status.code(), status.signal()), expected, "{script}");
        assert!(!status.core_dumped());
        assert!(!is_unreaped_child(pidfd.as_fd()), "{script}");
        let again = reap(pidfd.as_fd()).unwrap_err();
        assert_eq!(again.raw_os_error(), Some(libc::ECHILD));
        match exit_status(pidfd.as_fd()) {
            Some(kept) => assert_eq!(kept, status, "{script}"),
            None => assert!(!keeps_status(), "{script}: this kernel says it"),
        }
    }
}

/// Nobody gets a status of a process that still runs.
#[test]
fn a_process_that_runs_has_no_status() {
    let (mut child, pidfd) = shell("read never");
    assert!(!has_ended(pidfd.as_fd()));
    assert!(is_unreaped_child(pidfd.as_fd()));
    assert_eq!(reap(pidfd.as_fd()).unwrap(), None);
    assert_eq!(exit_status(pidfd.as_fd()), None);
    signal(pidfd.as_fd(), 0, Whom::Process).unwrap();
    signal(pidfd.as_fd(), libc::SIGKILL, Whom::Process).unwrap();
    await_end(&pidfd);
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    let gone = signal(pidfd.as_fd(), 0, Whom::Process).unwrap_err();
    assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
}

/// A signal to a group also reaches processes that a wrapper program has started.
#[test]
fn a_signal_to_a_group_reaches_all_of_it() {
    let (mut child, pidfd) = shell("sleep 100 & echo begun; read never; wait");
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 6]).unwrap();
    if let Err(error) = signal(pidfd.as_fd(), libc::SIGKILL, Whom::Group) {
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        println!("skipped: this kernel does not signal groups by a descriptor");
        return child.kill().unwrap();
    }
    let start = Instant::now();
    // The read ends when nobody holds the other end any more.
    output.read_to_end(&mut Vec::new()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(50), "`sleep` went on");
    child.wait().unwrap();
}

/// A number that belongs to no process, or to one that has ended, gives no descriptor.
#[test]
fn who_is_gone_cannot_be_opened() {
    let (mut child, _pidfd) = shell("exit");
    child.wait().unwrap();
    assert!(pidfd_open(child.id()).is_err());
    let (one, _other) = crate::sys::fdpass::pair().unwrap();
    let peer = peer_pidfd(one.as_fd(), std::process::id()).unwrap();
    assert!(!has_ended(peer.as_fd()), "it is this process");
}
