//! Which pairs of types can never be converted, because of those in them.

use super::pairs::{Needs, Pairs};
use super::path::Step;

/// A reason why values cannot be converted.
pub(super) struct Failure<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) expected: String,
    pub(super) found: String,
}

/// A pair about which nothing was found out.
const OPEN: usize = usize::MAX;

/// The first reason why the made-up first pair cannot be converted; `None` where it can.
pub(super) fn first_that_fails<'a>(pairs: &Pairs<'a>) -> Option<Failure<'a>> {
    let ranks = ranks(pairs);
    if ranks[0] == OPEN {
        return None;
    }
    let mut steps = Vec::new();
    let (mut at, mut last) = (0, None);
    // Each step goes to a pair that was found out earlier, so this ends.
    while let Some(member) = reason(pairs, &ranks, at) {
        let member = &pairs.members[member];
        steps.push(member.step);
        at = member.pair;
        last = Some(member);
    }
    let last = last?;
    let (expected, found) = pairs.described(last.from, last.to);
    Some(Failure {
        steps,
        expected,
        found,
    })
}

/// The member that is the reason why a pair cannot be converted: the first of those that had been found out
/// before the pair was. A pair that needs one of several has no single reason.
fn reason(pairs: &Pairs<'_>, ranks: &[usize], at: usize) -> Option<usize> {
    let pair = &pairs.pairs[at];
    let mut members = pair.members.clone();
    match pair.demand {
        Needs::Never => None,
        Needs::OneOf if members.len() > 1 => None,
        Needs::OneOf | Needs::All => {
            members.find(|member| ranks[pairs.members[*member].pair] < ranks[at])
        }
    }
}

/// For each pair that cannot be converted, the position at which this was found out; the others are [`OPEN`].
fn ranks(pairs: &Pairs<'_>) -> Vec<usize> {
    let count = pairs.pairs.len();
    let mut contained_in = vec![Vec::new(); count];
    let mut hopes = vec![1; count];
    let mut failed = Vec::new();
    let mut ranks = vec![OPEN; count];
    for (index, pair) in pairs.pairs.iter().enumerate() {
        if pair.demand == Needs::OneOf {
            hopes[index] = pair.members.len();
        }
        if pair.demand == Needs::Never || hopes[index] == 0 {
            ranks[index] = failed.len();
            failed.push(index);
        }
        for member in pair.members.clone() {
            contained_in[pairs.members[member].pair].push(index);
        }
    }
    let mut next = 0;
    while let Some(pair) = failed.get(next).copied() {
        for outer in &contained_in[pair] {
            hopes[*outer] = hopes[*outer].saturating_sub(1);
            if hopes[*outer] == 0 && ranks[*outer] == OPEN {
                ranks[*outer] = failed.len();
                failed.push(*outer);
            }
        }
        next += 1;
    }
    ranks
}
