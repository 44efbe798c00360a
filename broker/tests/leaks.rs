//! What a broker costs while nothing happens, and what is left when plugins have ended.
//!
//! These tests look at the whole process, so they run one after the other.

// What is not there fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callgate_layout::control::{SessionToBroker, ShareToBroker, ToBroker};
use callgate_layout::sys::fdpass;

use support::shares::{publish, returned as returned_share, sealed, want};
use support::{Bus, Linked, Peer, bus, eventually, link};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The number of maps of shared memory. Other maps come and go with the allocator.
fn maps() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains("memfd:callgate"))
        .count()
}

fn is_empty(bus: &Bus) -> bool {
    let listing = bus.broker.snapshot().unwrap();
    listing.plugins.is_empty() && listing.links.is_empty() && listing.gates.is_empty()
}

/// A host that runs for months starts its plugins thousands of times.
#[test]
fn nothing_is_left_of_a_hundred_dead_sessions() {
    let _alone = alone();
    let bus = bus();
    drop(bus.plugin("warm-up"));
    eventually("the first is gone", || is_empty(&bus));
    let before = (descriptors(), maps());
    let pairs: Vec<(Peer, Peer, (Linked, Linked))> = (0..50)
        .map(|number| {
            let mut caller = bus.plugin(&format!("caller {number}"));
            let mut provider = bus.plugin(&format!("provider {number}"));
            let gate = format!("gate {number}");
            let (ours, theirs, _) = link(&mut caller, &mut provider, &gate);
            (caller, provider, (ours, theirs))
        })
        .collect();
    assert_eq!(bus.broker.snapshot().unwrap().links.len(), 50);
    drop(pairs);
    eventually("all are gone", || is_empty(&bus));
    assert_eq!((descriptors(), maps()), before);
}

/// Sessions that end half-way through a step are the ones that leak.
#[test]
fn nothing_is_left_of_what_was_half_made() {
    let _alone = alone();
    let bus = bus();
    drop(bus.plugin("warm-up"));
    eventually("the first is gone", || is_empty(&bus));
    let before = (descriptors(), maps());
    for step in 0..6 {
        let mut caller = bus.plugin("caller");
        let mut provider = bus.plugin("provider");
        caller.takes = step % 2 == 0;
        let kind = callgate_layout::envelope::CallKind::Function;
        assert_eq!(provider.provide("g", kind, 7), None);
        caller.open(1, "g", 7);
        if step >= 2 {
            let mut theirs = provider.mapped_outbox();
            let _ours = caller.mapped_outbox();
            if step >= 4 {
                provider.meet(&mut theirs);
                provider.install_grant();
            }
        }
        let silent = bus.connect();
        let file: OwnedFd = fs::File::open("/dev/null").unwrap().into();
        let bytes = ToBroker::from(SessionToBroker::Took).encode().unwrap();
        let _ = fdpass::send(silent.socket.as_fd(), &bytes, &[file.as_fd(); 30]);
        drop((silent, caller, provider));
        eventually("all are gone", || is_empty(&bus));
    }
    eventually("every connection is closed", || descriptors() == before.0);
    assert_eq!(maps(), before.1);
}

/// A broker that stops must release everything that it has.
#[test]
fn nothing_is_left_of_a_broker() {
    let _alone = alone();
    drop(bus());
    let before = (descriptors(), maps());
    let bus = bus();
    let mut caller = bus.plugin("caller");
    let mut provider = bus.plugin("provider");
    let linked = link(&mut caller, &mut provider, "g");
    let child = bus
        .broker
        .spawn("x", std::process::Command::new("/bin/true"));
    drop((bus, caller, provider, linked, child));
    assert_eq!((descriptors(), maps()), before);
}

/// How often the broker's thread has run, and for how many nanoseconds.
fn activity() -> (u64, u64) {
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        if name.trim() == "callgate-broker" {
            let text = fs::read_to_string(path.join("schedstat")).unwrap();
            let mut numbers = text.split_whitespace().map(|n| n.parse::<u64>().unwrap());
            let nanos = numbers.next().unwrap();
            return (numbers.nth(1).unwrap(), nanos);
        }
    }
    panic!("the broker has no thread");
}

/// A broker that polls would cost battery on every machine that has a host.
#[test]
fn an_idle_broker_does_not_run() {
    let _alone = alone();
    let bus = bus();
    let mut plugins: Vec<Peer> = (0..40).map(|n| bus.plugin(&format!("idle {n}"))).collect();
    assert!(
        plugins
            .iter_mut()
            .all(|plugin| plugin.next_within(Duration::ZERO).is_err())
    );
    eventually("all are there", || {
        bus.broker.snapshot().unwrap().plugins.len() == 40
    });
    std::thread::sleep(Duration::from_millis(50));
    let before = activity();
    std::thread::sleep(Duration::from_secs(1));
    let after = activity();
    assert!(
        after.0 - before.0 <= 1,
        "it woke up {} times",
        after.0 - before.0
    );
    assert!(
        after.1 - before.1 < 2_000_000,
        "it ran {} ns",
        after.1 - before.1
    );
}

/// The descriptors and the maps that this process has of versions and pages of shares.
fn shares() -> (usize, usize) {
    let is_ours = |text: &str| text.contains("memfd:callgate-share");
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let links = links.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let open = links
        .filter(|link| is_ours(&link.to_string_lossy()))
        .count();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    (open, maps.lines().filter(|line| is_ours(line)).count())
}

/// A broker that kept versions which no plugin uses would end up with all memory.
#[test]
fn nothing_is_left_of_a_share() {
    const LEN: u64 = 1 << 20;
    let _alone = alone();
    let bus = bus();
    let (mut maker, mut reader) = (bus.plugin("maker"), bus.plugin("reader"));
    let share = maker.makes("t", (LEN, 1)).share;
    // The broker has the page, its map of that, and the newest version.
    eventually("the peers' are closed", || shares() == (2, 1));
    reader.send(want(1, "t", false));
    let read = reader.have();
    drop(maker.publishes("t", (LEN, 2)));
    eventually(
        "the reader has its page, its map and the old version",
        || shares() == (4, 2),
    );
    reader.send(ShareToBroker::Done {
        version: read.version.version,
    });
    drop(read);
    // A version that is never written.
    maker.send(publish(3, "other", LEN));
    drop(maker.memory_to_write());
    assert!(shares().0 > 2);
    let returned = sealed(LEN as usize);
    reader.send_with(returned_share(4, "third", LEN), &[&returned]);
    drop((reader.have(), returned));
    maker.send(ShareToBroker::Relinquish { share });
    drop(maker);
    reader.send(ShareToBroker::Relinquish { share });
    eventually("one share is left", || shares() == (1, 1));
    drop(reader);
    eventually("nothing is left", || shares() == (0, 0));
}
