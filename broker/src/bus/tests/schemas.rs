//! Schemas that plugins upload and fetch.

use callgate_layout::control::{
    MAX_INLINE_SCHEMA, SchemaToBroker, SchemaToPlugin, SessionToPlugin,
};

use super::*;
use crate::policy::Policy;

const INVALID: Code = Code::InvalidArgument;

/// A schema of this length, whose shape begins with this number.
fn long(number: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[..4].copy_from_slice(&((len - 12) as u32).to_le_bytes());
    bytes[8] = 1;
    bytes[12] = number;
    bytes
}

fn fetch(open: u32, schema: u64, offset: u32) -> SchemaToBroker {
    SchemaToBroker::Fetch {
        request: 9,
        open,
        schema,
        offset,
    }
}

impl World {
    fn upload(&mut self, from: PluginId, upload: u32, whole: &[u8]) {
        for (at, bytes) in (0..).zip(whole.chunks(MAX_INLINE_SCHEMA)) {
            let part = SchemaToBroker::Part {
                upload,
                total: whole.len() as u32,
                offset: at * MAX_INLINE_SCHEMA as u32,
                bytes: bytes.to_vec(),
            };
            self.ok(from, part);
        }
    }

    fn provide_with(&mut self, from: PluginId, gate: &str, schema: SchemaSource) -> Option<Code> {
        self.ok(from, offer_of(gate, schema, Encodings::BOTH));
        self.refusal()
    }

    /// The code with which the last request was refused; `None` if it was not.
    fn refusal(&mut self) -> Option<Code> {
        let said = self.obeyed().into_iter();
        let mut refusals = said.rev().filter_map(|(_, record)| match record {
            ToPlugin::Session(SessionToPlugin::Answer { failure, .. }) => failure,
            _ => None,
        });
        let last = refusals.next()?;
        Code::from_u16(last.code)
    }

    /// Opens a gate in these encodings.
    fn open_json(&mut self, from: PluginId, open: u32, gate: &str, encodings: Encodings) {
        let shape = Shape {
            encodings,
            ..shape()
        };
        let open = GateToBroker::Open {
            open,
            gate: gate.into(),
            function: shape.clone(),
            action: shape,
        };
        self.ok(from, open);
    }

    /// The answer to a fetch: the length of the whole schema, and the part.
    fn fetched(&mut self, from: PluginId, fetch: SchemaToBroker) -> Result<(u32, Vec<u8>), Code> {
        self.ok(from, fetch);
        let (to, record) = self.obeyed().pop().unwrap();
        assert_eq!(to, from);
        match record {
            ToPlugin::Schema(SchemaToPlugin::Part {
                request: 9,
                total,
                bytes,
            }) => Ok((total, bytes)),
            ToPlugin::Session(SessionToPlugin::Answer {
                request: 9,
                failure: Some(failure),
            }) => Err(Code::from_u16(failure.code).unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

/// A plugin that opens a gate of other types gets the gate's whole schema, and a way to call it as JSON.
#[test]
fn a_schema_is_uploaded_and_fetched_in_parts() {
    let mut world = World::new(8);
    let whole = long(8, 2 * MAX_INLINE_SCHEMA + 100);
    world.upload(B, 3, &whole);
    assert_eq!(world.provide_with(B, "g", SchemaSource::Upload(3)), None);
    world.open_json(A, 5, "g", Encodings::BOTH);
    let (_, state) = world.obedient().pop().unwrap();
    let differs = Availability::Differs {
        schema: 1,
        signature: "(u8)".into(),
        json: true,
    };
    assert!(
        state.function == differs && state.route.is_some(),
        "{state:?}"
    );
    let mut fetched = Vec::new();
    while fetched.len() < whole.len() {
        let next = fetch(5, 1, fetched.len() as u32);
        let (total, bytes) = world.fetched(A, next).unwrap();
        assert!(total as usize == whole.len() && bytes.len() <= MAX_INLINE_SCHEMA);
        fetched.extend(bytes);
    }
    assert_eq!(fetched, whole);
    let record = ToPlugin::from(SchemaToPlugin::Part {
        request: u32::MAX,
        total: u32::MAX,
        bytes: vec![0; MAX_INLINE_SCHEMA],
    });
    assert!(record.encode().is_ok(), "a part fits a record");
}

/// Without JSON there is no way to call the gate and no link is made, but its schema can be fetched.
#[test]
fn what_differs_and_takes_archives_alone_has_no_way() {
    let mut world = World::new(8);
    let whole = SchemaSource::Inline(schema_of(8));
    world.provide_with(B, "g", whole);
    world.open_json(A, 5, "g", Encodings::ARCHIVE);
    world.open_json(A, 6, "g", Encodings::NONE);
    let told = world.obedient();
    assert!(matches!(
        told[0].1.function,
        Availability::Differs { json: false, .. }
    ));
    let takes = Encodings::BOTH;
    let signature = "(u8)".into();
    let none = Availability::NoEncoding { signature, takes };
    assert_eq!(told[1].1.function, none);
    assert!(told.iter().all(|(_, state)| state.route.is_none()));
    assert!(world.bus.links.is_empty());
    assert_eq!(world.fetched(A, fetch(5, 1, 0)).unwrap().1, schema_of(8));
}

/// A plugin could read the types of gates that it may not call, or does not have open.
#[test]
fn only_schemas_of_open_gates_are_fetched() {
    let mut world = World::new(8);
    world.provide_with(B, "g", SchemaSource::Inline(schema_of(8)));
    world.provide_with(B, "h", SchemaSource::Inline(schema_of(9)));
    world.open_json(A, 5, "g", Encodings::BOTH);
    world.obedient();
    assert!(world.fetched(A, fetch(5, 1, 0)).is_ok());
    assert_eq!(world.fetched(A, fetch(5, 2, 0)), Err(Code::NotReady));
    assert_eq!(world.fetched(A, fetch(6, 1, 0)), Err(INVALID));
    assert_eq!(world.fetched(B, fetch(5, 1, 0)), Err(INVALID));
    for beyond in [schema_of(8).len() as u32, u32::MAX] {
        assert_eq!(world.fetched(A, fetch(5, 1, beyond)), Err(INVALID));
    }
    world.set_policy("a", Policy::new().call("h"));
    world.obedient();
    let denied = Err(Code::PermissionDenied);
    assert_eq!(world.fetched(A, fetch(5, 1, 0)), denied);
    world.set_policy("a", Policy::new().call("g"));
    world.withdraw(B, "g");
    world.obedient();
    assert_eq!(world.fetched(A, fetch(5, 1, 0)), Err(Code::NotReady));
    // The schema of the next life has another number, which the plugin is told.
    world.provide_with(B, "g", SchemaSource::Inline(schema_of(8)));
    assert_eq!(world.fetched(A, fetch(5, 1, 0)), Err(Code::NotReady));
    assert!(world.fetched(A, fetch(5, 3, 0)).is_ok());
}

#[test]
fn a_schema_that_cannot_be_is_refused() {
    let mut world = World::new(8);
    let mut cut = schema_of(8);
    cut.pop();
    let mut many = schema_of(8);
    many[8] = 9;
    for wrong in [
        SchemaSource::Inline(Vec::new()),
        SchemaSource::Inline(cut),
        SchemaSource::Inline(many),
        SchemaSource::Upload(0),
    ] {
        assert_eq!(world.provide_with(B, "g", wrong), Some(INVALID));
    }
    // Bytes that are a schema only by their head are accepted; plugins that open the gate find out.
    let opaque = SchemaSource::Inline(schema_of(255));
    assert_eq!(world.provide_with(B, "g", opaque), None);
    let mut any = schema_of(8);
    any[8] = 255;
    let any = SchemaSource::Inline(any);
    assert_eq!(world.provide_with(B, "h", any), None);
}

/// An upload that was refused once could still be provided later, or stayed charged.
#[test]
fn an_upload_is_taken_by_the_provide_that_names_it() {
    let mut world = World::new(8);
    let whole = long(8, 40_000);
    world.set_policy("b", Policy::new().provide("h"));
    world.upload(B, 3, &whole);
    let refused = world.provide_with(B, "g", SchemaSource::Upload(3));
    assert_eq!(refused, Some(Code::PermissionDenied));
    let again = world.provide_with(B, "h", SchemaSource::Upload(3));
    assert_eq!(again, Some(INVALID));
    // An upload that is not complete.
    let part = SchemaToBroker::Part {
        upload: 4,
        total: 100,
        offset: 0,
        bytes: vec![0; 99],
    };
    world.ok(B, part.clone());
    let unfinished = world.provide_with(B, "h", SchemaSource::Upload(4));
    assert_eq!(unfinished, Some(INVALID));
    assert_eq!(world.code_of(B, part), None);
    let beyond = SchemaToBroker::Part {
        upload: 4,
        total: 100,
        offset: 99,
        bytes: vec![0; 2],
    };
    assert_eq!(world.code_of(B, beyond), Some(Code::Protocol));
}

/// The quota is that of the plugin: it includes what waits in line.
#[test]
fn schemas_are_charged_while_they_wait_in_line() {
    let mut world = World::new(8);
    let half_a_mib = || SchemaSource::Inline(long(1, 600_000));
    world.provide(A, "g");
    let mut waits = offer_of("g", half_a_mib(), Encodings::BOTH);
    if let GateToBroker::Provide { life, .. } = &mut waits {
        *life = Some(0);
    }
    world.ok(B, waits);
    assert_eq!(world.refusal(), None);
    let more = || SchemaSource::Inline(long(2, 600_000));
    let refused = world.provide_with(B, "h", more());
    assert_eq!(refused, Some(Code::Overloaded));
    assert_eq!(world.provide_with(A, "h", more()), None, "another one may");
    world.withdraw(B, "g");
    world.effects();
    let other = world.provide_with(B, "i", more());
    assert_eq!(other, None, "its place is free");
}

/// A plugin that came back opened everything that it had without being charged, but was charged for fetching, and lost its session. So did
/// one that had a gate open whose provider changed its types again and again.
#[test]
fn fetches_of_what_a_plugin_is_told_are_not_charged() {
    let mut world = World::new(8);
    world.provide_with(B, "g", SchemaSource::Inline(schema_of(8)));
    world.open_json(A, 5, "g", Encodings::BOTH);
    world.obedient();
    let (free, charged) = (Weight::Expected, Weight::Charged);
    let weigh = |world: &mut World, schema| {
        let record = fetch(5, schema, 0);
        world.bus.record(A, record.into(), world.now).unwrap()
    };
    assert_eq!(weigh(&mut world, 1), free);
    assert_eq!(weigh(&mut world, 1), charged);
    for number in 2..20 {
        world.withdraw(B, "g");
        world.upload(B, number, &long(8, 2 * MAX_INLINE_SCHEMA));
        world.provide_with(B, "g", SchemaSource::Upload(number));
        world.obedient();
        let weights = [(); 3].map(|()| weigh(&mut world, u64::from(number)));
        assert_eq!(weights, [free, free, charged], "{number}");
    }
}

#[test]
fn who_came_for_listings_uploads_nothing() {
    let mut world = World::new(8);
    world.bus.only_inspects(A);
    let part = SchemaToBroker::Part {
        upload: 1,
        total: 100,
        offset: 0,
        bytes: vec![0; 100],
    };
    let weight = world.bus.record(A, part.into(), world.now);
    assert_eq!(weight.unwrap(), Weight::Charged);
    let refused = world.provide_with(A, "g", SchemaSource::Upload(1));
    assert_eq!(refused, Some(Code::PermissionDenied));
}
