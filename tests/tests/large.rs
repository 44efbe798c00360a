//! What large payloads cost the processes that pass them: page faults, memory, and what happens if memory runs out.
#![forbid(unsafe_code)]

use callgate_layout::payload::MAX_EXTENT_LEN;
use callgate_tests::{Bus, PATIENCE, Process, proc, programs};

const MIB: u64 = 1 << 20;
/// How many calls are made while page faults are counted.
const CALLS: u64 = 40;

/// A process that provides and calls, and keeps idle memory for so many milliseconds.
fn peer(bus: &Bus, name: &str, keep_idle: u64) -> Process {
    bus.peer("large", name, &[&keep_idle.to_string()])
}

fn call(caller: &mut Process, gate: &str, len: u64, times: u64) -> String {
    caller.say(&format!("call P {gate} {len} {times}"));
    // A build without optimisation takes a while to check a megabyte.
    let line = caller.line(10 * PATIENCE);
    line.unwrap_or_else(|why| panic!("{gate} with {len} bytes: {why:?}"))
}

fn faults(process: &mut Process) -> u64 {
    process.ask("faults").parse().expect("a number")
}

/// Calls with a megabyte each use their buffers again and cause no page faults. Fresh memory for each call would cost
/// 740 faults, ten times as much time as all the rest of the call.
#[test]
fn a_megabyte_to_and_fro_takes_no_page_faults_at_rest() {
    let bus = Bus::start(programs!());
    let mut provider = peer(&bus, "P", 60_000);
    let mut caller = peer(&bus, "C", 60_000);
    for gate in ["Echo", "Floats"] {
        for len in [64 << 10, MIB] {
            assert_eq!(call(&mut caller, gate, len, 20), "OK");
            let before = [&mut provider, &mut caller].map(faults);
            assert_eq!(call(&mut caller, gate, len, CALLS), "OK");
            let after = [&mut provider, &mut caller].map(faults);
            for (who, (before, after)) in
                ["provider", "caller"].iter().zip(before.iter().zip(after))
            {
                // The argument and the first result lie in fresh pages, once for all these calls.
                let (faults, once) = (after - before, 3 * len / 4096);
                assert!(
                    faults < once + 2 * CALLS,
                    "the {who} of {gate} with {len} bytes: {faults} faults in {CALLS} calls"
                );
            }
        }
    }
}

/// The memory that is kept for the next large payload is given back after it was idle for some time.
#[test]
fn memory_of_large_payloads_is_given_back_when_it_was_idle() {
    let bus = Bus::start(programs!());
    let mut provider = peer(&bus, "P", 300);
    let mut caller = peer(&bus, "C", 300);
    assert_eq!(call(&mut caller, "Take", 8, 1), "OK");
    let pids = [provider.id(), caller.id()];
    let before = pids.map(proc::private_memory);
    for (gate, mib) in [("Take", 40), ("Make", 40), ("Echo", 40), ("Texts", 4)] {
        assert_eq!(call(&mut caller, gate, mib * MIB, 1), "OK", "{gate}");
        for (pid, before) in pids.iter().zip(before) {
            proc::eventually(gate, || {
                let now = proc::private_memory(*pid);
                // The allocator may keep some of the memory that values have used.
                match now < before + 24 * MIB {
                    true => Ok(()),
                    false => Err(format!("before {before}, now {now}")),
                }
            });
        }
    }
    assert_eq!(provider.ask("unlimit"), "OK");
}

/// A payload and its archive header fit an extent: one of a power of two does not need twice its size, and 64 MiB are
/// allowed.
#[test]
fn payloads_up_to_64_mib_pass_with_their_archives() {
    let bus = Bus::start(programs!());
    let _provider = peer(&bus, "P", 60_000);
    let mut caller = peer(&bus, "C", 60_000);
    for len in [64 * MIB, u64::from(MAX_EXTENT_LEN) - 8] {
        assert_eq!(call(&mut caller, "Take", len, 2), "OK");
        assert_eq!(call(&mut caller, "Make", len, 2), "OK");
    }
    let most = u64::from(MAX_EXTENT_LEN);
    assert_eq!(call(&mut caller, "Take", most, 1), "REQUEST_TOO_LARGE");
    assert_eq!(call(&mut caller, "Make", most, 1), "RESPONSE_TOO_LARGE");
}

/// If an allocation for a payload fails, the provider refuses that call and lives on. Otherwise a peer could choose
/// which plugins of a machine with limits survive.
#[test]
fn a_provider_without_memory_for_a_payload_refuses_that_call() {
    let bus = Bus::start(programs!());
    let mut provider = peer(&bus, "P", 60_000);
    let mut caller = peer(&bus, "C", 60_000);
    // More than the allocator holds in reserve for a thread.
    let len = 64 * MIB;
    // The extent is mapped, and its payload is not copied.
    assert_eq!(call(&mut caller, "Raw", len, 1), "OK");
    assert_eq!(provider.ask("limit 30"), "OK");
    for _ in 0..3 {
        assert_eq!(call(&mut caller, "Take", len, 1), "SYSTEM");
        assert_eq!(call(&mut caller, "Take", 1000, 1), "OK");
        assert_eq!(call(&mut caller, "Take", MIB, 1), "OK");
    }
    assert_eq!(provider.ask("unlimit"), "OK");
    assert_eq!(call(&mut caller, "Echo", len, 1), "OK");
    // Now there is memory for the copy, but not for the value that is made of it.
    assert_eq!(provider.ask("limit 30"), "OK");
    assert_eq!(call(&mut caller, "Echo", len, 1), "SYSTEM");
    assert_eq!(call(&mut caller, "Echo", MIB, 1), "OK");
    assert_eq!(provider.ask("unlimit"), "OK");
    assert_eq!(call(&mut caller, "Echo", len, 1), "OK");
}

/// The same for a result that the caller receives.
#[test]
fn a_caller_without_memory_for_a_result_fails_that_call() {
    let bus = Bus::start(programs!());
    let _provider = peer(&bus, "P", 60_000);
    let mut caller = peer(&bus, "C", 2_000);
    // More than the allocator holds in reserve for a thread.
    let len = 64 * MIB;
    assert_eq!(call(&mut caller, "Make", len, 1), "OK");
    let settle = |caller: &mut Process| {
        let pid = caller.id();
        proc::eventually("its buffer is given back", || {
            match proc::private_memory(pid) < len {
                true => Ok(()),
                false => Err("it has it".to_owned()),
            }
        });
        // 64 for the value with which it compares the answer, and 30.
        assert_eq!(caller.ask("limit 94"), "OK");
    };
    settle(&mut caller);
    for _ in 0..3 {
        assert_eq!(call(&mut caller, "Make", len, 1), "SYSTEM");
        assert_eq!(call(&mut caller, "Make", 1000, 1), "OK");
        assert_eq!(call(&mut caller, "Make", MIB, 1), "OK");
    }
    assert_eq!(caller.ask("unlimit"), "OK");
    assert_eq!(call(&mut caller, "Make", len, 1), "OK");
}
