//! What a program inherits from the host that starts it: descriptors, and a signal when its starter ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

/// Makes the kernel kill the program that a command starts when the thread that starts it ends, and so also when this
/// whole process is killed. This works whatever the program does, and whether or not it ever connects.
///
/// It holds for the started process and not for its children, and not for a program that changes its user or its
/// rights when it starts. Start it from a thread that lives on.
pub fn end_with_starter(command: &mut Command) {
    let starter = process::id();
    let before_exec = move || -> io::Result<()> {
        set_pdeathsig(Signal::SIGKILL)?;
        // If the starter has ended before this point, nobody will send the signal. 0 is a parent outside this
        // process's namespace.
        match u32::try_from(getppid().as_raw()) {
            Ok(parent) if parent == starter || parent == 0 => Ok(()),
            _ => Err(Errno::ESRCH.into()),
        }
    };
    // SAFETY: the closure runs in the forked child before exec and makes two system calls, both
    // allowed there; it allocates nothing (errors are plain numbers) and takes no lock.
    unsafe { command.pre_exec(before_exec) };
}

/// Makes a program that is about to be started inherit only its standard streams, even if this process has left other
/// descriptors open on exec. Before Linux 5.11 the program inherits every descriptor that is not marked as closed on
/// exec, as usual.
pub fn inherit_only_streams(command: &mut Command) {
    const FIRST: libc::c_uint = 3;
    const CLOEXEC: libc::c_uint = 1 << 2;
    let before_exec = || -> io::Result<()> {
        // SAFETY: takes three numbers. It closes nothing now, so what the standard library still needs before exec stays open.
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, CLOEXEC) };
        // If the kernel does not know the call, or a filter forbids it, the program starts all the same.
        Ok(())
    };
    // SAFETY: the closure runs in the forked child before exec and makes one system call, which is allowed there; it allocates
    // nothing and takes no lock.
    unsafe { command.pre_exec(before_exec) };
}

#[cfg(test)]
mod tests {
    use super::*;

    use nix::unistd::pipe;

    /// A program does not inherit what its host has open, such as another program's pipe.
    #[test]
    fn a_program_inherits_its_streams_alone() {
        // Not closed on exec.
        let (reading, _writing) = pipe().unwrap();
        let raw = std::os::fd::AsRawFd::as_raw_fd(&reading);
        let has_it = |prepare: fn(&mut Command)| {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("test -e /proc/self/fd/{raw}")]);
            prepare(&mut shell);
            shell.status().unwrap().success()
        };
        assert!(has_it(|_| {}));
        assert!(!has_it(inherit_only_streams));
    }
}
