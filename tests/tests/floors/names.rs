//! Names and attributes of items, whatever kind they are.

use syn::ext::IdentExt;
use syn::{Attribute, Ident, Item};

/// The name without `r#`.
pub(crate) fn plain(name: &Ident) -> String {
    name.unraw().to_string()
}

/// The name that an item defines in its module.
pub(crate) fn of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(found) => &found.ident,
        Item::Enum(found) => &found.ident,
        Item::Fn(found) => &found.sig.ident,
        Item::Static(found) => &found.ident,
        Item::Struct(found) => &found.ident,
        Item::Trait(found) => &found.ident,
        Item::TraitAlias(found) => &found.ident,
        Item::Type(found) => &found.ident,
        Item::Union(found) => &found.ident,
        _ => return None,
    };
    Some(plain(name))
}

/// The attributes of an item.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(found) => &found.attrs,
        Item::Enum(found) => &found.attrs,
        Item::ExternCrate(found) => &found.attrs,
        Item::Fn(found) => &found.attrs,
        Item::ForeignMod(found) => &found.attrs,
        Item::Impl(found) => &found.attrs,
        Item::Macro(found) => &found.attrs,
        Item::Mod(found) => &found.attrs,
        Item::Static(found) => &found.attrs,
        Item::Struct(found) => &found.attrs,
        Item::Trait(found) => &found.attrs,
        Item::TraitAlias(found) => &found.attrs,
        Item::Type(found) => &found.attrs,
        Item::Union(found) => &found.attrs,
        Item::Use(found) => &found.attrs,
        _ => &[],
    }
}
