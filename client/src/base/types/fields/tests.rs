//! Fields of types that are no gate types: their archives are those of the gate types in their schema.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::types::{GateType, SortedMap, fingerprint_of, schema_of};
use crate::{Code, dynamic, gate_type};

#[gate_type]
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(clippy::type_complexity, reason = "that is what is tested")]
struct Foreign {
    hash: HashMap<String, u32>,
    tree: BTreeMap<u8, PathBuf>,
    set: HashSet<String>,
    sorted: BTreeSet<u16>,
    path: PathBuf,
    time: Option<SystemTime>,
    pause: Duration,
    nested: Vec<HashMap<String, Option<BTreeMap<char, Vec<PathBuf>>>>>,
    boxed: Box<PathBuf>,
    pair: (u8, HashSet<PathBuf>),
    array: [BTreeSet<u8>; 2],
    ours: SortedMap<String, PathBuf>,
    recursive: HashMap<String, Foreign>,
}

/// The same fields, with gate types only.
#[gate_type]
#[derive(Debug, PartialEq)]
#[allow(clippy::type_complexity, reason = "that is what is tested")]
#[allow(clippy::box_collection, reason = "as above")]
struct Plain {
    hash: SortedMap<String, u32>,
    tree: SortedMap<u8, String>,
    set: Vec<String>,
    sorted: Vec<u16>,
    path: String,
    time: Option<Since>,
    pause: Pause,
    nested: Vec<SortedMap<String, Option<SortedMap<char, Vec<String>>>>>,
    boxed: Box<String>,
    pair: (u8, Vec<String>),
    array: [Vec<u8>; 2],
    ours: SortedMap<String, String>,
    recursive: SortedMap<String, Plain>,
}

#[gate_type]
#[derive(Debug, PartialEq)]
struct Since {
    secs_since_epoch: u64,
    nanos_since_epoch: u32,
}

#[gate_type]
#[derive(Debug, PartialEq)]
struct Pause {
    secs: u64,
    nanos: u32,
}

fn inner() -> Foreign {
    let paths = || ["z/y", "", "z/x"].map(PathBuf::from);
    let deep: BTreeMap<char, Vec<PathBuf>> = [('b', paths().to_vec()), ('a', Vec::new())].into();
    Foreign {
        hash: (0..100).map(|n| (format!("key {n}"), n)).collect(),
        tree: [(7, "seven".into()), (3, "three".into())].into(),
        set: ["b", "c", "a"].map(str::to_owned).into(),
        sorted: [300, 2, 100].into(),
        path: "a/b".into(),
        time: Some(UNIX_EPOCH + Duration::new(1 << 33, 999_999_999)),
        pause: Duration::new(5, 7),
        nested: vec![[("x".to_owned(), Some(deep)), ("y".to_owned(), None)].into()],
        boxed: Box::new("box".into()),
        pair: (1, paths().into()),
        array: [[9, 8].into(), BTreeSet::new()],
        ours: [("k".to_owned(), "v".into())].into(),
        recursive: HashMap::new(),
    }
}

fn outer() -> Foreign {
    let inner = inner();
    Foreign {
        recursive: [
            ("one".to_owned(), inner.clone()),
            ("two".to_owned(), Foreign::default()),
        ]
        .into(),
        ..inner
    }
}

#[test]
fn fields_of_the_standard_library_travel() {
    let archive = dynamic::encode(&outer()).unwrap();
    assert_eq!(dynamic::decode::<Foreign>(&archive).unwrap(), outer());
}

/// Equal fingerprints mean that an archive of one type can be read as the other.
#[test]
fn they_have_the_archives_of_the_gate_types_in_their_schema() {
    let prints = [fingerprint_of::<Foreign>(), fingerprint_of::<Plain>()];
    let [foreign, plain] = prints.map(Result::unwrap);
    assert_eq!(foreign, plain);
    let archive = dynamic::encode(&outer()).unwrap();
    let plain: Plain = dynamic::decode(&archive).unwrap();
    assert_eq!(plain.set, ["a", "b", "c"]);
    assert_eq!(plain.hash.get("key 42"), Some(&42));
    assert_eq!(plain.pair.1, ["", "z/x", "z/y"]);
    assert_eq!(plain.pause, Pause { secs: 5, nanos: 7 });
    let again = dynamic::encode(&plain).unwrap();
    assert_eq!(again[..], archive[..]);
    assert_eq!(dynamic::decode::<Foreign>(&again).unwrap(), outer());
    assert_eq!(schema_of::<Duration>().text(), "(Duration)");
}

#[gate_type]
#[derive(Debug, PartialEq)]
struct Generic<T> {
    by_name: HashMap<String, T>,
    maybe: Option<PathBuf>,
    last: T,
}

#[test]
fn types_with_parameters_have_such_fields() {
    let generic = Generic {
        by_name: [("a".to_owned(), 1_u8)].into(),
        maybe: Some("p".into()),
        last: 2,
    };
    let archive = dynamic::encode(&generic).unwrap();
    assert_eq!(dynamic::decode::<Generic<u8>>(&archive).unwrap(), generic);
}

/// Such a value failed with the error for one that is too large.
#[test]
fn what_has_no_archive_is_said_to_have_none() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = std::ffi::OsString::from_vec(vec![b'a', 0xff]);
    let broken = Foreign {
        path: bytes.into(),
        ..inner()
    };
    let early = Foreign {
        time: Some(UNIX_EPOCH - Duration::from_nanos(1)),
        ..inner()
    };
    for (value, what) in [
        (broken, "a path that is not UTF-8"),
        (early, "a time before 1970"),
    ] {
        let error = dynamic::encode(&value).unwrap_err();
        assert_eq!(error.code(), Code::TypeMismatch);
        assert!(error.to_string().contains(what), "{error}");
    }
    assert!(dynamic::encode(&inner()).is_ok());
}

fn refused<T: GateType>(value: &impl GateType) -> bool {
    let archive = dynamic::encode(value).unwrap();
    dynamic::decode::<T>(&archive).is_err()
}

/// `Duration::new` panics if the nanoseconds carry beyond the last second, and adding to a time panics if the sum
/// is later than the system can express.
#[test]
fn hostile_times_are_refused() {
    #[gate_type]
    struct Time {
        time: SystemTime,
    }
    for (secs, nanos) in [(u64::MAX, 1_000_000_000), (0, u32::MAX), (0, 1_000_000_000)] {
        assert!(refused::<Duration>(&Pause { secs, nanos }));
        assert!(refused::<Time>(&Pause { secs, nanos }));
    }
    let last = Pause {
        secs: u64::MAX,
        nanos: 999_999_999,
    };
    assert!(!refused::<Duration>(&last));
    assert!(refused::<Time>(&last));
}

/// Pairs and elements that a peer did not sort, or sent twice, still make a map and a set.
#[test]
fn hostile_pairs_and_elements_are_sorted() {
    #[gate_type]
    struct Unsorted {
        map: Vec<(u8, u8)>,
        set: Vec<u8>,
    }
    #[gate_type]
    struct Sorted {
        map: BTreeMap<u8, u8>,
        set: HashSet<u8>,
    }
    let archive = dynamic::encode(&Unsorted {
        map: vec![(2, 1), (1, 1), (2, 3)],
        set: vec![5, 4, 5],
    });
    let sorted: Sorted = dynamic::decode(&archive.unwrap()).unwrap();
    assert_eq!(sorted.map, BTreeMap::from([(1, 1), (2, 3)]));
    assert_eq!(sorted.set, HashSet::from([4, 5]));
}
