//! A plugin that breaks the rules for schemas: in uploads, when it provides, and in questions.

use callgate_layout::control::{
    Availability, Failure, GateToBroker, GateToPlugin, MAX_INLINE_SCHEMA, MAX_SCHEMA, SchemaSource,
    SchemaToBroker, SchemaToPlugin, SessionToPlugin, ToBroker, ToPlugin,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encodings};
use callgate_tests::PATIENCE;
use callgate_tests::raw::Raw;

use crate::scene::Scene;

/// Bytes of this length whose head says that they are a schema with one parameter.
fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![7; len];
    let shape = (len - 12) as u32;
    bytes[..4].copy_from_slice(&shape.to_le_bytes());
    bytes[4..12].copy_from_slice(&[0, 0, 0, 0, 1, 1, 0, 0]);
    bytes
}

fn part(upload: u32, total: usize, offset: usize, len: usize) -> ToBroker {
    let part = SchemaToBroker::Part {
        upload,
        total: total as u32,
        offset: offset as u32,
        bytes: bytes(MAX_SCHEMA as usize)[offset..offset + len].to_vec(),
    };
    part.into()
}

fn fetch(open: u32, schema: u64, offset: u32) -> SchemaToBroker {
    SchemaToBroker::Fetch {
        request: 77,
        open,
        schema,
        offset,
    }
}

pub(crate) fn provide(gate: &str, schema: SchemaSource) -> GateToBroker {
    GateToBroker::Provide {
        request: 76,
        gate: gate.into(),
        prefix: gate.ends_with('.'),
        kind: CallKind::Function,
        schema,
        signature: "(u8) -> u8".into(),
        encodings: Encodings::BOTH,
        record: None,
        life: None,
    }
}

/// The code with which a request was refused, if it was refused.
pub(crate) fn refusal(raw: &mut Raw) -> Option<Code> {
    raw.follow(|record| match record {
        ToPlugin::Session(SessionToPlugin::Answer { failure, .. }) => {
            let code = |failure: &Failure| Code::from_u16(failure.code);
            Some(failure.as_ref().and_then(code))
        }
        ToPlugin::Gate(GateToPlugin::Provided { .. }) => Some(None),
        ToPlugin::Schema(SchemaToPlugin::Part { .. }) => Some(None),
        _ => None,
    })
}

/// A plugin that uploads parts that do not fit loses its session: the broker keeps no unused bytes, and no more than
/// were announced.
#[test]
fn who_uploads_what_does_not_fit_loses_its_session_alone() {
    let mut scene = Scene::new();
    let most = MAX_SCHEMA as usize;
    let wrong: [(&str, Vec<ToBroker>); 8] = [
        ("in the middle", vec![part(1, 100, 50, 10)]),
        ("a gap", vec![part(1, 100, 0, 10), part(1, 100, 11, 10)]),
        ("once more", vec![part(1, 100, 0, 10), part(1, 100, 5, 10)]),
        (
            "of another",
            vec![part(1, 100, 0, 10), part(2, 100, 10, 10)],
        ),
        (
            "of another length",
            vec![part(1, 100, 0, 10), part(1, 101, 10, 10)],
        ),
        (
            "beyond its end",
            vec![part(1, 100, 0, 90), part(1, 100, 90, 11)],
        ),
        ("of nothing", vec![part(1, 100, 0, 0)]),
        ("too long", vec![part(1, most + 1, 0, 10)]),
    ];
    for (what, records) in wrong {
        let mut raw = Raw::join(&scene.bus, "villain");
        for record in records {
            let bytes = record.encode().expect("a record");
            // Its session may end before it has sent everything.
            let _ = raw.send_bytes(&bytes);
        }
        let (code, message) = raw.ended();
        assert_eq!(code, Code::Protocol, "{what}: {message}");
        scene.is_well();
    }
    scene.end();
}

/// A schema that is invalid, missing, or more than a plugin may have is refused. The session stays.
#[test]
fn what_cannot_be_provided_with_is_refused() {
    let mut scene = Scene::new();
    let mut raw = Raw::join(&scene.bus, "villain");
    let mut long_shape = bytes(100);
    long_shape[0] += 1;
    for schema in [Vec::new(), bytes(100)[..99].to_vec(), long_shape] {
        raw.send(provide("villain.g", SchemaSource::Inline(schema)));
        assert_eq!(refusal(&mut raw), Some(Code::InvalidArgument));
    }
    raw.send(provide("villain.g", SchemaSource::Upload(1)));
    assert_eq!(refusal(&mut raw), Some(Code::InvalidArgument), "no upload");
    raw.send(part(1, 100, 0, 99));
    raw.send(provide("villain.g", SchemaSource::Upload(1)));
    assert_eq!(refusal(&mut raw), Some(Code::InvalidArgument), "unfinished");
    // 8 MiB of different schemas, and one byte more.
    for number in 0..=8_u8 {
        let mut whole = bytes(MAX_SCHEMA as usize);
        whole[12] = number;
        for (at, chunk) in (0..).zip(whole.chunks(MAX_INLINE_SCHEMA)) {
            raw.send(SchemaToBroker::Part {
                upload: u32::from(number),
                total: MAX_SCHEMA,
                offset: at * MAX_INLINE_SCHEMA as u32,
                bytes: chunk.to_vec(),
            });
        }
        let upload = SchemaSource::Upload(u32::from(number));
        raw.send(provide(&format!("villain.{number}"), upload));
        let expected = (number == 8).then_some(Code::Overloaded);
        assert_eq!(refusal(&mut raw), expected, "{number}");
    }
    scene.is_well();
    // Uploads that are never finished.
    for upload in 0..2000 {
        raw.send(part(upload, 1000, 0, 10));
    }
    raw.send(provide("anvil.Other", SchemaSource::Inline(bytes(100))));
    assert_eq!(
        refusal(&mut raw),
        Some(Code::Overloaded),
        "it has no byte left"
    );
    scene.is_well();
    scene.end();
}

/// A plugin that opens a gate whose provider has uploaded no schema is told so. The broker and the provider are not
/// affected.
#[test]
fn what_is_fetched_is_what_there_is() {
    let mut scene = Scene::new();
    let mut provider = Raw::join(&scene.bus, "liar");
    provider.send(provide("liar.g", SchemaSource::Inline(bytes(100))));
    assert_eq!(refusal(&mut provider), None);
    let mut raw = Raw::join(&scene.bus, "villain");
    let open = raw.open::<(u8,), u8>("liar.g");
    let schema = raw.follow(|record| match record {
        ToPlugin::Gate(GateToPlugin::State { state, .. }) => match state.function {
            Availability::Differs { schema, .. } => Some(schema),
            _ => None,
        },
        _ => None,
    });
    for (open, schema, offset, expected) in [
        (open, schema, 0, None),
        (open, schema, 99, None),
        (open, schema, 100, Some(Code::InvalidArgument)),
        (open, schema, u32::MAX, Some(Code::InvalidArgument)),
        (open + 1, schema, 0, Some(Code::InvalidArgument)),
        (open, schema + 1, 0, Some(Code::NotReady)),
        (open, u64::MAX, 0, Some(Code::NotReady)),
    ] {
        raw.send(fetch(open, schema, offset));
        assert_eq!(refusal(&mut raw), expected, "{open} {schema} {offset}");
    }
    raw.send(GateToBroker::Close { open });
    raw.send(fetch(open, schema, 0));
    assert_eq!(refusal(&mut raw), Some(Code::InvalidArgument));
    scene.is_well();
    scene.end();
}

/// A plugin that asks for parts without end and reads none of them fills only its own queue.
#[test]
fn who_fetches_without_end_loses_its_session_alone() {
    let mut scene = Scene::new();
    let mut provider = Raw::join(&scene.bus, "liar");
    provider.send(provide(
        "liar.g",
        SchemaSource::Inline(bytes(MAX_INLINE_SCHEMA)),
    ));
    assert_eq!(refusal(&mut provider), None);
    let mut raw = Raw::join(&scene.bus, "villain");
    let open = raw.open::<(u8,), u8>("liar.g");
    let bytes = ToBroker::from(fetch(open, 1, 0))
        .encode()
        .expect("a record");
    while raw.send_bytes(&bytes).is_ok() {}
    // Its queue has no room for a last message.
    while raw.receive_silently(PATIENCE).is_some() {}
    Raw::join(&scene.bus, "villain");
    scene.is_well();
    scene.end();
}
