//! `GateType::schema` of the type: its fields and variants as expressions.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Result, parse_quote};

use crate::check;

/// The expression for the contents of the type; it uses the variable `describer`. Also removes `#[gate(…)]` from
/// the fields.
pub(crate) fn of(input: &mut DeriveInput) -> Result<TokenStream> {
    let default = check::serde_default(&input.attrs);
    match &mut input.data {
        Data::Struct(data) => {
            let fields = fields(&mut data.fields, default)?;
            Ok(quote!(__gate::Body::Struct(#fields)))
        }
        Data::Enum(data) => {
            let variants = data.variants.iter_mut().map(|variant| {
                let name = variant.ident.unraw().to_string();
                let fields = fields(&mut variant.fields, default)?;
                Ok(quote!(__gate::Variant { name: #name.into(), fields: #fields }))
            });
            let variants = variants.collect::<Result<Vec<_>>>()?;
            Ok(quote!(__gate::Body::Enum(::std::vec![#(#variants),*])))
        }
        // Refused by `check` already.
        Data::Union(_) => Ok(TokenStream::new()),
    }
}

fn fields(fields: &mut Fields, all_default: bool) -> Result<TokenStream> {
    let described = fields.iter_mut().enumerate().map(|(index, field)| {
        let marks = check::field(field)?;
        let name = match &field.ident {
            Some(ident) => ident.unraw().to_string(),
            None => index.to_string(),
        };
        let default = marks.default || all_default;
        let ty = &field.ty;
        // Errors point at the field's type. Hygiene keeps lints about that type out of the user's code.
        let span = Span::mixed_site().located_at(ty.span());
        let describer = quote!(describer);
        let schema = match (marks.opaque, &marks.archived_by) {
            (Some(opaque), _) => quote!(__gate::Schema::Opaque(#opaque.into())),
            (None, Some(by)) => {
                quote_spanned!(span=> <#by as __gate::fields::FieldAs<#ty>>::schema(#describer))
            }
            (None, None) => quote_spanned!(span=> <#ty as __gate::GateType>::schema(#describer)),
        };
        if let Some(by) = marks.archived_by {
            field.attrs.push(parse_quote!(#[rkyv(with = #by)]));
        }
        Ok(quote!(__gate::Field { name: #name.into(), schema: #schema, default: #default }))
    });
    let described = described.collect::<Result<Vec<_>>>()?;
    Ok(quote!(::std::vec![#(#described),*]))
}
