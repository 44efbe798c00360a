//! Where the paths of a crate lead: arrows from module to module, circles of arrows, and arrows to a higher floor.
//!
//! An arrow joins two modules of one folder; everything inside a module counts as that module. If a module names one
//! of its own children, or of a module around it, this is no arrow, unless that module has imported the name from
//! elsewhere: then the arrow leads there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::modules::{Crate, Id, ROOT};

/// How many imports of imports are followed: more than any chain that ends has.
const MOST_IMPORTS: usize = 16;

/// All paths from one module of a folder to another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
    /// `file:line` of the first such path.
    pub(crate) place: String,
}

/// The arrows of one folder.
pub(crate) type Folder = Vec<Arrow>;

/// The folders of a crate, by the paths of their modules; the root's folder is `crate`.
pub(crate) fn folders(of: &Crate) -> BTreeMap<String, Folder> {
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    for (from, module) in of.modules.iter().enumerate() {
        for named in &module.named {
            let Some(to) = target(of, from, &named.path) else {
                continue;
            };
            let Some((folder, from, to)) = parting(of, from, to) else {
                continue;
            };
            let folder = folders.entry(path_of(of, folder)).or_default();
            if !folder
                .iter()
                .any(|arrow| arrow.from == from && arrow.to == to)
            {
                let place = format!("{}:{}", named.file, named.line);
                folder.push(Arrow { from, to, place });
            }
        }
    }
    folders
}

/// Glob imports of everything from the modules around a module: they hide what is used.
pub(crate) fn hidden(of: &Crate) -> Vec<String> {
    let mut found = Vec::new();
    for (from, module) in of.modules.iter().enumerate() {
        for named in module.named.iter().filter(|named| named.is_glob) {
            let to = target(of, from, &named.path);
            if to.is_some_and(|to| lineage(of, from).contains(&to)) {
                let path = named.path.join("::");
                found.push(format!("{}:{}: use {path}::*", named.file, named.line));
            }
        }
    }
    found
}

/// Modules of a folder that all reach each other.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    pub(crate) modules: Vec<String>,
    /// The shortest circle in it.
    pub(crate) circle: Vec<Arrow>,
}

/// The bundles of a folder; none if there is no circle.
pub(crate) fn bundles(folder: &Folder) -> Vec<Bundle> {
    let mut bundles = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut starts: Vec<&str> = folder.iter().map(|arrow| arrow.from.as_str()).collect();
    starts.sort_unstable();
    starts.dedup();
    for start in starts {
        if seen.contains(start) {
            continue;
        }
        let bundle: Vec<&str> = reached(folder, start)
            .into_iter()
            .filter(|other| reached(folder, other).contains(start))
            .collect();
        let ways = bundle.iter().filter_map(|start| way_back(folder, start));
        bundles.extend(ways.min_by_key(Vec::len).map(|circle| Bundle {
            modules: bundle.iter().map(|&name| name.to_owned()).collect(),
            circle,
        }));
        seen.extend(bundle);
    }
    bundles
}

/// Arrows that lead to a higher floor, and files that are on no floor. The root's own file is above all floors, with
/// its inline modules.
pub(crate) fn upward(of: &Crate, floors: &[&str]) -> Vec<String> {
    let above_all = |name: &str| of.modules[of.modules[ROOT].children[name]].is_inline;
    let floor = |name: &str| floors.iter().position(|floor| *floor == name);
    let height = |name: &str| floor(name).unwrap_or(floors.len());
    let names = of.modules[ROOT].children.keys();
    let homeless = names.filter(|name| floor(name).is_none() && !above_all(name));
    let mut found: Vec<String> = homeless
        .map(|name| format!("{}: {name} is none of the floors", of.root))
        .collect();
    let arrows = folders(of).remove("crate").unwrap_or_default();
    let upward = arrows
        .iter()
        .filter(|arrow| height(&arrow.from) < height(&arrow.to));
    found.extend(upward.map(show));
    for (from, module) in of.modules.iter().enumerate() {
        let top = lineage(of, from)
            .get(1)
            .map(|top| of.modules[*top].is_inline);
        // The root's file itself, or an inline module in it.
        if top.unwrap_or(true) {
            continue;
        }
        for named in &module.named {
            if target(of, from, &named.path) == Some(ROOT) {
                let path = named.path.join("::");
                let place = format!("{}:{}", named.file, named.line);
                found.push(format!("{place}: {path} is above all floors"));
            }
        }
    }
    found
}

pub(crate) fn show(arrow: &Arrow) -> String {
    format!("  {} → {} by {}", arrow.from, arrow.to, arrow.place)
}

/// The module that a path leads to, from where it is written.
fn target(of: &Crate, from: Id, path: &[String]) -> Option<Id> {
    resolve(of, from, from, path, MOST_IMPORTS)
}

/// Follows a path from `at` on. Imports are followed only through the modules around `viewer`. Other modules are
/// named directly, so `viewer` depends on them.
fn resolve(of: &Crate, viewer: Id, at: Id, path: &[String], left: usize) -> Option<Id> {
    let left = left.checked_sub(1)?;
    let (mut at, mut rest) = match path.first()?.as_str() {
        "crate" => (ROOT, &path[1..]),
        "self" => (at, &path[1..]),
        "super" => (of.modules[at].parent?, &path[1..]),
        first => {
            let module = &of.modules[at];
            let is_ours = module.children.contains_key(first) || module.imports.contains_key(first);
            (is_ours.then_some(at)?, path)
        }
    };
    while let [name, tail @ ..] = rest {
        let module = &of.modules[at];
        if name == "super" {
            at = module.parent?;
        } else if let Some(child) = module.children.get(name) {
            at = *child;
        } else if !lineage(of, viewer).contains(&at) {
            return Some(at);
        } else {
            return around(of, (viewer, at), (name, tail), left);
        }
        rest = tail;
    }
    Some(at)
}

/// Where a name leads that a module around the viewer has: to the module itself, by an import to another one, or out
/// of the crate.
fn around(
    of: &Crate,
    (viewer, at): (Id, Id),
    (name, tail): (&str, &[String]),
    left: usize,
) -> Option<Id> {
    let module = &of.modules[at];
    let follow = |path: &[String]| resolve(of, viewer, at, &[path, tail].concat(), left);
    if let Some(path) = module.imports.get(name) {
        return follow(path);
    }
    if module.items.contains(name) {
        return Some(at);
    }
    if let Some(id) = of.exported.get(name).filter(|_| at == ROOT) {
        return Some(*id);
    }
    let by_glob = module.globs.iter().find_map(|glob| {
        let id = resolve(of, viewer, at, glob, left)?;
        let has = &of.modules[id];
        let is_there = has.items.contains(name) || has.imports.contains_key(name);
        let child = has.children.get(name).copied();
        child.or(is_there.then_some(id))
    });
    by_glob.or(Some(at))
}

/// The folder in which two modules part, and the modules of that folder in which the two lie; `None` if one lies in
/// the other.
fn parting(of: &Crate, from: Id, to: Id) -> Option<(Id, String, String)> {
    let (from, to) = (lineage(of, from), lineage(of, to));
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let name = |id: &Id| of.modules[*id].name.clone();
    Some((from[same - 1], name(from.get(same)?), name(to.get(same)?)))
}

/// The modules from the root to this one.
fn lineage(of: &Crate, id: Id) -> Vec<Id> {
    let mut line: Vec<Id> = std::iter::successors(Some(id), |id| of.modules[*id].parent).collect();
    line.reverse();
    line
}

fn path_of(of: &Crate, id: Id) -> String {
    let names = lineage(of, id).into_iter().skip(1);
    let names = names.map(|id| of.modules[id].name.as_str());
    let path: Vec<&str> = std::iter::once("crate").chain(names).collect();
    path.join("::")
}

/// All modules that can be reached from a module.
fn reached<'a>(folder: &'a Folder, start: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(at) = next.pop() {
        for arrow in folder.iter().filter(|arrow| arrow.from == at) {
            if reached.insert(arrow.to.as_str()) {
                next.push(&arrow.to);
            }
        }
    }
    reached
}

/// The shortest path from a module back to itself.
fn way_back(folder: &Folder, start: &str) -> Option<Vec<Arrow>> {
    let mut seen = BTreeSet::new();
    let mut ways: VecDeque<Vec<Arrow>> = VecDeque::from([Vec::new()]);
    while let Some(way) = ways.pop_front() {
        let at = way.last().map_or(start, |arrow| arrow.to.as_str());
        if at == start && !way.is_empty() {
            return Some(way);
        }
        for arrow in folder.iter().filter(|arrow| arrow.from == at) {
            if seen.insert(arrow.to.as_str()) {
                ways.push_back([way.as_slice(), std::slice::from_ref(arrow)].concat());
            }
        }
    }
    None
}
