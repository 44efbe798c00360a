//! Random values are read back from their text, and serde_json writes the same text.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::base::types::SortedMap;
use crate::gate_type;

#[gate_type]
#[derive(Debug, PartialEq, Clone)]
struct Numbers {
    a: (u8, u16, u32, u64),
    b: (i8, i16, i32, i64),
    f: f32,
    d: f64,
    c: char,
    flag: bool,
}

#[gate_type]
#[derive(Debug, PartialEq, Clone)]
enum Item {
    Nothing,
    One(Option<Box<Item>>),
    Two(String, Vec<Numbers>),
    Named {
        list: Vec<Item>,
        map: SortedMap<String, u8>,
    },
    Outcome(Result<u32, Vec<bool>>),
}

/// Values that JSON can express: without `Some` of null.
fn item() -> impl Strategy<Value = Item> {
    let map = prop::collection::vec((".{0,3}", any::<u8>()), 0..3);
    let leaf = prop_oneof![
        Just(Item::Nothing),
        Just(Item::One(None)),
        (".{0,12}", prop::collection::vec(numbers(), 0..2)).prop_map(|(s, n)| Item::Two(s, n)),
        any::<u32>().prop_map(|code| Item::Outcome(Ok(code))),
        prop::collection::vec(any::<bool>(), 0..4).prop_map(|list| Item::Outcome(Err(list))),
        map.prop_map(|pairs| Item::Named {
            list: vec![],
            map: pairs.into_iter().collect()
        }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|item| Item::One(Some(Box::new(item)))),
            prop::collection::vec(inner, 0..3).prop_map(|list| Item::Named {
                list,
                map: SortedMap::new()
            }),
        ]
    })
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let f = prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO;
    let d = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO;
    let simple = (any::<char>(), any::<bool>());
    (
        any::<(u8, u16, u32, u64)>(),
        any::<(i8, i16, i32, i64)>(),
        f,
        d,
        simple,
    )
        .prop_map(|(a, b, f, d, (c, flag))| Numbers {
            a,
            b,
            f,
            d,
            c,
            flag,
        })
}

/// Checks that a value is read back from its text, and that serde_json writes the same text.
fn returns<T>(value: &T)
where
    T: JsonType + serde::Serialize + PartialEq + std::fmt::Debug,
{
    let text = text(value);
    assert_eq!(text, serde_json::to_string(value).unwrap());
    assert_eq!(&read::<T>(&text).unwrap(), value);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn values_come_back(item in item(), numbers in numbers()) {
        returns(&(item, Some(numbers)));
    }

    #[test]
    fn maps_and_times_come_back(
        map in prop::collection::btree_map(".{0,4}", any::<i8>(), 0..4),
        by_number in prop::collection::btree_map(any::<i64>(), any::<Option<bool>>(), 0..4),
        set in prop::collection::btree_set(any::<(u8, char)>(), 0..4),
        since in (any::<u32>(), 0..1_000_000_000_u32),
        path in ".{0,9}",
    ) {
        let since = Duration::new(u64::from(since.0), since.1);
        let time: SystemTime = UNIX_EPOCH + since;
        returns(&(map.clone(), by_number, set.clone(), since, time, PathBuf::from(path)));
        let hashed: HashMap<String, i8> = map.into_iter().collect();
        prop_assert_eq!(&read::<HashMap<String, i8>>(&text(&hashed)).unwrap(), &hashed);
        let hashed: HashSet<(u8, char)> = set.into_iter().collect();
        prop_assert_eq!(&read::<HashSet<(u8, char)>>(&text(&hashed)).unwrap(), &hashed);
    }

    #[test]
    fn wide_integers_come_back(wide in any::<(u128, i128)>(), shift in 0..128_u32) {
        for value in [wide, (wide.0 >> shift, wide.1 >> shift)] {
            prop_assert_eq!(read::<(u128, i128)>(&text(&value)).unwrap(), value);
        }
    }

    /// An integer is read as another type only if that type has exactly this number.
    #[test]
    fn integers_arrive_exactly_or_not_at_all(wide in any::<i64>(), shift in 0..64_u32) {
        let number = wide >> shift;
        let text = text(&number);
        prop_assert_eq!(read::<u8>(&text).ok(), u8::try_from(number).ok());
        prop_assert_eq!(read::<i16>(&text).ok(), i16::try_from(number).ok());
        prop_assert_eq!(read::<u64>(&text).ok(), u64::try_from(number).ok());
        prop_assert_eq!(read::<i128>(&text).ok(), Some(i128::from(number)));
        let double = number as f64;
        let is_exact = double as i128 == i128::from(number);
        prop_assert_eq!(read::<f64>(&text).ok(), is_exact.then_some(double));
        let float = number as f32;
        let is_exact = float as i128 == i128::from(number);
        prop_assert_eq!(read::<f32>(&text).ok(), is_exact.then_some(float));
    }

    #[test]
    fn floats_arrive_as_integers_where_they_are_some(number in any::<f64>(), small in -300_i32..300) {
        for number in [number, f64::from(small), f64::from(small) / 4.0] {
            let Ok(text) = try_text(&number) else {
                prop_assert!(!number.is_finite());
                continue;
            };
            let whole = number as i128 as f64 == number && number.abs() < 2_f64.powi(127);
            prop_assert_eq!(read::<i128>(&text).is_ok(), whole, "{}", text);
            let byte = (whole && (0.0..256.0).contains(&number)).then_some(number as u8);
            prop_assert_eq!(read::<u8>(&text).ok(), byte);
            prop_assert_eq!(read::<f64>(&text).unwrap().to_bits(), number.to_bits());
            let float = number as f32;
            let fits = float.is_finite() && (float != 0.0 || number == 0.0);
            prop_assert_eq!(read::<f32>(&text).ok(), fits.then_some(float));
        }
    }
}
