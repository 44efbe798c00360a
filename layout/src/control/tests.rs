use super::*;
use proptest::prelude::*;

fn provide() -> ToBroker {
    ToBroker::Provide {
        request: 7,
        gate: "Rack.Filter".into(),
        kind: CallKind::Function,
        shape: Shape {
            params: 2,
            fingerprint: 1 << 99,
            signature: "(Block, f32) -> Block".into(),
        },
        record: None,
    }
}

#[test]
fn records_survive_the_wire() {
    let bytes = provide().encode().unwrap();
    assert_eq!(ToBroker::decode(&bytes), Ok(provide()));
    let ended = ToPlugin::Ended(Failure::new(crate::Code::NameTaken, "taken"));
    assert_eq!(ToPlugin::decode(&ended.encode().unwrap()), Ok(ended));
}

#[test]
fn a_hello_names_the_doorbells_of_its_group() {
    let hello = ToBroker::HelloInGroup {
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
    };
    assert_eq!(ToBroker::decode(&hello.encode().unwrap()), Ok(hello));
}

#[test]
fn another_version_says_which() {
    let mut bytes = provide().encode().unwrap();
    bytes[8] = 9;
    assert_eq!(
        ToBroker::decode(&bytes),
        Err(DecodeError::Version { theirs: 9 })
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
