//! What the kernel reports about a process: its time, its descriptors, its maps.

use std::fs;
use std::time::{Duration, Instant};

/// The number of open descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    entries.map_or(0, |entries| entries.flatten().count())
}

/// The targets of a process's descriptors.
pub fn names_of_descriptors(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    names.map(|name| name.display().to_string()).collect()
}

/// The number of threads of a process.
pub fn threads(pid: u32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    entries.map_or(0, |entries| entries.flatten().count())
}

/// Nanoseconds for which the threads of this name have run in a process; an empty name means all threads.
pub fn ran(pid: u32, name: &str) -> u64 {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = entries.into_iter().flatten().flatten();
    let of_task = tasks.filter_map(|task| {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).ok();
        let is_meant = name.is_empty() || read("comm")?.trim_end() == name;
        let ran = read("schedstat")?.split(' ').next()?.parse::<u64>().ok()?;
        is_meant.then_some(ran)
    });
    of_task.sum::<u64>()
}

/// The maps of a process, one line each.
pub fn maps(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// How many maps of a process are memory that Callgate shares between processes.
pub fn shared_maps(pid: u32) -> usize {
    let shared = |line: &String| line.contains("/memfd:callgate");
    maps(pid).iter().filter(|line| shared(line)).count()
}

/// Clock ticks (1/100 s) that a process has spent in user and kernel mode.
pub fn ticks(pid: u32) -> u64 {
    let fields = stat(pid);
    [11, 12]
        .iter()
        .filter_map(|&at| fields.get(at)?.parse::<u64>().ok())
        .sum()
}

/// How often the threads of a process went to sleep of their own accord.
pub fn sleeps(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    let count = |status: String| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|line| line.trim().parse::<u64>().ok())
    };
    tasks.flatten().filter_map(status).filter_map(count).sum()
}

/// Whether this process has a child with that number, running or not reaped yet.
pub fn is_our_child(pid: u32) -> bool {
    let parent = stat(pid).get(1).and_then(|parent| parent.parse().ok());
    parent == Some(std::process::id())
}

/// Whether a process runs. A zombie does not.
pub fn is_alive(pid: u32) -> bool {
    let state = stat(pid).into_iter().next();
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// Bytes of memory that only this process uses: resident, and not shared.
pub fn private_memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: Vec<u64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match pages[..] {
        [_, resident, shared, ..] => resident.saturating_sub(shared) * 4096,
        _ => 0,
    }
}

/// The number of the calling thread.
pub fn thread_number() -> u32 {
    nix::unistd::gettid().as_raw().unsigned_abs()
}

/// Whether a thread of this process sleeps until somebody wakes it.
pub fn is_asleep(thread: u32) -> bool {
    // `/proc` also has a directory for each thread.
    stat(thread).first().is_some_and(|state| state == "S")
}

/// The fields of `/proc/PID/stat` after the name: state, parent and so on.
fn stat(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name is in parentheses and can contain any character.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

/// The resources of a process: descriptors and maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Open descriptors.
    pub descriptors: usize,
    /// Maps of memory that Callgate shares.
    pub shared: usize,
    /// All maps.
    pub maps: usize,
}

impl Holdings {
    /// What a process holds now.
    pub fn of(pid: u32) -> Holdings {
        Holdings {
            descriptors: descriptors(pid),
            shared: shared_maps(pid),
            maps: maps(pid).len(),
        }
    }

    /// The resources of a process once they have not changed for a while.
    pub fn at_rest(pid: u32) -> Holdings {
        let mut last = Holdings::of(pid);
        eventually("a process is at rest", || {
            std::thread::sleep(Duration::from_millis(100));
            let now = Holdings::of(pid);
            match std::mem::replace(&mut last, now) == now {
                true => Ok(now),
                false => Err(format!("{now:?}")),
            }
        })
    }

    /// Waits until a process holds no more than this again. The allocator may have mapped some more heap meanwhile; a
    /// leak at every kill would be far more than that.
    pub fn expect_again(self, who: &str, pid: u32) {
        eventually(&format!("{who} holds what it did"), || {
            let now = Holdings::of(pid);
            let same = now.descriptors == self.descriptors && now.shared == self.shared;
            match same && now.maps <= self.maps + 8 {
                true => Ok(()),
                false => Err(format!("before {self:?}, now {now:?}: {:#?}", maps(pid))),
            }
        });
    }
}

/// Waits until `look` returns `Ok`; fails the test with the last `Err` if that takes too long.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + crate::PATIENCE;
    loop {
        match look() {
            Ok(value) => return value,
            Err(why) if Instant::now() >= until => panic!("{what}: {why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
