//! `callgate ls shares` and `callgate share`

use callgate_client::{Plugin, Share, gate_type};
use callgate_tests::{Bus, PATIENCE, programs};
use serde_json::json;

use crate::support::run;

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Table {
    name: String,
    values: Vec<f32>,
}

fn table(plugin: &Plugin, tag: &str) -> Share<Table> {
    let made = plugin
        .shares()
        .timeout(PATIENCE)
        .get_or_create(tag, || Table {
            name: "sine \u{1b}[31m".into(),
            values: vec![0.0, 1.5],
        });
    made.expect("the share")
}

fn slice(plugin: &Plugin, tag: &str) -> Share<[i16]> {
    let shares = plugin.shares().timeout(PATIENCE).persistent();
    let made = shares.create_with(tag, 3, |samples: &mut [i16]| {
        samples.copy_from_slice(&[1, -2, 3]);
    });
    made.expect("the share")
}

/// The JSON keeps its keys, which programs read, and each share names its own maker and users.
#[test]
fn shares_are_listed_with_who_made_them_and_who_uses_them() {
    let bus = Bus::start(programs!());
    let (maker, reader) = (bus.plugin("Maker"), bus.plugin("Reader"));
    let (made, slice) = (table(&maker, "Osc.Table"), slice(&maker, "Keep.Ir"));
    let read = reader.shares().get::<Table>("Osc.Table").unwrap();
    let old = reader.shares().get::<Table>("Osc.Table").unwrap();
    let list = run(&bus.socket(), &["ls", "shares", "--json"]).json();
    let expected = json!([
        { "tag": "Keep.Ir", "owner": "Maker", "bytes": 6, "version": 1, "persistent": true, "form": "slice",
          "signature": "(Vec<i16>)", "users": ["Maker"] },
        { "tag": "Osc.Table", "owner": "Maker", "bytes": list[1]["bytes"], "version": 1, "persistent": false,
          "form": "archive", "signature": "(Table)", "users": ["Maker", "Reader"] },
    ]);
    assert_eq!(list, expected);
    assert_eq!(
        run(&bus.socket(), &["share", "ls", "--json"]).json(),
        expected
    );

    let newest = maker
        .shares()
        .publish("Osc.Table", &made.to_value().unwrap())
        .unwrap();
    let list = run(&bus.socket(), &["share", "ls", "--json"]).json();
    assert_eq!(list[1]["version"], 2);
    let others = &list[1]["others"];
    assert_eq!(
        (&others[0]["version"], &others[0]["json"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(others[0]["users"], json!(["Maker", "Reader"]));
    let text = run(&bus.socket(), &["share", "ls"]).stdout;
    assert!(text.contains("1 (Maker, Reader)"), "{text}");
    drop((made, newest, read, old, slice, maker, reader));

    // A persistent share takes memory also if nobody uses it.
    let list = run(&bus.socket(), &["share", "ls", "--json"]).json();
    assert_eq!(
        (&list[0]["tag"], &list[0]["users"]),
        (&json!("Keep.Ir"), &json!([]))
    );
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    let removed = run(&bus.socket(), &["share", "rm", "Keep.Ir"]);
    assert_eq!(
        (removed.exit, &*removed.stdout, &*removed.stderr),
        (Some(0), "", "")
    );
    assert_eq!(
        run(&bus.socket(), &["ls", "shares"]).stdout,
        "shares: none\n"
    );
}

/// The value of a share is printed as JSON, without characters that a terminal obeys.
#[test]
fn a_share_is_printed_as_json() {
    let bus = Bus::start(programs!());
    let maker = bus.plugin("Maker");
    let (_table, _slice) = (table(&maker, "Osc.Table"), slice(&maker, "Keep.Ir"));
    let printed = run(&bus.socket(), &["share", "get", "Osc.Table"]);
    assert_eq!(printed.exit, Some(0), "{printed:?}");
    assert_eq!(
        printed.json(),
        json!({ "name": "sine \u{1b}[31m", "values": [0.0, 1.5] })
    );
    assert!(!printed.stdout.contains('\u{1b}'), "{printed:?}");
    drop(maker);
    let printed = run(&bus.socket(), &["share", "get", "Keep.Ir", "--json"]);
    assert_eq!(printed.json(), json!([1, -2, 3]));
    let removed = run(&bus.socket(), &["share", "rm", "Keep.Ir", "--json"]);
    assert_eq!(removed.json(), json!({ "removed": "Keep.Ir" }));
}

/// If no plugin is there that could write the value as JSON, the command says so; the share itself still exists.
#[test]
fn a_value_whose_maker_has_gone_is_not_printed() {
    let bus = Bus::start(programs!());
    let maker = bus.plugin("Maker");
    let shares = maker.shares().timeout(PATIENCE).persistent();
    let made = shares.get_or_create("Keep.Name", || "sine".to_owned());
    drop((made.unwrap(), shares, maker));
    let printed = run(&bus.socket(), &["share", "get", "Keep.Name"]);
    printed.assert_failed(1, "SHARE_TYPE_MISMATCH");
    for part in ["Keep.Name", "Maker"] {
        assert!(printed.stderr.contains(part), "{printed:?}");
    }
    println!("{}", printed.stderr);
    assert_eq!(
        run(&bus.socket(), &["share", "rm", "Keep.Name"]).exit,
        Some(0)
    );
}

/// An absent share and a share that is not persistent give different errors, so that a script can tell them apart.
#[test]
fn what_is_not_there_is_neither_printed_nor_removed() {
    let bus = Bus::start(programs!());
    let maker = bus.plugin("Maker");
    let _table = table(&maker, "Osc.Table");
    for action in ["get", "rm"] {
        let absent = run(&bus.socket(), &["share", action, "No.Such"]);
        absent.assert_failed(1, "NOT_READY");
        assert!(absent.stderr.contains("No.Such"), "{absent:?}");
        let absent = run(&bus.socket(), &["share", action, "No.Such", "--json"]);
        absent.assert_failed_in_json(1, "NOT_READY");
        run(&bus.socket(), &["share", action, ""]).assert_failed(2, "INVALID_ARGUMENT");
    }
    // A share that exists and is not persistent.
    run(&bus.socket(), &["share", "rm", "Osc.Table"]).assert_failed(1, "NOT_READY");
    let list = run(&bus.socket(), &["share", "ls", "--json"]).json();
    assert_eq!(list[0]["tag"], "Osc.Table");
}
