//! What cells leave behind. By itself, because it counts the maps of the whole process.

#![allow(clippy::unwrap_used)]

#[path = "cells/scene.rs"]
#[allow(dead_code, reason = "it has what the other tests of cells use, too")]
mod scene;

use std::sync::Mutex;

use scene::{Bus, Level, TAG, await_that, get, reader, set, writer};

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn maps() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let maps = maps.lines().filter(|line| line.contains("callgate-cell"));
    maps.count()
}

/// Nothing stays behind of a thousand earlier writers: their maps would fill the address space of a reader that runs
/// for days.
#[test]
fn a_thousand_writers_leave_nothing() {
    let _alone = ALONE.lock();
    let bus = Bus::new();
    let plugin = bus.connect("Reader");
    let cell = writer(&plugin);
    set(&cell, 0);
    let mut read = reader(&plugin);
    drop(cell);
    for value in 1..=1_000 {
        let cell = writer(&plugin);
        set(&cell, value);
        await_that("it is read", || get(&mut read) == value);
    }
    assert!(maps() <= 3, "{} maps", maps());
    drop((read, plugin));
    await_that("nothing is mapped any more", || maps() == 0);
}

/// A reader that outlives many brokers keeps the memory of one.
#[test]
fn many_brokers_leave_one_memory() {
    let _alone = ALONE.lock();
    let first = Bus::new();
    let plugin = first.connect("Both");
    let cell = writer(&plugin);
    let mut read = reader(&plugin);
    let mut buses = vec![first];
    for value in 1..=20 {
        let next = Bus::new();
        next.takes(&plugin);
        buses = vec![next];
        set(&cell, value);
        // Of three memberships in use, the oldest is closed.
        await_that("it is read", || get(&mut read) == value);
    }
    await_that("memory of older brokers is unmapped", || {
        get(&mut read) == 20 && maps() <= 2
    });
    let late = buses[0].connect("Late");
    assert_eq!(
        late.shares().cell::<Level>(TAG).unwrap().get().unwrap(),
        [20; 8]
    );
}
