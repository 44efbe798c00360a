use super::*;
use crate::encoding::{Encoding, Encodings};
use crate::envelope::CallKind;
use proptest::prelude::*;

fn provide() -> ToBroker {
    let provide = GateToBroker::Provide {
        request: 7,
        gate: "Rack.Filter".into(),
        prefix: false,
        kind: CallKind::Function,
        schema: SchemaSource::Inline(vec![1, 2, 3]),
        signature: "(Block, f32) -> Block".into(),
        encodings: Encodings::BOTH,
        record: None,
        life: Some(1 << 52),
    };
    provide.into()
}

#[test]
fn records_survive_the_wire() {
    let bytes = provide().encode().unwrap();
    assert_eq!(ToBroker::decode(&bytes), Ok(provide()));
    let ended = SessionToPlugin::Ended(Failure::new(crate::Code::NameTaken, "taken"));
    let ended = ToPlugin::from(ended);
    assert_eq!(ToPlugin::decode(&ended.encode().unwrap()), Ok(ended));
}

fn state_of_two_halves() -> GateState {
    GateState {
        owner: Some("b".into()),
        generation: 3,
        function: Availability::Differs {
            schema: u64::MAX,
            signature: "(Block)".into(),
            json: true,
        },
        action: Availability::Ready {
            encoding: Encoding::Json,
        },
        route: None,
    }
}

/// Of each subject one record that has a part of every kind.
#[test]
fn records_of_all_subjects_survive_the_wire() {
    let end = LinkEnd { link: 3, side: 1 };
    let memory = MemoryId::Extent { end, number: 7 };
    let failure = Failure::new(crate::Code::System, "no memory");
    let peer = PeerInfo {
        plugin: 4,
        pid: 5,
        identity: Identity {
            name: "b".into(),
            display_name: "B".into(),
            version: "1".into(),
            clock: Clock::default(),
        },
    };
    let to_broker: [ToBroker; 10] = [
        SessionToBroker::Hello(peer.identity.clone()).into(),
        GateToBroker::Close { open: 9 }.into(),
        LinkToBroker::GrantInstalled { end, index: 2 }.into(),
        LinkToBroker::Standing {
            number: 6,
            peer: "b".into(),
            gates: vec!["Rack.Filter".into(), "Größe".into()],
        }
        .into(),
        LinkToBroker::Refused { number: 6 }.into(),
        LinkToBroker::NotProvided { end, index: 3 }.into(),
        SchemaToBroker::Part {
            upload: 1,
            total: MAX_SCHEMA,
            offset: 2,
            bytes: vec![7; MAX_INLINE_SCHEMA],
        }
        .into(),
        SchemaToBroker::Fetch {
            request: 1,
            open: 2,
            schema: u64::MAX,
            offset: 4,
        }
        .into(),
        SessionToBroker::Drained.into(),
        MemoryToBroker::Failed {
            memory,
            role: Role::Reader,
            failure: failure.clone(),
        }
        .into(),
    ];
    for record in to_broker {
        assert_eq!(ToBroker::decode(&record.encode().unwrap()), Ok(record));
    }
    let geometry = crate::Geometry::DEFAULT;
    let to_plugin: [ToPlugin; 10] = [
        SessionToPlugin::Listing { request: 1 }.into(),
        SchemaToPlugin::Part {
            request: 1,
            total: MAX_SCHEMA,
            bytes: vec![7; MAX_INLINE_SCHEMA],
        }
        .into(),
        GateToPlugin::State {
            open: 1,
            state: state_of_two_halves(),
        }
        .into(),
        GateToPlugin::OpenFailed { open: 2, failure }.into(),
        GateToPlugin::Provided {
            request: 3,
            life: u64::MAX,
        }
        .into(),
        GateToPlugin::Lost {
            request: 3,
            owner: "c".into(),
        }
        .into(),
        LinkToPlugin::Refuse {
            number: 6,
            gates: vec![0, u16::MAX],
        }
        .into(),
        SessionToPlugin::Welcome {
            bus: u64::MAX,
            plugin: 1 << 52,
            limits: PluginLimits {
                gates: 1,
                opens: 2,
                links: 3,
                extent_mib: 4,
                schema_mib: 1,
                share_mib: 8,
                shares: 8,
            },
            broker: BrokerFacts {
                pid: 7,
                generation: 8,
            },
        }
        .into(),
        LinkToPlugin::Peer {
            end,
            peer,
            geometry,
        }
        .into(),
        MemoryToPlugin::Map {
            memory: MemoryId::Outbox { end },
            role: Role::Writer,
            len: 4096,
        }
        .into(),
    ];
    for record in to_plugin {
        assert_eq!(ToPlugin::decode(&record.encode().unwrap()), Ok(record));
    }
}

/// Each side of a link would take the other's memory for its own.
/// A plugin with the longest texts that there can be.
fn long_peer() -> PeerInfo {
    PeerInfo {
        plugin: 1 << 53,
        pid: u32::MAX,
        identity: Identity {
            name: "n".repeat(MAX_PLUGIN_NAME),
            display_name: "d".repeat(MAX_TEXT),
            version: "v".repeat(MAX_TEXT),
            clock: Clock::default(),
        },
    }
}

/// One that does not fit would be lost, and with it the feed.
#[test]
fn the_longest_records_about_events_survive_the_wire() {
    let (topic, signature) = ("t".repeat(MAX_GATE_NAME), "s".repeat(MAX_TEXT));
    let shape = Shape {
        params: None,
        fingerprint: u128::MAX,
        encodings: Encodings::BOTH,
        signature: signature.clone(),
    };
    let failure = Failure::new(crate::Code::TypeMismatch, "f".repeat(MAX_TEXT));
    let to_broker: [ToBroker; 7] = [
        SourceToBroker::Offer {
            request: u32::MAX,
            topic: topic.clone(),
            open: true,
            schema: SchemaSource::Inline(vec![7; MAX_INLINE_SCHEMA]),
            signature: signature.clone(),
            encodings: Encodings::BOTH,
            capacity: 16 << 20,
            history: u32::MAX,
            word: u16::MAX,
            incarnation: u64::MAX,
            returning: true,
        }
        .into(),
        SourceToBroker::RingFailed {
            ring: u64::MAX,
            failure: failure.clone(),
        }
        .into(),
        SourceToBroker::Heard {
            feed: 1,
            position: u64::MAX,
            number: u64::MAX,
        }
        .into(),
        SourceToBroker::ListenFailed {
            feed: u64::MAX,
            failure: failure.clone(),
        }
        .into(),
        FeedToBroker::FollowFailed { feed: u64::MAX }.into(),
        FeedToBroker::Subscribe {
            request: 1,
            subscription: u32::MAX,
            topic: topic.clone(),
            prefix: true,
            shape,
            pulled: true,
        }
        .into(),
        FeedToBroker::Take {
            feed: u64::MAX,
            encoding: Encoding::Json,
        }
        .into(),
    ];
    for record in to_broker {
        assert_eq!(ToBroker::decode(&record.encode().unwrap()), Ok(record));
    }
    let found = FeedToPlugin::Found {
        subscription: u32::MAX,
        feed: u64::MAX,
        topic,
        peer: long_peer(),
        incarnation: u64::MAX,
        signature,
        fit: Fit::Unfit { failure },
    };
    let listen = SourceToPlugin::Listen {
        ring: 1,
        feed: 2,
        cursor: u16::MAX,
        pulled: true,
        peer: long_peer(),
    };
    let make = SourceToPlugin::MakeRing {
        request: 1,
        ring: 2,
        encoding: Encoding::Json,
        len: u32::MAX,
    };
    for record in [found.into(), listen.into(), ToPlugin::from(make)] {
        assert_eq!(ToPlugin::decode(&record.encode().unwrap()), Ok(record));
    }
}

#[test]
fn memory_belongs_to_the_end_that_writes_it() {
    let end = LinkEnd { link: 3, side: 1 };
    for memory in [
        MemoryId::Outbox { end },
        MemoryId::Extent { end, number: 0 },
    ] {
        assert_eq!(memory.end(Role::Writer), end);
        assert_eq!(memory.end(Role::Reader), end.other());
    }
}

#[test]
fn each_end_has_another() {
    let end = |side| LinkEnd { link: 5, side };
    assert_eq!((end(0).other(), end(1).other()), (end(1), end(0)));
    // What a peer says is a side all the same.
    assert_eq!((end(254).other(), end(255).other()), (end(1), end(0)));
}

/// The longest record that can be sent has as many bytes as a datagram.
#[test]
fn a_record_that_fits_no_datagram_is_refused() {
    let named = |len| {
        let name = "x".repeat(len);
        ToPlugin::from(SessionToPlugin::Invitation { name })
    };
    let around = named(1000).encode().unwrap().len() - 1000;
    let most = MAX_RECORD - around;
    assert_eq!(named(most).encode().unwrap().len(), MAX_RECORD);
    // Records are padded to a multiple of 16 bytes.
    assert!(named(most + 16).encode().is_err());
}

#[test]
fn what_is_no_record_is_refused() {
    let bytes = provide().encode().unwrap();
    for foreign in [&[][..], &bytes[..15], b"CALLGATX 12345678", &[0; 300]] {
        assert_eq!(ToBroker::decode(foreign), Err(DecodeError::Foreign));
    }
    let cut = ToBroker::decode(&bytes[..16]);
    assert!(matches!(cut, Err(DecodeError::Damaged(_))));
}

#[test]
fn a_hello_names_the_doorbells_of_its_group() {
    let hello = ToBroker::from(SessionToBroker::HelloInGroup {
        identity: Identity {
            name: "A".into(),
            display_name: "A".into(),
            version: "1".into(),
            clock: Clock::default(),
        },
        doorbells: vec![DoorbellName {
            bus: u64::MAX,
            plugin: 7,
        }],
    });
    assert_eq!(ToBroker::decode(&hello.encode().unwrap()), Ok(hello));
}

#[test]
fn another_version_says_which() {
    let mut bytes = provide().encode().unwrap();
    bytes[8] = 200;
    assert_eq!(
        ToBroker::decode(&bytes),
        Err(DecodeError::Version { theirs: 200 })
    );
}

#[test]
fn a_long_message_is_cut_and_says_so() {
    let failure = Failure::new(crate::Code::Protocol, "ä".repeat(5000));
    assert!(failure.message.len() <= MAX_TEXT && failure.message.len() > MAX_TEXT - 8);
    assert!(failure.message.ends_with("ä … (cut: 5932 bytes more)"));
}

proptest! {
    #[test]
    fn hostile_datagrams_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = ToBroker::decode(&bytes);
        let mut framed = header(VERSION).to_vec();
        framed.extend_from_slice(&bytes);
        let _ = ToBroker::decode(&framed);
        let _ = ToPlugin::decode(&framed);
    }

    #[test]
    fn damaged_records_never_panic(at in 0usize..1000, value: u8, cut in 0usize..1000) {
        let mut bytes = provide().encode().unwrap().to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = ToBroker::decode(&bytes);
        bytes.truncate(cut);
        let _ = ToBroker::decode(&bytes);
    }
}
