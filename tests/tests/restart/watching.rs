//! What a watch reports about gates whose broker is started again.

use std::time::Duration;

use callgate_client::{Dispatch, Plugin};
use callgate_tests::restart::{Told, events};
use callgate_tests::shorthand::{connect_early, open};
use callgate_tests::{Bus, PATIENCE, Process, programs};

/// After this time nothing more is reported.
const QUIET: Duration = Duration::from_millis(700);

/// A watch reports nothing about a gate whose provider stayed: it has not gone and come back.
#[test]
fn a_watcher_is_told_nothing_where_the_provider_stayed() {
    let mut bus = Bus::start(programs!());
    let _p = bus.peer("provider", "P", &[]);
    let watcher = bus.plugin("Watcher");
    let near = bus.plugin("Near");
    near.provide("Near.Gate", || ()).unwrap().keep();
    let told = Told::by(&watcher);
    let watches = ["P.Add", "P.Note", "Near.Gate"].map(|gate| watcher.watch(gate).unwrap());
    let before: Vec<_> = watches
        .iter()
        .map(|watch| events(watch, Duration::ZERO).pop().unwrap())
        .collect();
    assert!(before.iter().all(|event| event.is_present()));
    for _ in 0..2 {
        bus.restart_broker();
        told.lost();
        told.back();
    }
    for watch in &watches {
        assert_eq!(events(watch, QUIET), [], "{}", watch.gate());
    }
    // A watch that begins here sees the same lives.
    let late = bus.plugin("Late");
    for (watch, before) in watches.iter().zip(&before) {
        let watch = late.watch(watch.gate()).unwrap();
        assert_eq!(&events(&watch, Duration::ZERO).pop().unwrap(), before);
    }
}

/// A watch reports that a provider has died while there was no broker, and does not take its successor for it.
#[test]
fn a_watcher_is_told_of_a_provider_that_did_not_stay() {
    let mut bus = Bus::start(programs!());
    let mut providers = ["Dies", "Returns"].map(|name| Some(bus.peer("provider", name, &[])));
    let watcher = bus.plugin("Watcher");
    let withdrawn = bus.plugin("Withdraws");
    let gate = withdrawn.provide("Withdraws.Add", || ()).unwrap();
    let told = Told::by(&watcher);
    let watches =
        ["Dies.Add", "Returns.Add", "Withdraws.Add"].map(|gate| watcher.watch(gate).unwrap());
    // The gates are opened so that there are links with their providers.
    let _open = ["Dies.Add", "Returns.Add"].map(|gate| open::<(u64, u64), u64>(&watcher, gate));
    let before = watches
        .each_ref()
        .map(|watch| events(watch, Duration::ZERO).pop().unwrap());
    bus.kill_broker();
    told.lost();
    for provider in &mut providers {
        provider.take().unwrap().kill();
    }
    drop(gate);
    // The watcher notices their ends without a broker.
    for watch in &watches[..2] {
        let event = watch.next(PATIENCE).unwrap().expect("it has ended");
        assert!(!event.is_present(), "{event:?}");
    }
    // It connects as soon as there is a broker.
    let command = bus.peer_command("early-provider", "Returns", &["thread"]);
    let _returned = Process::spawn(command);
    bus.start_broker();
    told.back();
    let returned = watcher.watch("Returns.Double").unwrap();
    let mut life = returned.next(PATIENCE).unwrap().unwrap();
    while !life.is_present() {
        life = returned.next(PATIENCE).unwrap().expect("it returns");
    }
    assert!(
        life.generation > before[1].generation,
        "{life:?}, {before:?}"
    );
    assert_eq!(events(&watches[0], QUIET), [], "Dies");
    assert_eq!(events(&watches[1], Duration::ZERO), [], "Returns");
    let gone = watches[2].next(PATIENCE).unwrap().expect("it is withdrawn");
    assert!(!gone.is_present(), "{gone:?}");
    assert_eq!(events(&watches[2], Duration::ZERO), [], "Withdraws");
}

/// Plugins that come back see a gate of a provider that was not there before the loss.
#[test]
fn who_is_new_is_seen_by_those_who_come_back() {
    let mut bus = Bus::start(programs!());
    let watcher = bus.plugin("Watcher");
    let watch = watcher.watch("New.Gate").unwrap();
    assert!(!events(&watch, Duration::ZERO).pop().unwrap().is_present());
    let told = Told::by(&watcher);
    bus.kill_broker();
    told.lost();
    let socket = bus.socket();
    let connecting = std::thread::spawn(move || {
        let builder = || {
            Plugin::builder("New")
                .socket(&socket)
                .dispatch(Dispatch::Pool(2))
        };
        let new = connect_early(builder);
        new.provide("New.Gate", || 5_u8).unwrap().keep();
        new
    });
    bus.start_broker();
    let _new = connecting.join().unwrap();
    told.back();
    let event = watch.next(PATIENCE).unwrap().expect("somebody is new");
    assert_eq!(event.owner.as_deref(), Some("New"));
    assert_eq!(open::<(), u8>(&watcher, "New.Gate").invoke(()).unwrap(), 5);
}
