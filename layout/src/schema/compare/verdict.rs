//! Finds the pairs of types that can never be converted because of the pairs in them.

use super::pairs::{Needs, Pairs};
use super::path::Step;

/// A reason why values cannot be converted.
pub(super) struct Failure<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) expected: String,
    pub(super) found: String,
}

/// Stands for a pair that nothing makes impossible so far.
const OPEN: usize = usize::MAX;

/// The first reason why the made-up first pair cannot be converted; `None` if it can.
pub(super) fn first_that_fails<'a>(pairs: &Pairs<'a>) -> Option<Failure<'a>> {
    let ranks = ranks(pairs);
    if ranks[0] == OPEN {
        return None;
    }
    let mut steps = Vec::new();
    let (mut at, mut last) = (0, None);
    // Each step goes to a pair with a lower rank, so the loop ends.
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

/// The member that makes a pair impossible: the first one whose rank is lower than that of the pair. A pair that
/// needs one of several members has no single reason.
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

/// For each impossible pair, the position at which this was found out; [`OPEN`] for the others.
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
