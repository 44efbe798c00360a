//! Memory cgroups with little memory. Tests are skipped if this process may not make cgroups.

use callgate_client::Code;
use callgate_tests::cgroup::Cgroup;
use callgate_tests::proc::eventually;
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, PATIENCE, Process, programs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A cgroup, or `None` and a message if none can be made. Make it first, so that it is removed last, when its
/// processes have ended.
fn cgroup(mib: u64) -> Option<Cgroup> {
    Cgroup::new(mib)
        .inspect_err(|why| println!("skipped: no memory cgroup can be made: {why}"))
        .ok()
}

fn is_alive(process: &Process) -> bool {
    kill(Pid::from_raw(process.id() as i32), None::<Signal>).is_ok()
}

/// A broker in a small cgroup serves large payloads: their memory is charged to the plugins that write them. Two
/// honest plugins with 60 MiB each do not get it killed.
#[test]
fn a_broker_with_little_memory_serves_large_payloads() {
    let Some(cgroup) = cgroup(48) else {
        return;
    };
    let bus = Bus::start(programs!());
    let broker = bus.broker.as_ref().unwrap();
    cgroup.take(broker.id());
    let _taker = bus.peer("taker", "T", &[]);
    let mut lenders = ["a", "b"].map(|name| bus.peer("lender", name, &["T"]));
    for lender in &mut lenders {
        assert_eq!(lender.ask("keep 60"), "ok");
        assert_eq!(lender.ask("send 60"), "ok");
    }
    assert!(is_alive(broker), "the broker was killed");
    assert!(cgroup.usage() < 48 << 20);
    assert!(bus.command(&["ls"]).output().unwrap().status.success());
}

/// A writer is told before it exceeds its cgroup's limit, with the cgroup's name: above the limit the kernel kills.
#[test]
fn a_writer_without_room_is_told_its_cgroup() {
    let Some(cgroup) = cgroup(48) else {
        return;
    };
    let bus = Bus::start(programs!());
    let _taker = bus.peer("taker", "T", &[]);
    let mut lender = bus.peer("lender", "L", &["T"]);
    cgroup.take(lender.id());
    let refused = lender.ask("send 60");
    assert!(refused.starts_with("OVERLOADED"), "{refused}");
    let name = cgroup.directory.display().to_string();
    assert!(refused.contains(&name), "{refused}");
    // It lives, and smaller payloads still pass.
    assert_eq!(lender.ask("send 8"), "ok");
    assert!(cgroup.usage() > 8 << 20, "the writer is charged");
    assert!(cgroup.usage() < 48 << 20);
}

/// A writer that is killed while it allocates leaves no memory behind, for which its cgroup would be charged for
/// ever.
#[test]
fn a_killed_writer_leaves_no_memory() {
    let Some(cgroup) = cgroup(512) else {
        return;
    };
    let bus = Bus::start(programs!());
    let _taker = bus.peer("taker", "T", &[]);
    for round in 0..8_u64 {
        let mut lender = bus.peer("lender", "L", &["T"]);
        cgroup.take(lender.id());
        lender.say("keep 60");
        // Each round kills it at another point of the allocation, as far as possible.
        std::thread::sleep(std::time::Duration::from_millis(round * 4));
        lender.kill();
        eventually("its memory is gone", || match cgroup.usage() {
            usage if usage < 8 << 20 => Ok(()),
            usage => Err(format!("{usage} bytes after round {round}")),
        });
    }
}

/// If a provider has no memory for the result of a handler, that call gets an error, and no process is killed.
#[test]
fn a_provider_without_room_answers_so() {
    let Some(cgroup) = cgroup(44) else {
        return;
    };
    let bus = Bus::start(programs!());
    let mut provider = bus.peer("taker", "T", &[]);
    let caller = bus.plugin("C");
    let ones = open::<(u64,), Vec<u8>>(&caller, "T.Ones").with_timeout(PATIENCE);
    cgroup.take(provider.id());
    // The result and its archive fit, but not the result and an extent for it, which has 32 MiB.
    let error = ones.invoke((17 << 20,)).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::Overloaded, "{error}");
    assert_eq!(
        ones.invoke((1 << 17,)).map(|some| some.len()).ok(),
        Some(1 << 17)
    );
    provider.close_input();
    assert!(provider.wait().success(), "it was killed");
}
