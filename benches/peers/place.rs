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

/// The processors on which the calling thread may run, to be restored later.
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

/// The CPU clocks of this process and of others, which are asked nothing.
#[derive(Clone, Debug)]
pub(crate) struct CpuClocks {
    callee: Pid,
    clocks: Vec<ClockId>,
}

impl CpuClocks {
    /// Those of this process, of the callee's, and of whoever else takes part.
    pub(crate) fn new(callee: u32, others: &[u32]) -> Result<CpuClocks> {
        let mut clocks = vec![ClockId::CLOCK_PROCESS_CPUTIME_ID];
        for &process in others.iter().chain([&callee]) {
            clocks.push(clock_getcpuclockid(Pid::from_raw(i32::try_from(process)?))?);
        }
        let callee = Pid::from_raw(i32::try_from(callee)?);
        Ok(CpuClocks { callee, clocks })
    }

    /// That of this process, which calls itself.
    pub(crate) fn of_this_process() -> CpuClocks {
        CpuClocks {
            callee: Pid::this(),
            clocks: vec![ClockId::CLOCK_PROCESS_CPUTIME_ID],
        }
    }

    /// Nanoseconds of CPU that all of them have used.
    pub(crate) fn read(&self) -> Result<u64> {
        let mut sum = 0;
        for clock in &self.clocks {
            let time = clock_gettime(*clock)?;
            sum += time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64;
        }
        Ok(sum)
    }

    /// Page faults of this process and of the callee's so far.
    pub(crate) fn faults(&self) -> Result<u64> {
        let mut sum = 0;
        for process in [Pid::this(), self.callee] {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            // The name in front stands in parentheses and can contain anything.
            let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
            let minor = fields.split_whitespace().nth(7).ok_or("no count")?;
            sum += minor.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// How often the callee's threads have gone to sleep.
    pub(crate) fn callee_sleeps(&self) -> Result<u64> {
        sleeps(u32::try_from(self.callee.as_raw())?)
    }
}

/// How often a process's threads have gone to sleep, as the kernel counts it. Giving way to somebody else does
/// not count.
pub(crate) fn sleeps(process: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += count.map_or(Ok(0), |count| count.trim().parse::<u64>())?;
    }
    Ok(sum)
}
