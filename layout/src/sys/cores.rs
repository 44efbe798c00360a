//! Which core a thread runs on.

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::time;

/// Nanoseconds for which this thread has run. Less than the time that has passed since an earlier look means that the
/// thread slept or waited for a core.
pub fn running_time() -> u64 {
    time::read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Moves this thread to another one of the cores that it may run on. Returns false if there is no other, or the
/// kernel refuses. Afterwards the thread may run on the same cores as before.
pub fn move_on() -> bool {
    try_move().unwrap_or(false)
}

fn try_move() -> nix::Result<bool> {
    let me = Pid::from_raw(0);
    let allowed = sched_getaffinity(me)?;
    let mut others = allowed;
    others.unset(sched_getcpu()?)?;
    if others == CpuSet::new() {
        return Ok(false);
    }
    // When this returns, the kernel has moved the thread to one of the other cores.
    sched_setaffinity(me, &others)?;
    sched_setaffinity(me, &allowed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_was_moved_may_run_where_it_might_before() {
        let me = Pid::from_raw(0);
        let before = sched_getaffinity(me).expect("its cores");
        let cores = (0..CpuSet::count()).filter(|core| before.is_set(*core) == Ok(true));
        assert_eq!(move_on(), cores.count() > 1);
        assert_eq!(sched_getaffinity(me), Ok(before));
    }
}
