//! Large shares that many processes read, and that are in memory only once.

use std::fs;

use callgate_tests::{Bus, PATIENCE, Process, programs};

use crate::scene::holder;

const READERS: usize = 8;
const MIB: u64 = 1 << 20;
/// How much memory of its own a process may use meanwhile.
const OWN: u64 = 4 * MIB;

/// The proportional set size of some processes: a page that several processes have mapped counts for each of them in
/// part.
fn proportional(processes: &[Process]) -> u64 {
    let of = |process: &Process| {
        let path = format!("/proc/{}/smaps_rollup", process.id());
        let text = fs::read_to_string(path).expect("it lives");
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.trim().parse::<u64>().ok())
            .expect("a number")
            * 1024
    };
    processes.iter().map(of).sum()
}

/// Sends a line, and waits for an answer that may take long.
fn ask(process: &mut Process, line: &str) -> String {
    process.say(line);
    process.line(10 * PATIENCE).expect("an answer")
}

fn lies_in_memory_once(len: u64) {
    let bus = Bus::start(programs!());
    let mut processes: Vec<Process> = (0..=READERS)
        .map(|n| holder(&bus, &format!("holder-{n}")))
        .collect();
    let before = proportional(&processes);
    let made = ask(&mut processes[0], &format!("words Large.Share 7 {len}"));
    assert_eq!(made, "7");
    for process in &mut processes[1..] {
        // It reads every word of the share.
        assert_eq!(ask(process, "view Large.Share"), "7");
    }
    let grown = proportional(&processes) - before;
    println!(
        "{READERS} readers of {} MiB: {} MiB more",
        len / MIB,
        grown / MIB
    );
    assert!(grown >= len - MIB, "{grown}: it is not mapped at all");
    assert!(
        grown < len + len / 20 + OWN * (READERS as u64 + 1),
        "{grown}"
    );
    for process in &mut processes {
        assert_eq!(process.ask("drop Large.Share"), "OK");
    }
    let left = proportional(&processes).saturating_sub(before);
    assert!(left < OWN * (READERS as u64 + 1), "{left} of it are left");
}

#[test]
fn what_eight_processes_read_lies_in_memory_once() {
    lies_in_memory_once(64 * MIB);
}

#[test]
#[ignore = "a gigabyte, nine times read in a debug build: a minute"]
fn a_gigabyte_that_eight_processes_read_lies_in_memory_once() {
    lies_in_memory_once(1024 * MIB);
}

/// How many page faults without reading from disk a process has had.
fn faults(process: &Process) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("it lives");
    let (_, fields) = text.rsplit_once(')').expect("its name ends");
    let field = fields.split_whitespace().nth(7);
    field
        .and_then(|field| field.parse().ok())
        .expect("a number")
}

/// The first `get` of a slice does not read through all of it.
#[test]
fn the_first_get_of_a_slice_touches_none_of_it() {
    let bus = Bus::start(programs!());
    let mut maker = holder(&bus, "maker");
    let mut reader = holder(&bus, "reader");
    // After this, everything is allocated that the first use of shares needs.
    assert_eq!(ask(&mut maker, "words Large.First 1 4096"), "1");
    assert_eq!(ask(&mut reader, "view Large.First"), "1");
    let touched = |maker: &mut Process, reader: &mut Process, len: u64| {
        let tag = format!("Large.Of{len}");
        assert_eq!(ask(maker, &format!("words {tag} 1 {len}")), "1");
        let before = faults(reader);
        assert_eq!(ask(reader, &format!("map {tag}")), "OK");
        faults(reader) - before
    };
    let short = touched(&mut maker, &mut reader, 8192);
    let long = touched(&mut maker, &mut reader, 64 * MIB);
    println!("page faults of the first get: {short} for 8 KiB, {long} for 64 MiB");
    // 64 MiB have 16,384 pages. Other threads of the reader may touch some of their own meanwhile.
    assert!(
        long < short + 2_000,
        "{long} page faults instead of {short}"
    );
}
