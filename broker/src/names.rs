//! Names of gates, and prefixes, which stand for all longer names that begin with them.
//!
//! A prefix ends in `.`, and no gate's name does, so both are keys of the same maps.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use callgate_layout::control::{check_gate_name, check_prefix};

pub(crate) fn is_prefix(name: &str) -> bool {
    name.ends_with('.')
}

/// Checks the name of a gate or a prefix that is to be provided.
pub(crate) fn check_provided_name(name: &str) -> Result<(), String> {
    match is_prefix(name) {
        true => check_prefix(name),
        false => check_gate_name(name),
    }
}

/// The prefixes over a name, the longest first.
pub(crate) fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let ends = name.rmatch_indices('.');
    let all = ends.map(|(at, _)| &name[..=at]);
    all.filter(|prefix| prefix.len() < name.len())
}

/// The longest prefix over a name that is in the map.
pub(crate) fn over<'m, T>(map: &'m BTreeMap<Arc<str>, T>, name: &str) -> Option<&'m Arc<str>> {
    let mut found = prefixes(name).filter_map(|prefix| map.get_key_value(prefix));
    found.next().map(|(prefix, _)| prefix)
}

/// The entry for a name: that of the name itself, or else of the longest prefix over it.
pub(crate) fn resolve<'m, T>(map: &'m BTreeMap<Arc<str>, T>, name: &str) -> Option<&'m Arc<str>> {
    let exact = map.get_key_value(name).map(|(name, _)| name);
    exact.or_else(|| over(map, name))
}

/// The entries of all names under a prefix.
pub(crate) fn under<'m, T>(
    map: &'m BTreeMap<Arc<str>, T>,
    prefix: &'m str,
) -> impl Iterator<Item = (&'m Arc<str>, &'m T)> {
    let longer = map.range::<str, _>((Excluded(prefix), Unbounded));
    longer.take_while(move |(name, _)| name.starts_with(prefix))
}

/// The same, with values that can be changed.
pub(crate) fn under_mut<'m, T>(
    map: &'m mut BTreeMap<Arc<str>, T>,
    prefix: &'m str,
) -> impl Iterator<Item = (&'m Arc<str>, &'m mut T)> {
    let longer = map.range_mut::<str, _>((Excluded(prefix), Unbounded));
    longer.take_while(move |(name, _)| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_under_what_ends_in_a_dot_before_it() {
        let of = |name| Vec::from_iter(prefixes(name));
        assert_eq!(of("a.b.c"), ["a.b.", "a."]);
        assert_eq!(of("a.b."), ["a."], "not under itself");
        assert_eq!(of(".a..b"), [".a..", ".a.", "."]);
        assert_eq!(of("Größe.ü"), ["Größe."]);
        assert!(of("a").is_empty() && of("a.").is_empty() && of("").is_empty());
    }

    #[test]
    fn an_exact_name_comes_before_the_longest_prefix() {
        let names = ["a.", "a.b", "a.b.", "a.b.c.d", "ab", "b."];
        let map: BTreeMap<Arc<str>, ()> = names.map(|name| (name.into(), ())).into();
        let found = |name| resolve(&map, name).map(|name| &**name);
        assert_eq!(found("a.b"), Some("a.b"));
        assert_eq!(found("a.b.c"), Some("a.b."));
        assert_eq!(found("a.c.d"), Some("a."));
        assert_eq!([found("a"), found("abc.d")], [None, None]);
        let below = |prefix| Vec::from_iter(under(&map, prefix).map(|(name, ())| &**name));
        assert_eq!(below("a."), ["a.b", "a.b.", "a.b.c.d"]);
        assert_eq!(below("a.b."), ["a.b.c.d"]);
        assert!(below("c.").is_empty() && below("b.").is_empty());
    }
}
