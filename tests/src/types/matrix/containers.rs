//! Lists, maps, sets, results and boxes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use callgate_client::{SortedMap, gate_type};

use super::Change;
use super::form::{archive, json, never};

/// A struct with a container.
#[gate_type]
#[derive(Clone, Debug)]
struct Of<T> {
    all: T,
}

fn of<T>(all: T) -> Of<T> {
    Of { all }
}

#[gate_type]
#[derive(Clone, Debug)]
struct Hashed {
    all: HashMap<String, u32>,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Ordered {
    all: BTreeMap<String, u32>,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Distinct {
    all: BTreeSet<u32>,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Wider {
    all: BTreeSet<u64>,
}

pub(super) fn changes() -> Vec<Change> {
    let mut all = lists();
    all.extend(maps());
    all.extend(others());
    all
}

fn lists() -> Vec<Change> {
    vec![
        Change::of(
            "ElementWidened",
            "The elements of a `Vec` are widened",
            json(vec![1_u8, 2], vec![1_u64, 2]).and("", vec![], Vec::<u64>::new()),
            json(vec![1_u64, 2], vec![1_u8, 2]).but("300", vec![1, 300], "[1]"),
        ),
        Change::of(
            "ElementOther",
            "The elements of a `Vec` become texts",
            never(of(vec![1_u8]), ".all[]"),
            never(of(vec!["1".to_owned()]), ".all[]"),
        ),
        Change::of(
            "ElementOptional",
            "The elements of a `Vec` become `Option`s",
            json(of(vec![1_u8]), of(vec![Some(1_u8)])),
            json(of(vec![Some(1_u8)]), of(vec![1_u8])).but_null(
                "`None`",
                of(vec![Some(1), None]),
                ".all[1]",
            ),
        ),
        Change::of(
            "ArrayLonger",
            "An array gets another length",
            never(of([1_u8, 2]), ".all"),
            never(of([1_u8, 2, 3]), ".all"),
        ),
        Change::of(
            "ArrayAsVec",
            "An array becomes a `Vec`",
            json(of([1_u8, 2]), of(vec![1_u8, 2])),
            json(of(vec![1_u8, 2]), of([1_u8, 2])).but("another length", of(vec![1]), ".all"),
        ),
        Change::of(
            "VecAsOption",
            "A `Vec` becomes an `Option` of one",
            json(of(vec![1_u8]), of(Some(vec![1_u8]))),
            json(of(Some(vec![1_u8])), of(vec![1_u8])).but_null("`None`", of(None), ".all"),
        ),
    ]
}

fn maps() -> Vec<Change> {
    let pairs = || [("b".to_owned(), 2_u32), ("a".to_owned(), 1)];
    let hashed = || Hashed {
        all: HashMap::from([("a".to_owned(), 1)]),
    };
    let ordered = || Ordered {
        all: BTreeMap::from([("a".to_owned(), 1)]),
    };
    let map = |n: u64| -> SortedMap<String, u64> { [("a".to_owned(), n)].into_iter().collect() };
    let narrow: SortedMap<String, u32> = pairs()
        .into_iter()
        .take(0)
        .chain([("a".to_owned(), 1)])
        .collect();
    let by_small: SortedMap<u8, bool> = [(7, true)].into_iter().collect();
    let by_large = |n: u32| -> SortedMap<u32, bool> { [(n, true)].into_iter().collect() };
    let by_text: SortedMap<String, bool> = [("7".to_owned(), true)].into_iter().collect();
    let set = Distinct {
        all: BTreeSet::from([1, 2]),
    };
    let wider = |n: u64| Wider {
        all: BTreeSet::from([1, n]),
    };
    vec![
        Change::of(
            "HashedAsOrdered",
            "`HashMap` becomes `BTreeMap`",
            archive(hashed(), ordered()),
            archive(ordered(), hashed()),
        ),
        Change::of(
            "MapValues",
            "The values of a map are widened",
            json(narrow.clone(), map(1)),
            json(map(1), narrow).but("2³²", map(1 << 32), ".a"),
        ),
        Change::of(
            "MapKeys",
            "The keys of a map are widened",
            json(by_small.clone(), by_large(7)),
            json(by_large(7), by_small.clone()).but("300", by_large(300), ""),
        ),
        Change::of(
            "MapKeysText",
            "The keys of a map become texts",
            never(by_small, "{key}"),
            never(by_text, "{key}"),
        ),
        Change::of(
            "ListAsSet",
            "A `Vec` becomes a set",
            archive(of(vec![1_u32, 2]), set.clone()).and(
                "of two equal elements one is left",
                of(vec![2, 1, 2]),
                set.clone(),
            ),
            archive(set.clone(), of(vec![1_u32, 2])),
        ),
        Change::of(
            "SetWidened",
            "The elements of a set are widened",
            json(set.clone(), wider(2)),
            json(wider(2), set).but("2³²", wider(1 << 32), ".all[1]"),
        ),
    ]
}

fn others() -> Vec<Change> {
    type Narrow = Of<Result<u8, String>>;
    type Wide = Of<Result<u32, String>>;
    let error = || "none".to_owned();
    vec![
        Change::of(
            "ResultWidened",
            "What a `Result` holds is widened",
            json::<Narrow, Wide>(of(Ok(7)), of(Ok(7))).and::<Wide>(
                "",
                of(Err(error())),
                of(Err(error())),
            ),
            json::<Wide, Narrow>(of(Ok(7)), of(Ok(7)))
                .and::<Narrow>("", of(Err(error())), of(Err(error())))
                .but("300", of(Ok(300)), ".all.Ok"),
        ),
        Change::of(
            "ErrorOther",
            "The error of a `Result` becomes a number",
            json::<Narrow, Of<Result<u8, u32>>>(of(Ok(7)), of(Ok(7))).but(
                "an error",
                of(Err(error())),
                ".all.Err",
            ),
            json::<Of<Result<u8, u32>>, Narrow>(of(Ok(7)), of(Ok(7))).but(
                "an error",
                of(Err(1)),
                ".all.Err",
            ),
        ),
        Change::of(
            "Boxed",
            "A field is put into a `Box`",
            json(of(7_u32), of(Box::new(7_u32))),
            json(of(Box::new(7_u32)), of(7_u32)),
        ),
        Change::of(
            "OptionTwice",
            "An `Option` becomes one of an `Option`",
            json(of(Some(7_u8)), of(Some(Some(7_u8)))).and::<Of<Option<Option<u8>>>>(
                "",
                of(None),
                of(None),
            ),
            json(of(Some(Some(7_u8))), of(Some(7_u8))).but("`Some(None)`", of(Some(None)), ".all"),
        ),
    ]
}
