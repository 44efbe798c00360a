//! The connection that a broker leaves to a program: this test starts itself as the program.

#![cfg(not(callgate_loom))]
#![allow(clippy::unwrap_used)]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;

use callgate_layout::control::{Failure, SessionToPlugin, ToPlugin};
use callgate_layout::invitation;
use callgate_layout::sys::fdpass;
use callgate_layout::sys::inherit::{self, Refused, VARIABLE};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// The variable with what the program must find.
const EXPECTED: &str = "CALLGATE_TEST_EXPECTED";

/// A connection that programs inherit, and its other end.
fn connection() -> (OwnedFd, OwnedFd) {
    let (ours, theirs) = fdpass::pair().unwrap();
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    (ours, theirs)
}

/// Starts the program with this value of the variable; fails if the program finds something else.
fn finds(expected: &str, value: Option<&str>) {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "the_program", "--nocapture"]);
    program.env(EXPECTED, expected).env_remove(VARIABLE);
    program.envs(value.map(|value| (VARIABLE, value)));
    let output = program.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{value:?}: {text}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}");
}

/// Runs in the program that the other tests start.
#[test]
fn the_program() {
    let Ok(expected) = std::env::var(EXPECTED) else {
        return;
    };
    let value = std::env::var(VARIABLE).unwrap_or_default();
    let found = invitation::take();
    let is_right = match (&*expected, &found) {
        ("nothing", None) => true,
        ("taken", Some(Ok(socket))) => {
            let number = format!("{}:", socket.as_raw_fd());
            let flags = fcntl(socket, FcntlArg::F_GETFD).unwrap();
            let again = invitation::take();
            value.starts_with(&number)
                && FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC)
                && matches!(again, Some(Err(Refused::Taken)))
                && fdpass::send(socket.as_fd(), b"hello", &[]).is_ok()
        }
        ("malformed", Some(Err(Refused::Malformed(text)))) => *text == value,
        ("stale", Some(Err(Refused::Stale(raw)))) => value.starts_with(&format!("{raw}:")),
        ("used", Some(Err(Refused::Used(raw)))) => value.starts_with(&format!("{raw}:")),
        _ => false,
    };
    assert!(is_right, "{expected} is not {found:?}");
    if let Some(Err(error)) = found {
        assert!(error.to_string().contains(VARIABLE), "{error}");
        let again = invitation::take();
        assert!(!matches!(again, Some(Err(Refused::Taken))), "not taken");
    }
}

/// One process takes the invitation and is the plugin; all later attempts fail.
#[test]
fn an_invitation_is_taken_once() {
    let (ours, theirs) = connection();
    invitation::send(ours.as_fd(), "P").unwrap();
    let value = inherit::value(theirs.as_fd()).unwrap();
    finds("taken", Some(&value));
    let mut buffer = [0; 8];
    let hello = fdpass::receive(ours.as_fd(), &mut buffer).unwrap();
    assert_eq!(&buffer[..hello.len], b"hello");
    finds("used", Some(&value));
    drop(ours);
    finds("used", Some(&value));
    finds("nothing", None);
}

/// Records other than an invitation stay in the connection, for the process that owns it.
#[test]
fn another_record_is_left_where_it_is() {
    let (ours, theirs) = connection();
    let ended = ToPlugin::from(SessionToPlugin::Ended(Failure::new(
        callgate_layout::Code::Closed,
        "over",
    )));
    let record = ended.encode().unwrap();
    fdpass::send(ours.as_fd(), &record, &[]).unwrap();
    let value = inherit::value(theirs.as_fd()).unwrap();
    finds("used", Some(&value));
    let mut buffer = [0; 1024];
    let received = fdpass::receive(theirs.as_fd(), &mut buffer).unwrap();
    assert_eq!(buffer[..received.len], record[..]);
}

/// A number that was meant for another process, or for none, is refused and does no harm.
#[test]
fn a_wrong_number_is_refused() {
    let (_ours, theirs) = connection();
    let raw = theirs.as_raw_fd();
    let value = inherit::value(theirs.as_fd()).unwrap();
    let (_, inode) = value.split_once(':').unwrap();
    for wrong in ["", "7", ":", "x:7", "7:x", "0:1", "-1:1", "+:"] {
        finds("malformed", Some(wrong));
    }
    finds("malformed", Some(&format!("2:{inode}")));
    for stale in [
        format!("{raw}:1{inode}"),
        format!("100000:{inode}"),
        "100000:0".to_owned(),
    ] {
        finds("stale", Some(&stale));
    }
    // A file is no socket, so its number is refused.
    let (reader, _writer) = std::io::pipe().unwrap();
    assert!(inherit::value(reader.as_fd()).is_err());
}
