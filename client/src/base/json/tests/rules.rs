//! Compares readers, writers and the comparison of schemas with a simple model of their rules, for random types and
//! values.

mod family;
mod fitting;
mod maker;
mod meant;
mod model;
mod numbers;
mod sample;

use callgate_layout::schema::compare::suits;
use callgate_layout::schema::{Schema, Signature};
use proptest::prelude::*;
use serde_json::Value;

use family::{Kind, groups};
use fitting::{Why, bare, fitting};
use maker::Maker;
use meant::is_meant;
use model::{Wire, convert};
use sample::{Random, Sampler};

fn of(signature: &Signature) -> &Schema {
    &signature.params.as_ref().unwrap()[0]
}

fn sample(random: &mut Random, signature: &Signature, is_full: bool) -> Option<Wire> {
    let mut sampler = Sampler {
        random,
        signature,
        is_full,
        is_cut: false,
    };
    let value = sampler.value(of(signature), 0)?;
    // An empty list could be converted although its elements never can; such samples do not count.
    (!is_full || !sampler.is_cut).then_some(value)
}

/// Whether no type consists of nothing but itself. Such a type has no values, and looking for one would not end.
fn ends(signature: &Signature) -> bool {
    let mut types = 0..signature.types.len() as u32;
    types.all(|index| bare((signature, &Schema::Named(index))).is_some())
}

/// Parses a text, so that the order of members does not matter: sets and maps of Rust choose their own.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Checks what happens if one Rust type writes a value and another one reads it.
fn passes(from: &Kind, to: &Kind, random: &mut Random) {
    let is_full = random.one_in(2);
    let Some(value) = sample(random, &from.signature, is_full) else {
        return;
    };
    let text = value.text();
    let what = || format!("{} to {}: {text}", from.name, to.name);
    let written = (from.pass)(&text).unwrap_or_else(|code| panic!("{}: {code}", what()));
    assert_eq!(parsed(&written), parsed(&text), "{}", what());
    let expected = convert(&value, &to.signature, of(&to.signature));
    let expected = expected.map(|value| parsed(&value.text()));
    let found = (to.pass)(&written).map(|text| parsed(&text));
    assert_eq!(found, expected, "{}", what());
    let (from, to) = (&from.signature, &to.signature);
    if is_full && suits(from, to).is_err() {
        let is_meant = is_meant(&value, (from, of(from)), (to, of(to)));
        assert!(found.is_err() || !is_meant, "{}", what());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Rust types convert each other's values as the model says.
    #[test]
    fn types_convert_as_the_model_says(seed in any::<u64>()) {
        thread_local!(static GROUPS: Vec<Vec<Kind>> = groups());
        let mut random = Random::new(seed);
        GROUPS.with(|groups| {
            let group = random.pick(groups);
            let from = random.pick(group);
            let other = random.pick(groups);
            let to_group = if random.one_in(8) { other } else { group };
            let to = random.pick(to_group);
            passes(from, to, &mut random);
        });
    }

    /// If the comparison says that values can never be converted, no sample is. If it says that some can, a value
    /// made for that purpose is.
    #[test]
    fn the_comparison_says_what_values_do(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let (from, to) = Maker::pair(&mut random);
        if !(ends(&from) && ends(&to)) {
            return Ok(());
        }
        let said = suits(&from, &to);
        let samples: Vec<Wire> = (0..8).filter_map(|_| sample(&mut random, &from, true)).collect();
        match &said {
            Err(mismatch) => {
                let found = samples.iter().find(|value| {
                    let is_meant = is_meant(value, (&from, of(&from)), (&to, of(&to)));
                    is_meant && convert(value, &to, of(&to)).is_ok()
                });
                prop_assert!(found.is_none(), "{:?} to {:?}: {}: {:?}", from, to, mismatch, found);
            }
            Ok(_) => {
                let made = fitting((&from, of(&from)), (&to, of(&to)), 0);
                prop_assert!(made != Err(Why::Never), "{:?} to {:?}", from, to);
                if let Ok(value) = made {
                    let found = convert(&value, &to, of(&to));
                    prop_assert!(found.is_ok(), "{:?} to {:?}: {:?}: {:?}", from, to, value, found);
                }
            }
        }
        // Converting a value that was converted already changes nothing.
        for value in samples {
            if let Ok(once) = convert(&value, &to, of(&to)) {
                prop_assert_eq!(convert(&once, &to, of(&to)), Ok(once));
            }
        }
    }
}
