//! Types that are no gate types but may be in fields, and the rkyv `with` type that archives each.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, GenericArgument, PathArguments, PathSegment, Result, Type};

/// The `with` type that archives a field of this type. `None` for a gate type, which archives itself.
pub(crate) fn archived_by(ty: &Type) -> Result<Option<TokenStream>> {
    let private = quote!(::callgate_client::__private);
    match ty {
        Type::Paren(inner) => archived_by(&inner.elem),
        Type::Group(inner) => archived_by(&inner.elem),
        Type::Array(array) => {
            let inner = archived_by(&array.elem)?;
            Ok(inner.map(|inner| quote!(#private::rkyv::with::Map<#inner>)))
        }
        Type::Tuple(tuple) => {
            let elements = tuple.elems.iter().map(archived_by);
            let elements = elements.collect::<Result<Vec<_>>>()?;
            if elements.iter().all(Option::is_none) {
                return Ok(None);
            }
            let elements = elements.into_iter().map(or_as_is);
            Ok(Some(quote!(#private::fields::Each<(#(#elements,)*)>)))
        }
        Type::Path(path) if path.qself.is_none() => match path.path.segments.last() {
            Some(last) => of_path(last),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

fn of_path(last: &PathSegment) -> Result<Option<TokenStream>> {
    let arguments = arguments(last);
    let of = arguments.iter().map(|ty| archived_by(ty));
    let mut of = of.collect::<Result<Vec<_>>>()?.into_iter();
    let private = quote!(::callgate_client::__private);
    let name = last.ident.to_string();
    Ok(match name.as_str() {
        "PathBuf" => Some(quote!(#private::fields::AsText)),
        "SystemTime" => Some(quote!(#private::fields::SinceEpoch)),
        "HashSet" | "BTreeSet" => {
            let element = or_as_is(of.next().flatten());
            Some(quote!(#private::fields::AsList<#element>))
        }
        "HashMap" | "BTreeMap" | "SortedMap" => {
            if let (Some(key), Some(_)) = (arguments.first(), of.next().flatten()) {
                return Err(Error::new(
                    key.span(),
                    "the keys of a map are numbers, bool, char or String",
                ));
            }
            let value = of.next().flatten();
            let is_gate_type = name == "SortedMap" && value.is_none();
            let value = or_as_is(value);
            (!is_gate_type).then(|| quote!(#private::fields::AsMap<#value>))
        }
        "Option" | "Vec" => of
            .next()
            .flatten()
            .map(|inner| quote!(#private::rkyv::with::Map<#inner>)),
        "Box" => of
            .next()
            .flatten()
            .map(|inner| quote!(#private::fields::Boxed<#inner>)),
        _ => {
            let within = arguments.iter().zip(of).find(|(_, by)| by.is_some());
            if let Some((inner, _)) = within {
                return Err(Error::new(
                    inner.span(),
                    "maps, sets, paths and times of the standard library may be within fields as such, in Option, \
                     Vec, Box, arrays, tuples and each other; here use SortedMap, Vec, String or Duration",
                ));
            }
            None
        }
    })
}

fn or_as_is(by: Option<TokenStream>) -> TokenStream {
    by.unwrap_or_else(|| quote!(::callgate_client::__private::fields::AsIs))
}

fn arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Vec::new();
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}
