//! The paths that items name, wherever they are written: in a `use`, in code, in the tokens of a macro.
//!
//! Macros are not expanded, and a method call does not name where the method is defined. So this finds what a file
//! names, not everything that it runs.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Meta, Path, UseTree, Visibility};

use crate::conditions::is_test_only;
use crate::names;

/// A path as it is written, and its place.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) file: String,
    pub(crate) line: usize,
    /// Whether the path is a glob import: `path::*`.
    pub(crate) is_glob: bool,
}

/// Collects the paths of items.
pub(crate) struct Paths<'a> {
    file: &'a str,
    /// Whether paths are collected that begin with another name than `crate`, `self` or `super`.
    all: bool,
    pub(crate) named: Vec<Named>,
}

impl<'a> Paths<'a> {
    /// Collects paths that begin with `crate`, `self` or `super`.
    pub(crate) fn of(file: &'a str) -> Paths<'a> {
        Paths {
            file,
            all: false,
            named: Vec::new(),
        }
    }

    /// Also collects paths that begin with the name of another crate, or with an imported one.
    pub(crate) fn all(file: &'a str) -> Paths<'a> {
        Paths {
            all: true,
            ..Paths::of(file)
        }
    }

    fn add(&mut self, path: Vec<String>, span: Span, is_glob: bool) {
        let begins = path.first().map_or("", String::as_str);
        if (self.all || is_start(begins)) && (path.len() > 1 || is_glob) {
            self.named.push(Named {
                path,
                file: self.file.to_owned(),
                line: span.start().line,
                is_glob,
            });
        }
    }

    /// Finds `crate::a::b` and `$crate::a::b` in the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) if is_start(&ident.to_string()) => {
                    let path = path_at(&tokens[at..]);
                    // Two colons and a name for each further part.
                    at += 3 * (path.len() - 1);
                    self.add(path, ident.span(), false);
                }
                _ => {}
            }
            at += 1;
        }
    }
}

fn is_start(name: &str) -> bool {
    matches!(name, "crate" | "self" | "super")
}

/// The path that begins with the first of the tokens, a name.
fn path_at(tokens: &[TokenTree]) -> Vec<String> {
    let mut path = Vec::new();
    let mut rest = tokens;
    while let [TokenTree::Ident(name), tail @ ..] = rest {
        path.push(names::plain(name));
        let colon = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ':');
        match tail {
            [first, second, tail @ ..] if colon(first) && colon(second) => rest = tail,
            _ => break,
        }
    }
    path
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test_only(names::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(found) => &found.attrs,
            ImplItem::Const(found) => &found.attrs,
            ImplItem::Type(found) => &found.attrs,
            _ => &Vec::new(),
        };
        if !is_test_only(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        flatten(&import.tree, &mut Vec::new(), &mut |path, name, span| {
            self.add(path, span, name.is_none());
        });
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| names::plain(&segment.ident));
        if let Some(first) = path.segments.first() {
            self.add(names.collect(), first.ident.span(), false);
        }
        visit::visit_path(self, path);
    }

    /// `pub(in crate::a)` restricts who may name the item, and uses nothing itself.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        visit::visit_path(self, &found.path);
        self.visit_path(&found.path);
        self.tokens(found.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }
}

/// Calls `found` with the path, the name and the place of each import in a `use`. A glob has no name.
pub(crate) fn flatten(
    tree: &UseTree,
    prefix: &mut Vec<String>,
    found: &mut dyn FnMut(Vec<String>, Option<String>, Span),
) {
    let with = |prefix: &[String], last: &syn::Ident| {
        let mut path = prefix.to_vec();
        // `a::{self}` is `a`.
        if last != "self" || prefix.is_empty() {
            path.push(names::plain(last));
        }
        path
    };
    match tree {
        UseTree::Path(inner) => {
            prefix.push(names::plain(&inner.ident));
            flatten(&inner.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, prefix, found);
            }
        }
        UseTree::Name(name) => {
            let path = with(prefix, &name.ident);
            let here = path.last().cloned();
            found(path, here, name.ident.span());
        }
        UseTree::Rename(rename) => {
            let path = with(prefix, &rename.ident);
            found(
                path,
                Some(names::plain(&rename.rename)),
                rename.ident.span(),
            );
        }
        UseTree::Glob(glob) => found(prefix.clone(), None, glob.star_token.spans[0]),
    }
}
