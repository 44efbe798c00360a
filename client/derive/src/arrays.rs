//! Fields that contain arrays: serde itself knows arrays of up to 32 elements only.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, LitStr, Type, parse_quote};

/// The attribute that lets serde read and write a field of this type. `None` if serde can do so itself.
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
        // For a field with an attribute of its own, serde derives no bounds.
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

/// Whether a type contains an array (tokens in brackets).
fn has_array(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => {
            group.delimiter() == proc_macro2::Delimiter::Bracket || has_array(group.stream())
        }
        _ => false,
    })
}
