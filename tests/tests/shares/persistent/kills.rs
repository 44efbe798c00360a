//! Processes are killed at any moment, again and again.

use std::collections::HashMap;
use std::path::PathBuf;

use callgate_tests::keeping::{Files, check};
use callgate_tests::random::Random;
use callgate_tests::{Bus, PATIENCE, Process, programs};
use nix::sys::signal::Signal;

use super::{listed, patient};

/// The beginning of the tags of one round.
const PASSING: &str = "Keep.New.";

/// Nobody finds half a value under a tag, or a version older than one that was confirmed, whichever process is killed
/// when.
fn kill_again_and_again(rounds: u64) {
    let mut random = Random::new("persistent shares");
    let mut bus = Bus::without_broker(programs!());
    let (mut files, mut unfinished) = (None, 0);
    let mut told = HashMap::<String, u64>::new();
    let tags = ["Keep.A", "Keep.B", "Keep.C"];
    for round in 0..rounds {
        bus.start_broker();
        check_all(&bus, &mut told);
        // A tag that does not exist yet, next to those that have versions.
        let fresh = format!("{PASSING}{round}");
        let makers = ["west", "east"].map(|name| {
            let command =
                bus.peer_command("share-keeper", name, &[&fresh, tags[0], tags[1], tags[2]]);
            Process::spawn(command)
        });
        random.pause(120);
        let mut parties: Vec<Process> = makers.into_iter().chain(bus.broker.take()).collect();
        let broker = parties.last().map(Process::id);
        files = files.or_else(|| Files::find(broker?));
        while !parties.is_empty() {
            let mut killed = parties.swap_remove(random.below(parties.len()));
            killed.signal(Signal::SIGKILL);
            killed.wait();
            note(&mut killed, &mut told);
            if random.below(2) == 0 {
                random.pause(5);
            }
        }
        let left = files.iter().flat_map(Files::shares);
        let is_unfinished = |path: &PathBuf| path.extension().is_some_and(|end| end == "new");
        unfinished += left.filter(is_unfinished).count();
    }
    bus.start_broker();
    check_all(&bus, &mut told);
    let left = files.expect("something was kept").shares();
    assert_eq!(left.len(), tags.len(), "{left:?}");
    let versions: u64 = tags.iter().filter_map(|tag| told.get(*tag)).sum();
    println!("{versions} versions in {rounds} rounds, {unfinished} left unfinished");
    assert!(versions >= rounds / 10, "{told:?}");
}

/// Records which versions were confirmed to a process that has ended.
fn note(of: &mut Process, told: &mut HashMap<String, u64>) {
    while let Ok(line) = of.line(PATIENCE) {
        let words = line.split_once(' ');
        // It prints other lines, too.
        if let Some((tag, version)) = words
            && let Ok(version) = version.parse::<u64>()
        {
            let newest = told.entry(tag.to_owned()).or_default();
            *newest = version.max(*newest);
        }
    }
}

/// Checks that each tag has a whole version that is no older than the confirmed one. A tag without a confirmed
/// version may be missing. Then removes the tags of one round.
fn check_all(bus: &Bus, told: &mut HashMap<String, u64>) {
    let reader = bus.mortal_plugin("Reader");
    let shares = patient(&reader);
    for kept in listed(&reader) {
        // Some of them were not confirmed to anybody.
        let tag = kept["tag"].as_str().expect("a tag");
        told.entry(tag.to_owned()).or_insert(1);
    }
    told.retain(|tag, version| {
        let share = shares.get::<[u64]>(tag);
        let share = share.unwrap_or_else(|why| panic!("{tag}: {why}"));
        let found = share.version();
        assert!(found >= *version, "{tag}: {found} after {version}");
        check(tag, &share);
        let stays = !tag.starts_with(PASSING);
        if !stays {
            shares.remove(tag).expect("it is removed");
        }
        stays
    });
}

#[test]
fn a_tag_has_its_last_complete_version_or_none_whoever_is_killed_when() {
    kill_again_and_again(100);
}

/// The same, for longer.
#[test]
#[ignore = "takes minutes"]
fn a_tag_has_its_last_complete_version_or_none_in_a_thousand_rounds() {
    kill_again_and_again(1000);
}
