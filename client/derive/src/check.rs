//! Refuses what the macro does not support, with a clearer message than the compiler's.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Field, GenericArgument, GenericParam, LitStr, Meta, Path,
    PathArguments, PathSegment, Result, Token, Type,
};

use crate::fields;

/// The contents of a field's `#[gate(…)]` and `#[serde(…)]` attributes.
pub(crate) struct Marks {
    /// The name and version that stand for a foreign type in the fingerprint.
    pub(crate) opaque: Option<LitStr>,
    /// The type that archives the field (rkyv's `with`), if the field's type does not do so itself.
    pub(crate) archived_by: Option<TokenStream>,
    /// Whether serde fills in the field if it is missing.
    pub(crate) default: bool,
}

/// Refuses unions, lifetimes, const parameters, discriminants and rkyv's own attributes.
pub(crate) fn item(input: &DeriveInput) -> Result<()> {
    for parameter in &input.generics.params {
        let (span, what) = match parameter {
            GenericParam::Type(_) => continue,
            GenericParam::Lifetime(lifetime) => (lifetime.span(), "borrow"),
            GenericParam::Const(constant) => (constant.span(), "have const parameters"),
        };
        return Err(Error::new(span, format!("gate types cannot {what}")));
    }
    no_rkyv(&input.attrs)?;
    only_default(&input.attrs)?;
    nothing_hidden(&input.attrs)?;
    nothing_derived_twice(&input.attrs)?;
    match &input.data {
        Data::Struct(_) => Ok(()),
        Data::Union(union) => Err(Error::new(
            union.union_token.span,
            "gate types are structs and enums: a union cannot be checked",
        )),
        Data::Enum(data) => data.variants.iter().try_for_each(|variant| {
            no_rkyv(&variant.attrs)?;
            only_default(&variant.attrs)?;
            nothing_hidden(&variant.attrs)?;
            match &variant.discriminant {
                None => Ok(()),
                Some((_, value)) => Err(Error::new(
                    value.span(),
                    "variants travel by their position and name: leave the number out",
                )),
            }
        }),
    }
}

/// Refuses derives of serde's and rkyv's traits below the macro, which derives them itself. Derives above the macro
/// have been expanded before and are not seen here.
fn nothing_derived_twice(attributes: &[Attribute]) -> Result<()> {
    let derives = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("derive"));
    for attribute in derives {
        // If the attribute cannot be parsed, the compiler refuses it.
        let paths = attribute
            .parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)
            .unwrap_or_default();
        let twice = |path: &&Path| {
            let names: Vec<_> = path
                .segments
                .iter()
                .map(|segment| segment.ident.to_string())
                .collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let ours = ["Serialize", "Deserialize", "Archive"];
            match names.as_slice() {
                [name] | ["serde" | "rkyv", name] => ours.contains(name),
                _ => false,
            }
        };
        if let Some(path) = paths.iter().find(twice) {
            let text = "`#[gate_type]` derives the traits of serde and rkyv itself: leave this out";
            return Err(Error::new(path.span(), text));
        }
    }
    Ok(())
}

/// Reads a field's marks, removes `#[gate(…)]` from it, and refuses types that cannot travel.
pub(crate) fn field(field: &mut Field) -> Result<Marks> {
    let mut opaque = None;
    for attribute in field
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("gate"))
    {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("opaque") {
                return Err(meta.error("expected `opaque = \"name/version\"`"));
            }
            opaque = Some(opaque_name(meta.value()?.parse()?)?);
            Ok(())
        })?;
    }
    field
        .attrs
        .retain(|attribute| !attribute.path().is_ident("gate"));
    only_default(&field.attrs)?;
    nothing_hidden(&field.attrs)?;
    let mut archived_by = None;
    if opaque.is_none() {
        no_rkyv(&field.attrs)?;
        travels(&field.ty)?;
        archived_by = fields::archived_by(&field.ty)?;
    }
    Ok(Marks {
        opaque,
        archived_by,
        default: serde_default(&field.attrs),
    })
}

fn opaque_name(name: LitStr) -> Result<LitStr> {
    match name.value().rsplit_once('/') {
        Some((before, version)) if !before.is_empty() && !version.is_empty() => Ok(name),
        _ => Err(Error::new(
            name.span(),
            "expected a name and a version: \"name/version\"",
        )),
    }
}

/// Whether `#[serde(default)]` or `#[serde(default = "…")]` is among the attributes.
pub(crate) fn serde_default(attributes: &[Attribute]) -> bool {
    serde(attributes).any(|metas| metas.is_ok_and(|metas| metas.iter().any(is_default)))
}

fn is_default(meta: &Meta) -> bool {
    meta.path().is_ident("default")
}

/// The contents of each `#[serde(…)]` attribute.
fn serde(attributes: &[Attribute]) -> impl Iterator<Item = Result<Punctuated<Meta, Token![,]>>> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("serde"))
        .map(|attribute| attribute.parse_args_with(Punctuated::parse_terminated))
}

/// Refuses all attributes of serde except `default`.
fn only_default(attributes: &[Attribute]) -> Result<()> {
    for metas in serde(attributes) {
        if let Some(other) = metas?.iter().find(|meta| !is_default(meta)) {
            return Err(Error::new(
                other.span(),
                "of serde's attributes a gate type may have `default` only: others change its JSON, and peers \
                 with other types would not know",
            ));
        }
    }
    Ok(())
}

fn no_rkyv(attributes: &[Attribute]) -> Result<()> {
    match attributes
        .iter()
        .find(|attribute| attribute.path().is_ident("rkyv"))
    {
        None => Ok(()),
        Some(attribute) => Err(Error::new(
            attribute.span(),
            "rkyv's attributes change the archive behind the fingerprint's back; on a field marked `#[gate(opaque = \"name/version\")]` they are allowed",
        )),
    }
}

/// Refuses attributes of serde, rkyv and this macro inside `cfg_attr`: the compiler expands `cfg_attr` for the
/// derives only after this macro has looked at the item.
fn nothing_hidden(attributes: &[Attribute]) -> Result<()> {
    let hidden = attributes.iter().find(|attribute| {
        let is_conditional = attribute.path().is_ident("cfg_attr");
        is_conditional && names_derives(attribute.meta.to_token_stream())
    });
    match hidden {
        None => Ok(()),
        Some(attribute) => Err(Error::new(
            attribute.span(),
            "a gate type's attributes of serde, rkyv and gate cannot be conditional: its fingerprint would not know",
        )),
    }
}

fn names_derives(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ["serde", "rkyv", "gate"].iter().any(|name| ident == name),
        TokenTree::Group(group) => names_derives(group.stream()),
        _ => false,
    })
}

/// Refuses types that can be seen not to travel. All others are checked by the `GateType` bound.
fn travels(ty: &Type) -> Result<()> {
    let refuse = |span: Span, why: &str| Err(Error::new(span, why));
    match ty {
        Type::Reference(_) | Type::Ptr(_) => refuse(
            ty.span(),
            "a gate type owns what it holds: use String, Vec or Box",
        ),
        Type::BareFn(_) | Type::TraitObject(_) | Type::ImplTrait(_) => {
            refuse(ty.span(), "code cannot travel through a gate")
        }
        Type::Array(array) => travels(&array.elem),
        Type::Paren(inner) => travels(&inner.elem),
        Type::Group(inner) => travels(&inner.elem),
        Type::Tuple(tuple) => tuple.elems.iter().try_for_each(travels),
        Type::Path(path) if is_json_value(&path.path) => refuse(
            ty.span(),
            "within a gate type JSON is `callgate_client::Json`, which holds a `serde_json::Value`",
        ),
        Type::Path(path) => path.path.segments.iter().try_for_each(|segment| {
            key_travels(segment)?;
            match segment.ident.to_string().as_str() {
                "IndexMap" => {
                    return refuse(
                        segment.span(),
                        "maps travel sorted: use a HashMap, a BTreeMap or callgate_client::SortedMap",
                    );
                }
                "Rc" | "Arc" | "Weak" => {
                    return refuse(segment.span(), "shared pointers do not travel: use a Box");
                }
                "usize" | "isize" => {
                    return refuse(
                        segment.span(),
                        "its width depends on the machine: use u64 or i64",
                    );
                }
                _ => {}
            }
            let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
                return Ok(());
            };
            arguments
                .args
                .iter()
                .try_for_each(|argument| match argument {
                    GenericArgument::Type(ty) => travels(ty),
                    _ => Ok(()),
                })
        }),
        _ => Ok(()),
    }
}

fn is_json_value(path: &Path) -> bool {
    let names = path
        .segments
        .iter()
        .map(|segment| segment.ident.to_string());
    names.eq(["serde_json", "Value"])
}

/// Refuses floats as keys, because they have no total order.
fn key_travels(segment: &PathSegment) -> Result<()> {
    let kinds = ["HashMap", "BTreeMap", "SortedMap", "HashSet", "BTreeSet"];
    if let PathArguments::AngleBracketed(arguments) = &segment.arguments
        && kinds.iter().any(|kind| segment.ident == kind)
        && let Some(GenericArgument::Type(Type::Path(key))) = arguments.args.first()
        && (key.path.is_ident("f32") || key.path.is_ident("f64"))
    {
        let text = "floats have no order, so they cannot be keys or elements of a set";
        return Err(Error::new(key.span(), text));
    }
    Ok(())
}
