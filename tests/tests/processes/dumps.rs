//! Core dumps of processes that crash.

use callgate_client::Payload;
use callgate_tests::{Bus, PATIENCE, programs};

/// The flags of all maps that this process shares with others.
fn flags_of_shared_maps() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/smaps").expect("a text");
    let (mut flags, mut is_shared) = (Vec::new(), false);
    for line in text.lines() {
        if let Some(of_map) = line.strip_prefix("VmFlags:") {
            if is_shared {
                flags.push(of_map.to_owned());
            }
        } else if line
            .split(' ')
            .next()
            .is_some_and(|word| word.contains('-'))
        {
            // The first line of a map: FROM-TO and so on, and its file.
            is_shared = line.contains("/memfd:callgate");
        }
    }
    flags
}

/// A core dump leaves out shared memory. The kernel reports a process's end only after writing the dump, and 64 MiB
/// of extents would take half a second.
#[test]
fn shared_memory_is_left_out_of_core_dumps() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("H");
    let _raw = provider.provide_raw("H.Raw", |_, payload: Payload<'_>| payload.len() as u64);
    let caller = bus.plugin("C");
    let raw = caller.raw_subscriber::<u64>("H.Raw").unwrap();
    raw.wait_ready(PATIENCE).unwrap();
    let mut loan = raw.loan(3 << 20).unwrap();
    loan.bytes().fill(7);
    assert_eq!(loan.invoke().unwrap(), 3 << 20);
    let flags = flags_of_shared_maps();
    assert!(
        flags.len() >= 6,
        "two statuses, two bells, outboxes, extents: {flags:?}"
    );
    let dumped = flags
        .iter()
        .filter(|flags| !flags.split_whitespace().any(|flag| flag == "dd"));
    assert_eq!(dumped.count(), 0, "{flags:?}");
    // They are not inherited by forked children either.
    let inherited = flags
        .iter()
        .filter(|flags| !flags.split_whitespace().any(|flag| flag == "dc"));
    assert_eq!(inherited.count(), 0, "{flags:?}");
}
