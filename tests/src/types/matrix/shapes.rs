//! Structs that become tuples, newtypes or unit.

use callgate_client::{Code, gate_type};

use super::Change;
use super::form::{archive, fails, json, never};

#[gate_type]
#[derive(Clone, Debug)]
struct Point {
    x: u8,
    y: u16,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Pair(u8, u16);

#[gate_type]
#[derive(Clone, Debug)]
struct Id(u64);

#[gate_type]
#[derive(Clone, Debug)]
struct Other(u64);

#[gate_type]
#[derive(Clone, Debug)]
struct Nothing;

#[gate_type]
#[derive(Clone, Debug)]
struct Empty {}

#[gate_type]
#[derive(Clone, Debug)]
struct Something {
    #[serde(default)]
    n: u8,
}

pub(super) fn changes() -> Vec<Change> {
    vec![
        Change::of(
            "StructAsTuple",
            "A struct becomes a tuple struct",
            never(Point { x: 1, y: 2 }, ""),
            never(Pair(1, 2), ""),
        ),
        Change::of(
            "TupleStruct",
            "A tuple struct becomes a tuple",
            json(Pair(1, 2), (1_u8, 2_u16)),
            json((1_u8, 2_u16), Pair(1, 2)),
        ),
        Change::of(
            "TupleLonger",
            "A tuple gets another length",
            never((1_u8, 2_u16), ""),
            never((1_u8, 2_u16, 3_u8), ""),
        ),
        Change::of(
            "TupleAsVec",
            "A tuple becomes a `Vec`",
            json((1_u8, 2_u16), vec![1_u16, 2]),
            json(vec![1_u16, 2], (1_u8, 2_u16))
                .but("another length", vec![1, 2, 3], "")
                .but("300", vec![300, 2], "[0]"),
        ),
        Change::of(
            "Newtype",
            "A number becomes a newtype",
            json(7_u64, Id(7)),
            json(Id(7), 7_u64),
        ),
        Change::of(
            "NewtypeRenamed",
            "A newtype is renamed",
            archive(Id(7), Other(7)),
            archive(Other(7), Id(7)),
        ),
        Change::of(
            "UnitStruct",
            "`()` becomes a unit struct",
            json((), Nothing),
            json(Nothing, ()),
        ),
        Change::of(
            "UnitGetsField",
            "A unit struct (`struct X;`) gets a field with a default",
            fails(Nothing, Code::ValueNull, ""),
            json(Something { n: 7 }, Nothing),
        ),
        Change::of(
            "EmptyGetsField",
            "A struct without fields (`struct X {}`) gets one with a default",
            json(Empty {}, Something { n: 0 }),
            json(Something { n: 7 }, Empty {}),
        ),
    ]
}
