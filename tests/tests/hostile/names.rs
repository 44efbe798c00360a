//! A plugin that claims names of others by prefixes, or opens and closes names without end.

use callgate_layout::control::{
    GateToBroker, LinkEnd, LinkToBroker, LinkToPlugin, SchemaSource, Shape, ToBroker, ToPlugin,
};
use callgate_layout::{Code, Encodings};
use callgate_tests::PATIENCE;
use callgate_tests::raw::Raw;

use crate::scene::Scene;
use crate::schemas::{provide, refusal};

fn schema() -> SchemaSource {
    SchemaSource::Inline(vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 7])
}

/// A prefix takes no names from others: otherwise whoever claims it would get all gates of another plugin.
#[test]
fn a_prefix_takes_nothing_from_others() {
    let mut scene = Scene::new();
    let mut raw = Raw::join(&scene.bus, "villain");
    for (gate, expected) in [
        ("anvil.", Some(Code::AlreadyProvided)),
        ("anvil.Add", Some(Code::AlreadyProvided)),
        ("villain.", None),
        ("villain.", Some(Code::AlreadyProvided)),
        ("villain.a.", None),
        (".", None),
    ] {
        raw.send(provide(gate, schema()));
        assert_eq!(refusal(&mut raw), expected, "{gate}");
    }
    for (gate, is_prefix) in [("x", true), ("x.", false)] {
        let mut record = provide("x", schema());
        if let GateToBroker::Provide {
            gate: name, prefix, ..
        } = &mut record
        {
            (*name, *prefix) = (gate.into(), is_prefix);
        }
        raw.send(record);
        assert_eq!(refusal(&mut raw), Some(Code::InvalidArgument), "{gate}");
    }
    scene.is_well();
    scene.end();
}

/// The record that opens a name under `provider.` for calls as JSON.
fn opens(open: u32) -> ToBroker {
    let shape = || Shape {
        params: Some(1),
        fingerprint: 1,
        encodings: Encodings::BOTH,
        signature: String::new(),
    };
    let record = GateToBroker::Open {
        open,
        gate: format!("provider.{open}"),
        function: shape(),
        action: shape(),
    };
    record.into()
}

fn open_and_close(raw: &Raw, open: u32) -> std::io::Result<()> {
    for record in [opens(open), GateToBroker::Close { open }.into()] {
        raw.send_bytes(&record.encode().expect("a record"))?;
    }
    Ok(())
}

/// A caller that makes a provider install and revoke grants without end loses its session; the provider does not.
#[test]
fn who_opens_and_closes_names_without_end_loses_its_session_alone() {
    let mut scene = Scene::new();
    let mut provider = Raw::join(&scene.bus, "provider");
    provider.send(provide("provider.", schema()));
    assert_eq!(refusal(&mut provider), None);
    let mut raw = Raw::join(&scene.bus, "villain");
    raw.send(opens(1));
    // Each reacts as a client does, until the link can be used.
    raw.follow(|record| matches!(record, ToPlugin::Memory(_)).then_some(()));
    let end = provider.follow(|record| match record {
        ToPlugin::Link(LinkToPlugin::Grant { end, .. }) => Some(*end),
        _ => None,
    });
    raw.follow(|record| matches!(record, ToPlugin::Gate(_)).then_some(()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut names = 1000..1_000_000;
            assert!(names.any(|open| open_and_close(&raw, open).is_err()));
        });
        // The provider answers everything meanwhile, as a library does.
        provider.gone(end);
    });
    // Its own unread records may have displaced the broker's last message.
    while raw.receive_silently(PATIENCE).is_some() {}
    Raw::join(&scene.bus, "villain");
    provider.send(provide("provider.more", schema()));
    assert_eq!(refusal(&mut provider), None);
    scene.is_well();
    scene.end();
}

/// A plugin that denies a name that it was not granted breaks the protocol.
#[test]
fn who_denies_what_was_not_granted_loses_its_session_alone() {
    let mut scene = Scene::new();
    for (what, index) in [("never granted", 9), ("before it was granted", 0)] {
        let mut provider = Raw::join(&scene.bus, "provider");
        provider.send(provide("provider.", schema()));
        assert_eq!(refusal(&mut provider), None);
        let mut caller = Raw::join(&scene.bus, &format!("caller-{index}"));
        caller.send(opens(1));
        let outbox: LinkEnd = caller.new_outbox().end;
        let denies = LinkToBroker::NotProvided {
            end: outbox.other(),
            index,
        };
        provider.send(denies);
        let (code, message) = provider.ended();
        assert_eq!(code, Code::Protocol, "{what}: {message}");
        scene.is_well();
    }
    scene.end();
}
