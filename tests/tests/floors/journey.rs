//! The journey of a call: which files it passes in which order, as ARCHITECTURE.md names them, and whether the
//! sources agree.
//!
//! A call gets from one file to the next in one of three ways. The file calls a function of the next one. Or it
//! returns, and a file from which it was called calls the next one. Or the call changes the process: then the next
//! file, or a later file of the call on that side, calls a function of a file of shared memory that the call has
//! passed on this side. A call changes the process twice. It ends in shared memory, where the first file, which has
//! been waiting, finds the answer.
//!
//! A function counts as called if its name is written and either the caller names the function's module or no other
//! file has a function with that name. If several functions have one name, only a compiler can say which of them a
//! method call means.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Expr, ImplItem, Item, Visibility};

use crate::conditions::is_test_only;
use crate::names;
use crate::paths::Paths;

/// The most files that a reader has to open.
pub(crate) const MOST_FILES: usize = 8;
/// To the provider and back.
const CROSSINGS: usize = 2;
/// Files that both processes use.
const SHARED: &str = "layout/";

/// The files that section 2 names, with arrows between them, in order.
pub(crate) fn named_files(architecture: &str) -> Vec<String> {
    let mut sections = architecture.split("\n## ");
    let section = sections.find(|section| section.starts_with("2. A call's journey"));
    let mut paragraphs = section.expect("section 2").split("\n\n");
    let paragraph = paragraphs.find(|paragraph| paragraph.contains('→'));
    let quoted = paragraph.unwrap_or("").split('`').skip(1).step_by(2);
    let files = quoted.filter(|name| name.ends_with(".rs"));
    files.map(str::to_owned).collect()
}

/// The functions that a file defines and calls, and the names in it.
#[derive(Debug, Default)]
struct Contents {
    functions: BTreeSet<String>,
    called: BTreeSet<String>,
    /// The names in its paths, including modules.
    named: BTreeSet<String>,
}

/// The errors of a journey; `sources` are all files in which functions may be defined.
pub(crate) fn faults(journey: &[String], sources: &BTreeMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    if journey.len() < 2 || journey.len() > MOST_FILES {
        faults.push(format!("{} files are named", journey.len()));
    }
    let different: BTreeSet<&String> = journey.iter().collect();
    if different.len() < journey.len() {
        faults.push("a file is named twice".to_owned());
    }
    let contents: BTreeMap<&str, Contents> = sources
        .iter()
        .map(|(file, text)| (file.as_str(), Contents::of(file, text)))
        .collect();
    match journey
        .iter()
        .find(|file| !contents.contains_key(file.as_str()))
    {
        Some(file) => faults.push(format!("{file} is none of the files")),
        None => faults.extend(Walk::new(&contents).faults(journey)),
    }
    faults
}

/// A call on its way.
struct Walk<'a> {
    contents: &'a BTreeMap<&'a str, Contents>,
    /// The number of files that define a function of a name.
    definitions: BTreeMap<&'a str, usize>,
    /// The files that the call is inside of: each was called from the one before.
    stack: Vec<&'a str>,
    /// All files that it has passed on this side.
    side: Vec<&'a str>,
    crossings: usize,
}

impl<'a> Walk<'a> {
    fn new(contents: &'a BTreeMap<&'a str, Contents>) -> Walk<'a> {
        let mut definitions = BTreeMap::new();
        for name in contents.values().flat_map(|file| &file.functions) {
            *definitions.entry(name.as_str()).or_default() += 1;
        }
        Walk {
            contents,
            definitions,
            stack: Vec::new(),
            side: Vec::new(),
            crossings: 0,
        }
    }

    fn faults(mut self, journey: &'a [String]) -> Vec<String> {
        let mut faults = Vec::new();
        for (at, file) in journey.iter().enumerate() {
            if !self.step(&journey[at..]) {
                let last = self.side.last().unwrap_or(&"");
                faults.push(format!("no call goes from {last} to {file}"));
            }
            self.stack.push(file);
            self.side.push(file);
        }
        if let [first, .., last] = journey {
            // The journey back.
            self.crossings += usize::from(last.starts_with(SHARED) && self.calls(first, last));
        }
        if self.crossings != CROSSINGS {
            let crossings = self.crossings;
            faults.push(format!("it changes the process {crossings} times"));
        }
        faults
    }

    /// Goes to the first of the remaining files; `false` if there is no way.
    fn step(&mut self, left: &[String]) -> bool {
        let Some(file) = left.first() else {
            return true;
        };
        if self.stack.is_empty() {
            return true;
        }
        if let Some(at) = self.stack.iter().rposition(|from| self.calls(from, file)) {
            self.stack.truncate(at + 1);
            return true;
        }
        let mut shared = self.side.iter().filter(|passed| passed.starts_with(SHARED));
        let there = || left.iter().take_while(|file| !file.starts_with(SHARED));
        let crosses = shared.any(|passed| there().any(|file| self.calls(file, passed)));
        self.stack.clear();
        self.side.drain(..self.side.len().saturating_sub(1));
        self.crossings += usize::from(crosses);
        crosses
    }

    fn calls(&self, from: &str, to: &str) -> bool {
        let (from, functions) = (&self.contents[from], &self.contents[to].functions);
        let knows = from.named.contains(module_of(to));
        let mut called = functions.intersection(&from.called);
        called.any(|name| knows || self.definitions.get(name.as_str()) == Some(&1))
    }
}

/// The name of a file's module.
fn module_of(file: &str) -> &str {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

impl Contents {
    fn of(file: &str, text: &str) -> Contents {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut contents = Contents::default();
        let mut paths = Paths::all(file);
        contents.visit_file(&parsed);
        paths.visit_file(&parsed);
        let names = paths.named.into_iter().flat_map(|named| named.path);
        contents.named = names.collect();
        contents
    }

    fn define(&mut self, name: &syn::Ident, visibility: &Visibility) {
        if !matches!(visibility, Visibility::Inherited) {
            self.functions.insert(names::plain(name));
        }
    }

    /// Finds `name(…)` in the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut before = None;
        for token in tokens {
            if let TokenTree::Group(group) = &token {
                let is_call = group.delimiter() == Delimiter::Parenthesis;
                self.called.extend(before.take().filter(|_| is_call));
                self.tokens(group.stream());
            }
            before = match &token {
                TokenTree::Ident(name) => Some(names::plain(name)),
                _ => None,
            };
        }
    }
}

impl<'ast> Visit<'ast> for Contents {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test_only(names::attributes(item)) {
            return;
        }
        if let Item::Fn(found) = item {
            self.define(&found.sig.ident, &found.vis);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if let ImplItem::Fn(found) = item {
            self.define(&found.sig.ident, &found.vis);
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.called.insert(names::plain(&call.method));
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(path) = &*call.func {
            let last = path.path.segments.last();
            self.called
                .extend(last.map(|last| names::plain(&last.ident)));
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        self.tokens(found.tokens.clone());
    }
}
