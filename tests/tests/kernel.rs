//! Kernels, and what stands in front of them, that give less than they should.
#![forbid(unsafe_code)]

use callgate_tests::{Bus, Process, programs};

/// `EPERM` and `ENOSYS`, as seccomp profiles answer what they do not know, and what none should.
const ANSWERS: [(&str, &str); 3] = [
    ("1", "seccomp"),
    ("38", "Linux 5.16"),
    ("22", "Invalid argument"),
];

/// A container's profile answered `futex_waitv` with EPERM, which passed for a kernel that has it, and
/// every wait spun.
#[test]
fn who_may_not_wait_is_told_so_when_it_connects_or_starts_a_broker() {
    let bus = Bus::start(programs!());
    for (errno, why) in ANSWERS {
        let mut peer = Process::spawn(bus.peer_command("filtered", "F", &["before", errno]));
        let [broker, plugin] = [peer.expect_line(), peer.expect_line()];
        assert!(plugin.starts_with("SYSTEM: "), "{plugin}");
        for said in [broker, plugin] {
            assert!(said.contains("futex_waitv") && said.contains(why), "{said}");
        }
    }
}

/// A plugin that restricts itself after it has connected spun in every wait from then on.
#[test]
fn who_may_not_wait_any_more_sleeps_and_does_not_spin() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    for (errno, _) in ANSWERS {
        let mut peer = bus.peer("filtered", "F", &["after", errno]);
        let line = peer.ask("1500");
        let (outcome, ticks) = line.split_once(' ').expect("two words");
        assert_eq!(outcome, "OK");
        // Of 150, where a tick is ten milliseconds and the wait spins.
        let ticks: u64 = ticks.parse().expect("a number");
        assert!(ticks < 60, "{ticks} ticks in a call of 1.5 s");
        assert_eq!(peer.ask("1").split(' ').next(), Some("OK"));
    }
}
