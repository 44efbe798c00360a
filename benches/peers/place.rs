//! Cores, CPU clocks and the kernel's counters.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Result;

/// The calling thread.
const SELF: Pid = Pid::from_raw(0);

/// Pins the calling thread, and those that it starts from here on.
pub(crate) fn pin_thread(core: usize) -> Result<()> {
    pin(SELF, core)
}

/// Pins every thread of this process.
pub(crate) fn pin_process(core: usize) -> Result<()> {
    for thread in fs::read_dir("/proc/self/task")? {
        let thread: i32 = thread?.file_name().to_string_lossy().parse()?;
        pin(Pid::from_raw(thread), core)?;
    }
    Ok(())
}

fn pin(thread: Pid, core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(thread, &cores)?;
    Ok(())
}

/// Where the calling thread may run, to be given back later.
pub(crate) fn cores() -> Result<CpuSet> {
    Ok(sched_getaffinity(SELF)?)
}

/// Lets the calling thread run where it could before.
pub(crate) fn unpin_thread(cores: &CpuSet) -> Result<()> {
    sched_setaffinity(SELF, cores)?;
    Ok(())
}

/// Whether both cores that scenarios name can be had.
pub(crate) fn has_two_cores() -> bool {
    let has = |cores: &CpuSet, core| cores.is_set(core).unwrap_or(false);
    cores().is_ok_and(|cores| has(&cores, 0) && has(&cores, 1))
}

/// The CPU clocks of the caller's process and of the callee's, which is asked nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuClocks {
    callee: Pid,
    clock: ClockId,
}

impl CpuClocks {
    pub(crate) fn new(callee: u32) -> Result<CpuClocks> {
        let callee = Pid::from_raw(i32::try_from(callee)?);
        let clock = clock_getcpuclockid(callee)?;
        Ok(CpuClocks { callee, clock })
    }

    /// Nanoseconds of CPU that both processes have used.
    pub(crate) fn read(&self) -> Result<u64> {
        let mut sum = 0;
        for clock in [ClockId::CLOCK_PROCESS_CPUTIME_ID, self.clock] {
            let time = clock_gettime(clock)?;
            sum += time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64;
        }
        Ok(sum)
    }

    /// How often the callee's threads have gone to sleep, as the kernel counts it. Giving way
    /// to somebody else does not count.
    pub(crate) fn callee_sleeps(&self) -> Result<u64> {
        let mut sum = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.callee))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            let count = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            sum += count.map_or(Ok(0), |count| count.trim().parse::<u64>())?;
        }
        Ok(sum)
    }
}
