//! The modules of a crate, and what each of them defines, imports and names.
//!
//! Code that is built for tests only does not count.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;
use syn::{Attribute, Item, ItemMod};

use crate::conditions::is_test_only;
use crate::names;
use crate::paths::{Named, Paths, flatten};

/// The position of a module in [`Crate::modules`].
pub(crate) type Id = usize;
/// The crate's root.
pub(crate) const ROOT: Id = 0;

#[derive(Debug, Default)]
pub(crate) struct Module {
    /// The module's name; that of the root is `crate`.
    pub(crate) name: String,
    pub(crate) parent: Option<Id>,
    /// Whether it is written in its parent's file.
    pub(crate) is_inline: bool,
    pub(crate) children: BTreeMap<String, Id>,
    /// The functions, types, constants and macros that are defined here.
    pub(crate) items: BTreeSet<String>,
    /// The imports at the top of the module, by the names that they have there.
    pub(crate) imports: BTreeMap<String, Vec<String>>,
    /// Modules from which everything is imported.
    pub(crate) globs: Vec<Vec<String>>,
    /// All paths that begin with `crate`, `self` or `super`.
    pub(crate) named: Vec<Named>,
}

/// A crate, read from its files.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    /// The crate's root file.
    pub(crate) root: String,
    pub(crate) modules: Vec<Module>,
    /// The modules that define the macros which are exported to the root, by the macros' names.
    pub(crate) exported: BTreeMap<String, Id>,
}

/// Reads a crate from its root file. `read` returns the text of a file, if it exists.
pub(crate) fn read_crate(root: &str, read: &dyn Fn(&str) -> Option<String>) -> Crate {
    let text = read(root).unwrap_or_else(|| panic!("{root} is not there"));
    let directory = directory_of(root).to_owned();
    let mut reader = Reader {
        read,
        result: Crate {
            root: root.to_owned(),
            modules: vec![Module::default()],
            exported: BTreeMap::new(),
        },
    };
    let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{root}: {error}"));
    reader.module(ROOT, root, &directory, &file.items);
    reader.result
}

struct Reader<'a> {
    read: &'a dyn Fn(&str) -> Option<String>,
    result: Crate,
}

impl Reader<'_> {
    /// Reads the items of a module whose child modules lie in `directory`.
    fn module(&mut self, id: Id, file: &str, directory: &str, items: &[Item]) {
        let mut paths = Paths::of(file);
        for item in items
            .iter()
            .filter(|item| !is_test_only(names::attributes(item)))
        {
            match item {
                Item::Mod(child) => self.child(id, file, directory, child),
                Item::Use(import) => {
                    let module = &mut self.result.modules[id];
                    flatten(
                        &import.tree,
                        &mut Vec::new(),
                        &mut |path, name, _| match name {
                            Some(name) => drop(module.imports.insert(name, path)),
                            None => module.globs.push(path),
                        },
                    );
                }
                Item::Macro(found) => self.defined_macro(id, found),
                item => {
                    let name = names::of(item);
                    self.result.modules[id].items.extend(name);
                }
            }
            if !matches!(item, Item::Mod(_)) {
                paths.visit_item(item);
            }
        }
        self.result.modules[id].named.extend(paths.named);
    }

    fn defined_macro(&mut self, id: Id, found: &syn::ItemMacro) {
        let Some(name) = &found.ident else {
            return;
        };
        let is_exported = |attribute: &Attribute| attribute.path().is_ident("macro_export");
        if found.attrs.iter().any(is_exported) {
            self.result.exported.insert(name.to_string(), id);
        } else {
            self.result.modules[id].items.insert(name.to_string());
        }
    }

    fn child(&mut self, parent: Id, file: &str, directory: &str, child: &ItemMod) {
        let name = names::plain(&child.ident);
        let id = self.id(parent, &name);
        let inside = join(directory, &name);
        if let Some((_, items)) = &child.content {
            self.result.modules[id].is_inline = true;
            return self.module(id, file, &inside, items);
        }
        let candidates = match path_attribute(&child.attrs) {
            Some(path) => vec![join(directory_of(file), &path)],
            None => vec![format!("{inside}.rs"), format!("{inside}/mod.rs")],
        };
        let found = candidates
            .iter()
            .find_map(|path| Some((path, (self.read)(path)?)));
        let (path, text) = found.unwrap_or_else(|| panic!("{file}: no file of mod {name}"));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        self.module(id, path, &inside, &parsed.items);
    }

    /// The child with that name. Two versions of a module for different targets count as one.
    fn id(&mut self, parent: Id, name: &str) -> Id {
        if let Some(id) = self.result.modules[parent].children.get(name) {
            return *id;
        }
        let id = self.result.modules.len();
        self.result.modules.push(Module {
            name: name.to_owned(),
            parent: Some(parent),
            ..Module::default()
        });
        let children = &mut self.result.modules[parent].children;
        children.insert(name.to_owned(), id);
        id
    }
}

fn join(directory: &str, name: &str) -> String {
    match directory {
        "" => name.to_owned(),
        directory => format!("{directory}/{name}"),
    }
}

fn directory_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// The file that `#[path = "…"]` names.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let found = attributes
        .iter()
        .find(|found| found.path().is_ident("path"))?;
    match &found.meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}
