//! Shares between plugins of this process, which read them in shared memory as plugins of different processes do.

#![allow(clippy::unwrap_used)]

mod brokers;
mod ends;
mod making;
mod scene;
mod shrinking;
mod types;
mod versions;

use std::sync::Arc;

use callgate_client::{Code, Share};

use scene::{Scene, TAG, Table, eventually, is_there};

#[test]
fn one_plugin_makes_it_and_all_read_the_same_memory() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let missing = reader.shares().get::<Table>(TAG).unwrap_err();
    assert_eq!(missing.code(), Code::NotReady);
    assert_eq!(missing.gate(), Some(TAG));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("sine"))
        .unwrap();
    let read: Share<Table> = reader.shares().get(TAG).unwrap();
    let again = reader
        .shares()
        .get_or_create(TAG, || -> Table { panic!("there is one") })
        .unwrap();
    for share in [&made, &read, &again] {
        assert_eq!(share.name, "sine");
        assert_eq!(share.gains[1], 0.5);
        assert_eq!(
            (share.tag(), share.version(), share.maker()),
            (TAG, 1, "Maker")
        );
        assert!(!share.is_converted());
        assert_eq!(share.to_value().unwrap(), Table::named("sine"));
    }
    // The same plugin maps it once.
    assert!(std::ptr::eq(&*read, &*again));
}

#[test]
fn a_share_is_there_as_long_as_anybody_holds_it() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("one"))
        .unwrap();
    let read: Share<Table> = reader.shares().get(TAG).unwrap();
    drop(made);
    let copy = read.clone();
    drop(read);
    assert!(is_there(&maker.shares(), TAG));
    drop(copy);
    eventually(|| !is_there(&maker.shares(), TAG));
    // It can be made again.
    let other = reader
        .shares()
        .get_or_create(TAG, || Table::named("two"))
        .unwrap();
    assert_eq!((&*other.name, other.version()), ("two", 1));
}

/// A guard stays valid after its plugin and its broker have ended.
#[test]
fn a_guard_stays_valid_after_its_plugin_and_its_broker() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("kept"))
        .unwrap();
    let read: Share<Table> = reader.shares().get(TAG).unwrap();
    let shares = reader.shares();
    drop((maker, made));
    assert!(is_there(&shares, TAG));
    drop(reader);
    assert_eq!(shares.get::<Table>(TAG).unwrap_err().code(), Code::Closed);
    drop(scene);
    assert_eq!(read.name, "kept");
    std::thread::spawn(move || assert_eq!(read.gains.len(), 2))
        .join()
        .unwrap();
}

#[test]
fn a_slice_is_filled_where_it_lies() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    const COUNT: usize = 3_000_001;
    let made = maker
        .shares()
        .huge_pages()
        .create_with("Reverb.Ir", COUNT, |samples: &mut [f32]| {
            assert_eq!(samples.len(), COUNT);
            assert!(samples.iter().all(|sample| *sample == 0.0));
            samples[COUNT - 1] = -1.0;
        })
        .unwrap();
    let read: Share<[f32]> = reader.shares().get("Reverb.Ir").unwrap();
    assert_eq!((made[COUNT - 1], read[COUNT - 1]), (-1.0, -1.0));
    assert_eq!(read.len(), COUNT);
    let none = maker.shares().create_with("None", 0, |_: &mut [u8]| {});
    assert_eq!(none.unwrap_err().code(), Code::InvalidArgument);
}

/// Values of every size and kind are shared, by each of the ways: through a buffer, counted and written in place, and
/// without bytes.
#[test]
fn values_of_every_make_are_shared() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let nothing = maker.shares().get_or_create("Unit", || ()).unwrap();
    reader
        .shares()
        .get::<()>("Unit")
        .unwrap()
        .to_value()
        .unwrap();
    let small = maker.shares().get_or_create("Small", || 7_u8).unwrap();
    assert_eq!(
        reader
            .shares()
            .get::<u8>("Small")
            .unwrap()
            .to_value()
            .unwrap(),
        7
    );
    let large: Vec<f64> = (0..400_000).map(f64::from).collect();
    let made = maker
        .shares()
        .get_or_create("Large", || large.clone())
        .unwrap();
    assert_eq!(
        reader
            .shares()
            .get::<Vec<f64>>("Large")
            .unwrap()
            .to_value()
            .unwrap(),
        large
    );
    let texts: Vec<String> = (0..50_000)
        .map(|n| format!("the text number {n}"))
        .collect();
    let many = maker
        .shares()
        .get_or_create("Many", || texts.clone())
        .unwrap();
    assert_eq!(
        reader
            .shares()
            .get::<Vec<String>>("Many")
            .unwrap()
            .to_value()
            .unwrap(),
        texts
    );
    drop((nothing, small, made, many));
}

#[test]
fn names_that_cannot_be_are_refused() {
    let scene = Scene::new();
    let plugin = scene.plugin("Maker");
    for tag in ["", "a\nb", "ends."] {
        let error = plugin.shares().get::<u8>(tag).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{tag:?}");
    }
}

/// Many threads of two plugins get a share and let it go at once, so the last guard of a plugin may go while a new
/// one comes.
#[test]
fn coming_and_going_at_once_leaves_nothing_behind() {
    let scene = Scene::new();
    let plugins = Arc::new([scene.plugin("A"), scene.plugin("B")]);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let plugins = plugins.clone();
            scope.spawn(move || {
                let shares = plugins[thread % 2].shares();
                for round in 0..200 {
                    let share = shares.get_or_create(TAG, || Table::named("here")).unwrap();
                    assert_eq!(share.name, "here", "{round}");
                    let found = shares.try_get::<Table>(TAG).unwrap().unwrap();
                    assert!(std::ptr::eq(&*share, &*found));
                }
            });
        }
    });
    eventually(|| !is_there(&plugins[0].shares(), TAG));
}
