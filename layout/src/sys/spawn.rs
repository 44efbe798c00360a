//! What a program takes along that a host starts.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

/// Has the kernel kill the program that a command starts when the thread ends that starts it, and
/// so also when this whole process is killed: whatever the program does, and whether it ever
/// connects or not.
///
/// It holds for the process that is started and not for its children, and not for a program that
/// changes its user or its rights when it is started. Start it from a thread that lives on.
pub fn end_with_starter(command: &mut Command) {
    let starter = process::id();
    let before_exec = move || -> io::Result<()> {
        set_pdeathsig(Signal::SIGKILL)?;
        // Where the starter has ended before that, nobody will send the signal. 0 is a parent
        // outside this process's namespace.
        match u32::try_from(getppid().as_raw()) {
            Ok(parent) if parent == starter || parent == 0 => Ok(()),
            _ => Err(Errno::ESRCH.into()),
        }
    };
    // SAFETY: the closure runs in the forked child before exec and makes two system calls, both
    // allowed there; it allocates nothing (errors are plain numbers) and takes no lock.
    unsafe { command.pre_exec(before_exec) };
}
