//! Which plugins share a doorbell.

use std::os::fd::{AsFd, OwnedFd};

use callgate_client::Group;
use callgate_layout::control::DoorbellName;
use callgate_tests::raw::{Raw, hello, hello_in_group};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, programs};
use nix::sys::stat::fstat;

fn inode(fd: &OwnedFd) -> u64 {
    fstat(fd.as_fd()).expect("its inode").st_ino
}

/// A doorbell's name opens it only inside its own process. Another process could otherwise take its wake-ups without
/// being linked with it.
#[test]
fn a_doorbell_is_shared_inside_a_process_and_not_by_its_name_alone() {
    let bus = Bus::start(programs!());
    let _other_process = bus.peer("group", "M", &["1"]);
    let mut first = Raw::connect(&bus);
    let (number, plugin, pages) = first.greet(hello("first"));
    assert_eq!(pages.len(), 2);
    let given = |name: &str, doorbell| {
        let mut raw = Raw::connect(&bus);
        let (_, _, pages) = raw.greet(hello_in_group(name, vec![doorbell]));
        (raw, pages)
    };
    let name = |bus, plugin| DoorbellName { bus, plugin };
    let (_second, shared) = given("second", name(number, plugin));
    assert_eq!(shared.len(), 1, "only a status page");
    // Names of the other process's doorbell, which is one of the first of the bus, and of doorbells that do not
    // exist.
    for n in (plugin - 30..plugin).chain([0, plugin + 50, u64::MAX]) {
        // Each gets a name of its own, because a process that is just being started may still hold the last one's
        // socket.
        let (_stranger, own) = given(&format!("stranger {n}"), name(number, n));
        assert_eq!(own.len(), 2, "it has one of its own instead of {n}'s");
        assert_ne!(inode(&own[0]), inode(&pages[0]));
    }
    let mut several = Raw::connect(&bus);
    let names = (0..32).map(|n| name(number ^ n, plugin)).rev().collect();
    let (_, _, shared) = several.greet(hello_in_group("several", names));
    assert_eq!(shared.len(), 1, "the one of this bus");
    let (_stranger, own) = given("of another bus", name(number ^ 1, plugin));
    assert_eq!(own.len(), 2);
    // The doorbell keeps its first plugin's number for its name as long as any plugin has it.
    drop(first);
    let mut third = 0;
    await_that("the first one is forgotten", || {
        third += 1;
        let (_third, shared) = given(&format!("third {third}"), name(number, plugin));
        assert_eq!(shared.len(), 1, "the second one has it still");
        Raw::connect(&bus).greet(hello("first")).2.len() == 2
    });
}

/// A peer that is linked with any plugin of a group gets the doorbell that the whole group waits on.
#[test]
fn peers_are_given_the_doorbell_of_the_group() {
    let bus = Bus::start(programs!());
    let group = Group::new().unwrap();
    let plugins = ["A", "B"].map(|name| {
        let plugin = bus.builder(name).group(&group).connect().unwrap();
        plugin
            .provide(&format!("{name}.Add"), |a: u64| a)
            .unwrap()
            .keep();
        plugin
    });
    let mut raw = Raw::join(&bus, "raw");
    let bells = ["A.Add", "B.Add"].map(|gate| {
        let end = raw.route_to::<(u64,), u64>(gate).end;
        let [_, _, doorbell] = &raw.links[&end].peer().descriptors;
        inode(doorbell)
    });
    assert_eq!(bells[0], bells[1]);
    let alone = bus.plugin("C");
    let _gate = alone.provide("C.Add", |a: u64| a).unwrap();
    let end = raw.route_to::<(u64,), u64>("C.Add").end;
    assert_ne!(inode(&raw.links[&end].peer().descriptors[2]), bells[0]);
    drop(plugins);
}

/// One thread waits on the doorbells of all buses that its plugins are on.
#[test]
fn a_group_may_be_on_several_buses() {
    let buses = [(); 3].map(|()| Bus::start(programs!()));
    let group = Group::new().unwrap();
    let plugins: Vec<_> = buses
        .iter()
        .enumerate()
        .map(|(n, bus)| (n, bus, "A"))
        .chain(buses.iter().enumerate().map(|(n, bus)| (n, bus, "B")))
        .map(|(n, bus, name)| {
            let plugin = bus.builder(name).group(&group).connect().unwrap();
            let gate = format!("{name}.Where");
            plugin.provide(&gate, move || n as u64).unwrap().keep();
            plugin
        })
        .collect();
    for _ in 0..3 {
        for (n, bus) in buses.iter().enumerate() {
            let caller = bus.plugin("Caller");
            for gate in ["A.Where", "B.Where"] {
                let there = open::<(), u64>(&caller, gate);
                // This lets the group's thread fall asleep.
                std::thread::sleep(std::time::Duration::from_millis(5));
                assert_eq!(there.invoke(()).unwrap(), n as u64);
            }
        }
    }
    drop(plugins);
}
