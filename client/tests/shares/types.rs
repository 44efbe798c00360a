//! Shares whose type is not the one that is wanted.

use callgate_client::{Code, Json, Publisher, Share, Versions, gate_type};

use crate::scene::{Scene, TAG, Table};

/// A later version of [`Table`]: a field more, in another order, with a wider type.
mod later {
    use callgate_client::gate_type;

    #[gate_type]
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct Table {
        pub(super) gains: Vec<f64>,
        pub(super) name: String,
        pub(super) comment: Option<String>,
    }
}

#[gate_type]
#[derive(Debug)]
struct Other {
    number: u32,
}

#[test]
fn another_type_is_converted_by_way_of_json() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let publisher: Publisher<Table> = maker.shares().publisher(TAG).unwrap();
    let first = publisher.publish(&Table::named("sine")).unwrap();
    let share: Share<later::Table> = reader.shares().get(TAG).unwrap();
    assert!(share.is_converted());
    assert_eq!(
        (&*share.name, share.version(), share.maker()),
        ("sine", 1, "Maker")
    );
    assert!(share.comment.is_none());
    assert_eq!(share.gains[..], [0.25, 0.5]);
    // It is converted only once.
    let again: Share<later::Table> = reader.shares().get(TAG).unwrap();
    assert!(std::ptr::eq(&*share, &*again));
    let versions: Versions<later::Table> = reader.shares().versions(TAG).unwrap();
    let second = publisher.publish(&Table::named("saw")).unwrap();
    let share = versions.latest().unwrap().unwrap();
    assert_eq!((&*share.name, share.version()), ("saw", 2));
    // The plugin may use both types.
    let same: Share<Table> = reader.shares().get(TAG).unwrap();
    assert!(!same.is_converted() && same.name == "saw");
    drop((first, second));
}

#[test]
fn what_cannot_be_converted_says_what_differs() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("sine"))
        .unwrap();
    let error = reader.shares().get::<Other>(TAG).unwrap_err();
    assert_eq!(error.code(), Code::ShareTypeMismatch, "{error}");
    for part in ["`Maker`", "Table", "Other", "number"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!(error.gate(), Some(TAG));
    let error = reader
        .shares()
        .exact_only()
        .get::<later::Table>(TAG)
        .unwrap_err();
    assert_eq!(error.code(), Code::ShareTypeMismatch, "{error}");
    // Neither handle is a user: the share ends with its maker.
    drop(made);
    crate::scene::eventually(|| !crate::scene::is_there(&reader.shares(), TAG));
}

#[test]
fn a_converted_share_is_not_what_exactly_is_wanted() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("sine"))
        .unwrap();
    let converted: Share<later::Table> = reader.shares().get(TAG).unwrap();
    let error = reader
        .shares()
        .exact_only()
        .get::<later::Table>(TAG)
        .unwrap_err();
    assert_eq!(error.code(), Code::ShareTypeMismatch);
    drop((made, converted));
}

#[test]
fn a_slice_is_an_array_of_numbers() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let made = maker
        .shares()
        .create_with(TAG, 3, |slice: &mut [u16]| slice[2] = 9)
        .unwrap();
    let numbers: Share<Vec<u16>> = reader.shares().get(TAG).unwrap();
    assert!(numbers.is_converted());
    assert_eq!(numbers.to_value().unwrap(), [0, 0, 9]);
    let wider: Share<[u32]> = reader.shares().get(TAG).unwrap();
    assert_eq!(wider[..], [0, 0, 9]);
    // It is in the version itself, for which the maker is not needed.
    let same: Share<[u16]> = reader.shares().get(TAG).unwrap();
    assert_eq!(same.to_value().unwrap(), [0, 0, 9]);
    drop((made, maker));
    let floats: Share<[f64]> = reader.shares().get(TAG).unwrap();
    assert_eq!(floats[..], [0.0, 0.0, 9.0]);
    drop(same);
    let list = reader
        .shares()
        .get_or_create("List", || vec![1_u8, 2])
        .unwrap();
    let slice: Share<[u8]> = scene.plugin("Third").shares().get("List").unwrap();
    assert_eq!(slice[..], [1, 2]);
    drop(list);
}

#[test]
fn any_share_can_be_read_as_json() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("sine"))
        .unwrap();
    let json = reader.shares().get_json(TAG).unwrap();
    assert_eq!(
        json,
        serde_json::json!({ "name": "sine", "gains": [0.25, 0.5] })
    );
    let slice = maker
        .shares()
        .create_with("Slice", 2, |slice: &mut [i8]| slice[0] = -1)
        .unwrap();
    assert_eq!(
        reader.shares().get_json("Slice").unwrap(),
        serde_json::json!([-1, 0])
    );
    let free = maker
        .shares()
        .get_or_create("Free", || Json(serde_json::json!({ "a": 1 })))
        .unwrap();
    assert_eq!(
        reader.shares().get_json("Free").unwrap(),
        serde_json::json!({ "a": 1 })
    );
    assert_eq!(
        reader.shares().get_json("None").unwrap_err().code(),
        Code::NotReady
    );
    drop((made, slice, free));
}

/// Without its maker nobody can write the share as JSON.
#[test]
fn a_share_without_its_maker_has_one_type() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let made = maker
        .shares()
        .get_or_create(TAG, || Table::named("sine"))
        .unwrap();
    let read: Share<Table> = reader.shares().get(TAG).unwrap();
    drop(made);
    drop(maker);
    let other = scene.plugin("Other");
    let error = other.shares().get::<later::Table>(TAG).unwrap_err();
    assert_eq!(error.code(), Code::ShareTypeMismatch, "{error}");
    assert_eq!(other.shares().get::<Table>(TAG).unwrap().name, read.name);
}
