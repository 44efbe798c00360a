//! Idle plugins that have shares and follow versions.

use std::time::Duration;

use callgate_tests::proc::eventually;
use callgate_tests::{Bus, Process, proc, programs};

use crate::scene::holder;

const PLUGINS: usize = 20;
const WINDOW: Duration = Duration::from_secs(3);

/// How many clock ticks processes have used, and how often their threads went to sleep.
fn used(pids: &[u32]) -> (u64, u64) {
    let ticks = pids.iter().map(|pid| proc::ticks(*pid)).sum();
    (ticks, pids.iter().map(|pid| proc::sleeps(*pid)).sum())
}

/// Plugins that have shares and follow versions do not check at intervals for new versions.
#[test]
fn who_has_shares_and_follows_versions_uses_no_time() {
    let bus = Bus::start_open(programs!());
    let mut processes: Vec<Process> = (0..PLUGINS)
        .map(|n| holder(&bus, &format!("holder-{n}")))
        .collect();
    for process in &mut processes {
        assert_eq!(
            process.ask("make Idle.Table 1 5000"),
            process.ask("check Idle.Table")
        );
        assert_eq!(process.ask("follow Idle.Table"), "OK");
        assert_eq!(process.ask("wait Idle.Table"), "OK");
        assert_eq!(process.ask("watch Idle.Other"), "OK");
    }
    // It follows nothing: what a follower prints could come before the answer to `publish`.
    let mut writer = holder(&bus, "writer");
    let mut pids: Vec<u32> = processes.iter().map(Process::id).collect();
    pids.push(writer.id());
    pids.extend(bus.broker.as_ref().map(Process::id));
    let mut last = used(&pids);
    eventually("all are at rest", || {
        std::thread::sleep(Duration::from_millis(200));
        let now = used(&pids);
        match std::mem::replace(&mut last, now) == now {
            true => Ok(()),
            false => Err(format!("{now:?}")),
        }
    });
    let before = used(&pids);
    std::thread::sleep(WINDOW);
    let now = used(&pids);
    println!("in {WINDOW:?} {before:?} -> {now:?}");
    assert!(now.0 - before.0 <= 5, "they use time");
    assert!(now.1 - before.1 <= 10, "they wake up");
    // They were asleep, and still hear of a new version.
    assert_eq!(writer.ask("publish Idle.Table 2 5000"), "2");
    for process in &mut processes {
        assert_eq!(process.expect_line(), "changed 2");
    }
}
