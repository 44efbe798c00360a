//! Files that are damaged.

use std::fs;
use std::path::PathBuf;

use callgate_services::Services;
use serde_json::{Value, json};

use crate::scene::{Scene, kv_folder};

/// Damages a file while no services run, and checks what a plugin is told then.
fn damaged(damage: impl FnOnce(&mut Vec<u8>)) {
    let mut scene = Scene::new();
    let (plugin, other) = (scene.member("chat"), scene.member("other"));
    for n in 0..50 {
        plugin.set(&format!("k{n}"), &json!("x".repeat(2_000)));
    }
    other.set("a", &json!(1));
    scene.services = None;
    let file = scene.file("chat");
    let mut bytes = fs::read(&file).expect("it is there");
    damage(&mut bytes);
    fs::write(&file, &bytes).expect("it is written");
    scene.start();

    let (code, context) = plugin.refused("data.kv", json!({"method": "list"}));
    assert_eq!(code, "STORE_DAMAGED");
    let moved = PathBuf::from(context["moved_to"].as_str().expect("a path"));
    assert_eq!(moved.parent(), Some(&*kv_folder(scene.folder.path())));
    assert_eq!(
        fs::metadata(&moved).expect("it is kept").len() > 0,
        !bytes.is_empty()
    );
    // The plugin goes on with an empty store, and the others with their own.
    assert_eq!(plugin.get("k1"), Value::Null);
    plugin.set("k1", &json!(2));
    assert_eq!(plugin.get("k1"), 2);
    assert_eq!(other.get("a"), 1);
}

#[test]
fn a_file_that_is_no_store_is_moved_aside_and_named() {
    damaged(|bytes| bytes.fill(b'x'));
}

#[test]
fn a_file_that_was_cut_is_moved_aside_and_named() {
    damaged(|bytes| bytes.truncate(bytes.len() / 3));
    damaged(Vec::clear);
}

/// A file with wrong pages is moved aside and named in the error. The services neither return its bytes as data nor
/// panic.
#[test]
fn a_file_with_wrong_pages_is_moved_aside_and_named() {
    damaged(|bytes| {
        let length = bytes.len();
        for byte in &mut bytes[4_096..length] {
            *byte ^= 0x5a;
        }
    });
}

/// A file with a wrong byte in a value is moved aside and named in the error: a plugin never gets a changed value.
#[test]
fn a_file_with_one_wrong_byte_in_a_value_is_moved_aside_and_named() {
    damaged(|bytes| {
        let value = bytes.windows(64).position(|run| run == [b'x'; 64]);
        bytes[value.expect("a value") + 32] = b'y';
    });
}

/// A file that other services have open is refused and left alone: two services with one folder would write into each
/// other's files.
#[test]
fn a_file_that_others_have_open_is_refused_and_stays_where_it_is() {
    let (mut scene, mut others) = (Scene::new(), Scene::new());
    let plugin = scene.member("chat");
    plugin.set("a", &json!(1));
    others.services = None;
    let socket = others.broker.connect().expect("a connection");
    let services = Services::builder(scene.folder.path()).descriptor(socket);
    others.services = Some(services.start().expect("services"));
    let same = others.member("chat");
    let get = json!({"method": "get", "key": "a"});
    assert_eq!(same.refused("data.kv", get).0, "STORE_FAILED");
    assert!(scene.file("chat").exists());
    assert_eq!(plugin.get("a"), 1);
    scene.services = None;
    assert_eq!(same.get("a"), 1);
}
