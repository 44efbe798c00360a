//! All pairs of types that a comparison depends on.

use core::mem::discriminant;
use core::ops::Range;
use std::collections::HashMap;

use super::path::{Path, Step};
use super::rules::{Child, Demand, Difference, Ruled, rule};
use super::side::{Side, Types, Wrapper};
use crate::schema::{Body, TypeDef};

/// The most steps that one comparison may take.
const MOST_STEPS: usize = 200_000;

/// How many steps a member of a pair counts as. Members count more because they take memory.
const STEPS_OF_MEMBER: usize = 4;

/// The comparison has used up its steps.
#[derive(Debug)]
pub(super) struct Spent;

/// Two types, and the pairs of types in them that matter.
pub(super) struct Pair {
    pub(super) demand: Needs,
    /// Where its members stand.
    pub(super) members: Range<usize>,
    /// The member of the pair through which the walk met this one first.
    met: Option<Met>,
}

/// Which members of a pair must be convertible so that the pair is convertible.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// The pair cannot be converted, whatever its members are.
    Never,
    All,
    OneOf,
}

#[derive(Clone, Copy)]
struct Met {
    in_pair: usize,
    as_member: usize,
}

/// A pair in another one.
pub(super) struct Member<'a> {
    pub(super) step: Step<'a>,
    pub(super) from: Side<'a>,
    pub(super) to: Side<'a>,
    /// The position of the pair that these two types form after their wrappers are taken off.
    pub(super) pair: usize,
}

pub(super) struct Pairs<'a> {
    pub(super) types: Types<'a>,
    /// All pairs. The first one is made up: its members are the types to compare.
    pub(super) pairs: Vec<Pair>,
    pub(super) members: Vec<Member<'a>>,
    /// The first difference that does not prevent conversion, as text.
    pub(super) difference: Option<String>,
    /// Both sides of each pair, without wrappers.
    sides: Vec<(Side<'a>, Side<'a>)>,
    /// The index of each pair, by the addresses of its two sides.
    known: HashMap<(usize, usize), usize>,
    steps: usize,
}

impl<'a> Pairs<'a> {
    /// Finds all pairs, level by level.
    pub(super) fn find(types: Types<'a>, roots: Vec<Child<'a>>) -> Result<Pairs<'a>, Spent> {
        let mut pairs = Pairs {
            types,
            pairs: Vec::new(),
            members: Vec::new(),
            difference: None,
            sides: Vec::new(),
            known: HashMap::new(),
            steps: 0,
        };
        pairs.push(Side::Nothing, Side::Nothing, None);
        pairs.demand(0, Demand::All(roots))?;
        let mut next = 1;
        while let Some((from, to)) = pairs.sides.get(next).copied() {
            pairs.spend(from.size() + to.size())?;
            let Ruled { demand, difference } = rule(from.view(), to.view());
            let is_other_kind = kind(from) != kind(to);
            let difference = difference.or_else(|| is_other_kind.then_some(Difference::Kind));
            if let Some(difference) = difference {
                pairs.differ(next, &difference);
            }
            pairs.demand(next, demand)?;
            next += 1;
        }
        Ok(pairs)
    }

    fn spend(&mut self, steps: usize) -> Result<(), Spent> {
        self.steps += steps;
        match self.steps > MOST_STEPS {
            true => Err(Spent),
            false => Ok(()),
        }
    }

    fn push(&mut self, from: Side<'a>, to: Side<'a>, met: Option<Met>) {
        self.sides.push((from, to));
        self.pairs.push(Pair {
            demand: Needs::All,
            members: 0..0,
            met,
        });
    }

    /// Records what a pair demands.
    fn demand(&mut self, pair: usize, demand: Demand<'a>) -> Result<(), Spent> {
        let (needs, children) = match demand {
            Demand::Never => (Needs::Never, Vec::new()),
            Demand::All(children) => (Needs::All, children),
            Demand::OneOf(children) => (Needs::OneOf, children),
        };
        let start = self.members.len();
        for child in children {
            self.spend(STEPS_OF_MEMBER)?;
            self.add_member(pair, child)?;
        }
        self.pairs[pair].demand = needs;
        self.pairs[pair].members = start..self.members.len();
        Ok(())
    }

    fn add_member(&mut self, in_pair: usize, (step, from, to): Child<'a>) -> Result<(), Spent> {
        let (from_wrappers, from_inner) = self.unwrap(from, self.types.from)?;
        let (to_wrappers, to_inner) = self.unwrap(to, self.types.to)?;
        let met = Met {
            in_pair,
            as_member: self.members.len(),
        };
        let next = self.pairs.len();
        let addresses = (from_inner.address(), to_inner.address());
        let pair = *self.known.entry(addresses).or_insert(next);
        if pair == next {
            self.push(from_inner, to_inner, Some(met));
        }
        self.members.push(Member {
            step,
            from,
            to,
            pair,
        });
        if from_wrappers != to_wrappers && self.difference.is_none() {
            self.difference = Some(self.message(&self.path(met), from, to));
        }
        Ok(())
    }

    fn unwrap(
        &mut self,
        mut side: Side<'a>,
        types: &'a [TypeDef],
    ) -> Result<(Vec<Wrapper>, Side<'a>), Spent> {
        let mut wrappers = Vec::new();
        loop {
            match side.unwrap(types) {
                Ok((wrapper, inner)) => {
                    self.spend(1)?;
                    wrappers.push(wrapper);
                    side = inner;
                }
                Err(inner) => return Ok((wrappers, inner)),
            }
        }
    }

    /// Keeps a difference if it is the first one.
    fn differ(&mut self, pair: usize, difference: &Difference) {
        let (Some(met), None) = (self.pairs[pair].met, &self.difference) else {
            return;
        };
        let path = self.path(met);
        self.difference = Some(match difference {
            Difference::Kind => {
                let member = &self.members[met.as_member];
                self.message(&path, member.from, member.to)
            }
            Difference::Place { expected, found } => {
                let name = |name: &Option<String>| name.clone().unwrap_or("nothing".to_owned());
                let (expected, found) = (name(expected), name(found));
                format!("{}: expected {expected}, found {found}", Path(&path))
            }
        });
    }

    fn message(&self, path: &[Step<'_>], from: Side<'_>, to: Side<'_>) -> String {
        let (expected, found) = self.described(from, to);
        format!("{}: expected {expected}, found {found}", Path(path))
    }

    /// What the receiver expects and what the comparison found, as text for people.
    pub(super) fn described(&self, from: Side<'_>, to: Side<'_>) -> (String, String) {
        (to.describe(self.types.to), from.describe(self.types.from))
    }

    fn path(&self, met: Met) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        let mut at = Some(met);
        while let Some(met) = at {
            steps.extend(self.members.get(met.as_member).map(|member| member.step));
            at = self.pairs[met.in_pair].met;
        }
        steps.reverse();
        steps
    }
}

/// What kind of type a side is in an archive.
fn kind(side: Side<'_>) -> impl PartialEq {
    let of_schema = match side {
        Side::Schema(schema) => Some(discriminant(schema)),
        _ => None,
    };
    let of_def = match side {
        Side::Def(TypeDef { body, .. }) => Some(discriminant::<Body>(body)),
        _ => None,
    };
    (discriminant(&side), of_schema, of_def)
}
