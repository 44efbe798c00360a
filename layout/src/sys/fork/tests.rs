//! What a forked child inherits. The child reports by its exit status whether everything was as expected.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;

/// Runs a check in a forked child of this process, before it starts a program.
fn in_a_child(check: impl Fn() -> bool + Send + Sync + 'static) -> bool {
    let mut command = Command::new("true");
    let before_exec = move || match check() {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::EDOM)),
    };
    // SAFETY: the checks below load atomics, and make system calls that are allowed in a forked child.
    unsafe { command.pre_exec(before_exec) };
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::EDOM));
            false
        }
    }
}

/// The inode of a descriptor's file, if it is open.
fn inode(raw: i32) -> Option<u64> {
    // SAFETY: zeros are a `stat`, and the call writes one.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: `stat` is writable memory of the type that the call writes; the number may be any.
    let result = unsafe { libc::fstat(raw, &raw mut stat) };
    (result == 0).then_some(stat.st_ino)
}

fn does_not_block(raw: i32) -> bool {
    // SAFETY: takes two numbers, of which the first may be any.
    let flags = unsafe { libc::fcntl(raw, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK != 0
}

/// A forked child sees that it is one. A handle that it used would fault.
#[test]
fn a_child_knows_that_it_is_one() {
    let mark = ForkMark::here();
    assert!(mark.is_here());
    assert!(in_a_child(move || !mark.is_here()));
    assert!(in_a_child(move || ForkMark::here() != mark));
    assert!(mark.is_here() && ForkMark::here() == mark);
}

/// A change and a fork both change the one word that `changes` reads: a thread that looks at it alone misses neither.
#[test]
fn a_change_and_a_fork_are_told_by_one_word() {
    ForkMark::here();
    let before = changes();
    change();
    let after = changes();
    assert_ne!(after, before);
    assert!(in_a_child(move || changes() > after));
}

/// A child that lives on does not keep its parent's listening socket and lock.
#[test]
fn a_child_does_not_keep_what_is_withheld() {
    let files = [0, 1, 2].map(|_| File::from(crate::sys::memfd::create("test", 1).unwrap()));
    let numbers = [0, 1, 2].map(|n: usize| files[n].as_raw_fd());
    let inodes = numbers.map(inode);
    let kept = move || [0, 1, 2].map(|n| inode(numbers[n]) == inodes[n]);
    assert!(in_a_child(move || kept() == [true; 3]));
    let first = Withheld::new(files[0].as_fd()).unwrap();
    let second = Withheld::new(files[2].as_fd()).unwrap();
    assert!(in_a_child(move || kept() == [false, true, false]));
    // The numbers stay open, so that their owner in the child may close them. They stand for an empty counter, so
    // nobody waits for the parent's files.
    assert!(in_a_child(move || {
        numbers.into_iter().all(|raw| inode(raw).is_some())
    }));
    assert!(in_a_child(move || does_not_block(numbers[0])));
    drop(first);
    assert!(in_a_child(move || kept() == [true, true, false]));
    drop(second);
    assert!(in_a_child(move || kept() == [true; 3]));
}
