//! The part of `GateType` for structs that may consist of numbers only: how such a struct is read from words.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Field, Fields, Member, Result};

use crate::fields;

/// The items for that, or nothing if the struct certainly has other fields. Whether all fields are numbers is
/// decided by their types.
pub(crate) fn of(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Ok(TokenStream::new());
    };
    for field in &data.fields {
        if !archives_itself(field)? {
            return Ok(TokenStream::new());
        }
    }
    if matches!(data.fields, Fields::Unit) || data.fields.is_empty() {
        return Ok(TokenStream::new());
    }
    let types: Vec<_> = data.fields.iter().map(|field| &field.ty).collect();
    let members: Vec<Member> = data.fields.members().collect();
    Ok(quote! {
        const IS_PLAIN: bool = #(<#types as __gate::GateType>::IS_PLAIN)&&*;

        #[inline]
        fn of_words(words: &[u64], at: usize) -> ::core::option::Option<Self> {
            ::core::option::Option::Some(Self {
                #(#members: <#types as __gate::GateType>::of_words(
                    words,
                    at + ::core::mem::offset_of!(<Self as __gate::rkyv::Archive>::Archived, #members),
                )?,)*
            })
        }
    })
}

/// Whether a field is a gate type, which is in the archive as itself.
fn archives_itself(field: &Field) -> Result<bool> {
    let is_changed = |name: &str| field.attrs.iter().any(|one| one.path().is_ident(name));
    let by = fields::archived_by(&field.ty)?;
    Ok(by.is_none() && !is_changed("gate") && !is_changed("rkyv"))
}
