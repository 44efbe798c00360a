//! Numbers of other types.

use callgate_client::gate_type;

use super::Change;
use super::form::{json, never};

/// A struct with one number.
#[gate_type]
#[derive(Clone, Debug)]
struct Of<T> {
    n: T,
}

fn of<T>(n: T) -> Of<T> {
    Of { n }
}

pub(super) fn changes() -> Vec<Change> {
    let mut all = integers();
    all.extend(floats());
    all
}

fn integers() -> Vec<Change> {
    vec![
        Change::of(
            "Widened",
            "A number is widened, `u8` to `u32`",
            json(of(200_u8), of(200_u32)),
            json(of(255_u32), of(255_u8)).but("256", of(256), ".n"),
        ),
        Change::of(
            "Narrowed",
            "A number is narrowed, `i64` to `i16`",
            json(of(-7_i64), of(-7_i16)).but("40000", of(40_000), ".n"),
            json(of(-7_i16), of(-7_i64)),
        ),
        Change::of(
            "Signed",
            "A number gets a sign, `u32` to `i32`",
            json(of(7_u32), of(7_i32)).but("3000000000", of(3_000_000_000), ".n"),
            json(of(7_i32), of(7_u32)).but("-1", of(-1), ".n"),
        ),
        Change::of(
            "Wide",
            "`u64` becomes `u128`",
            json(of(u64::MAX), of(u128::from(u64::MAX))),
            json(of(u128::from(u64::MAX)), of(u64::MAX)).but("2⁶⁴", of(1 << 64), ".n"),
        ),
        Change::of(
            "Widest",
            "`u128` becomes `i128`",
            json(of(1_u128 << 126), of(1_i128 << 126)).but("2¹²⁷", of(1 << 127), ".n"),
            json(of(1_i128 << 126), of(1_u128 << 126)).but("-2¹⁰⁰", of(-(1 << 100)), ".n"),
        ),
        Change::of(
            "Truth",
            "`bool` becomes `u8`",
            never(of(true), ".n"),
            never(of(1_u8), ".n"),
        ),
        Change::of(
            "NumberAsText",
            "A number becomes a `String`",
            never(of(7_u32), ".n"),
            never(of("7".to_owned()), ".n"),
        ),
    ]
}

fn floats() -> Vec<Change> {
    vec![
        Change::of(
            "Float",
            "An integer becomes a float, `u64` to `f64`",
            json(of(3_u64), of(3.0_f64)).but("2⁵³ + 1", of((1 << 53) + 1), ".n"),
            json(of(3.0_f64), of(3_u64)).but("1.5", of(1.5), ".n"),
        ),
        Change::of(
            "FloatWidened",
            "A float is widened, `f32` to `f64`",
            json(of(0.5_f32), of(0.5_f64))
                .and("0.1 is the `f64` 0.1", of(0.1), of(0.1_f64))
                .but("NaN", of(f32::NAN), ".n"),
            json(of(0.1_f64), of(0.1_f32))
                .noting("the nearest")
                .but("1e300", of(1e300), ".n")
                .but("1e-300", of(1e-300), ".n")
                .but("infinity", of(f64::INFINITY), ".n"),
        ),
    ]
}
