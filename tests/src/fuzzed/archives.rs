//! Archives that come from peers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use callgate_client::dynamic::{decode, encode};
use callgate_client::{GateType, Json, SortedMap, gate_type};

/// A struct that nests values of all kinds.
#[gate_type]
#[derive(Debug)]
struct Nested {
    small: Option<i8>,
    wide: Option<i128>,
    float: f32,
    text: String,
    letter: char,
    truth: bool,
    pair: (u16, Box<bool>),
    block: [[u8; 3]; 2],
    map: SortedMap<i32, Vec<f64>>,
    hashed: HashMap<String, Option<PathBuf>>,
    tree: BTreeMap<bool, Box<Nested>>,
    set: HashSet<u8>,
    at: Option<SystemTime>,
    after: Duration,
    kind: Vec<Kind>,
    any: Option<Json>,
}

#[gate_type]
#[derive(Debug)]
enum Kind {
    Unit,
    New(u32),
    Tuple(u8, Box<Kind>),
    Struct { nested: Vec<Nested>, unit: () },
    Outcome(Result<u32, String>),
}

/// Reads bytes as archives of some types.
pub(super) fn access(input: &[u8]) {
    takes::<Nested>(input);
    takes::<Kind>(input);
    takes::<(u8, String, Vec<u128>)>(input);
    takes::<SortedMap<String, Vec<String>>>(input);
    takes::<Json>(input);
    takes::<Duration>(input);
}

/// A value that was read can be archived and read again. The two are compared by their bytes, because a float may be
/// NaN.
fn takes<T: GateType>(input: &[u8]) {
    let Ok(value) = decode::<T>(input) else {
        return;
    };
    // A path or a time may have a value that cannot be archived.
    if let Ok(archive) = encode(&value) {
        let again = decode::<T>(&archive).expect("our own");
        assert_eq!(encode(&again).expect("as before")[..].len(), archive.len());
    }
}

/// The archives that the corpus began with.
#[cfg(test)]
mod tests {
    use super::*;

    fn nested(deep: u32) -> Nested {
        let inner = |is| (is, Box::new(nested(deep - 1)));
        Nested {
            small: Some(-1),
            wide: Some(1 << 100),
            float: 0.5,
            text: "some text".to_owned(),
            letter: 'ö',
            truth: true,
            pair: (7, Box::new(false)),
            block: [[1, 2, 3], [4, 5, 6]],
            map: [(1, vec![0.5, 1.5]), (-2, Vec::new())].into(),
            hashed: [
                ("a".to_owned(), Some("/tmp".into())),
                ("b".to_owned(), None),
            ]
            .into(),
            tree: if deep > 0 {
                [inner(true)].into()
            } else {
                BTreeMap::new()
            },
            set: [1, 2, 255].into(),
            at: Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500_000_001)),
            after: Duration::from_millis(1500),
            kind: vec![
                Kind::Unit,
                Kind::New(7),
                Kind::Tuple(1, Box::new(Kind::Outcome(Err("no".to_owned())))),
                Kind::Struct {
                    nested: Vec::new(),
                    unit: (),
                },
            ],
            any: Some(serde_json::json!({ "a": [1, null, "text"] }).into()),
        }
    }

    /// The corpus began with these archives. If a type here has changed, `CALLGATE_REWRITE=1` writes them again.
    #[test]
    fn the_corpus_has_archives_of_values() {
        let parameters = (7_u8, "text".to_owned(), vec![1_u128 << 90, 2]);
        let archives = [
            ("nested", encode(&nested(0))),
            ("deeper", encode(&nested(2))),
            (
                "kind",
                encode(&Kind::Struct {
                    nested: vec![nested(0)],
                    unit: (),
                }),
            ),
            ("outcome", encode(&Kind::Outcome(Ok(3)))),
            ("parameters", encode(&parameters)),
            ("any", encode(&Json::from(serde_json::json!([[[1.5]], {}])))),
            ("duration", encode(&Duration::from_secs(3))),
        ];
        let folder = crate::workspace::root().join("tests/fuzz/corpus/archive");
        for (name, archive) in archives {
            let (archive, path) = (archive.expect("an archive"), folder.join(name));
            if std::env::var_os("CALLGATE_REWRITE").is_some() {
                std::fs::write(&path, &archive[..]).expect("a file");
            }
            let known = std::fs::read(&path).expect("a file of the corpus");
            assert!(known == archive[..], "{name} is not what it was");
        }
    }
}
