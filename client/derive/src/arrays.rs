//! Fields with arrays, which serde knows up to 32 elements only.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, LitStr, Type, parse_quote};

/// The attribute by which serde reads and writes a field of this type; `None` where serde can do it.
pub(crate) fn of_serde(ty: &Type, has_parameters: bool) -> Option<Attribute> {
    let element = match ty {
        Type::Array(array) => &array.elem,
        other => other,
    };
    if has_array(element.to_token_stream()) {
        let with = "::callgate_client::__private::by_json";
        if !has_parameters {
            return Some(parse_quote!(#[serde(with = #with)]));
        }
        // serde takes no bounds from a field that says how it is read and written.
        let text = ty.to_token_stream().to_string();
        let bound = format!("{text}: ::callgate_client::__private::json::JsonType");
        let bound = LitStr::new(&bound, proc_macro2::Span::call_site());
        return Some(parse_quote!(#[serde(with = #with, bound = #bound)]));
    }
    match ty {
        Type::Array(_) => {
            Some(parse_quote!(#[serde(with = "::callgate_client::__private::array")]))
        }
        _ => None,
    }
}

/// Whether an array, which stands in brackets, is in a type.
fn has_array(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => {
            group.delimiter() == proc_macro2::Delimiter::Bracket || has_array(group.stream())
        }
        _ => false,
    })
}
