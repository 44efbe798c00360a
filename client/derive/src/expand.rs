//! The macro itself: the item with its derives, and the implementation of `GateType`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Error, Field, Result, parse_quote};

use crate::{arrays, check, json, plain, schema};

/// Expands to the item with its derives and the implementation of `GateType`.
pub(crate) fn gate_type(arguments: TokenStream, mut input: DeriveInput) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(
            arguments,
            "gate_type takes no arguments",
        ));
    }
    check::item(&input)?;
    let json = json::of(&input)?;
    // Called before the marks are removed from the fields.
    let plain = plain::of(&input)?;
    let schema = schema::of(&mut input)?;
    derive(&mut input);
    let implementation = implementation(&input, (&schema, &plain), &json);
    Ok(quote!(#input #implementation))
}

fn derive(input: &mut DeriveInput) {
    let attributes: [Attribute; 3] = [
        parse_quote!(#[derive(
            ::callgate_client::__private::rkyv::Archive,
            ::callgate_client::__private::rkyv::Serialize,
            ::callgate_client::__private::rkyv::Deserialize,
            ::callgate_client::__private::serde::Serialize,
            ::callgate_client::__private::serde::Deserialize,
        )]),
        parse_quote!(#[rkyv(crate = ::callgate_client::__private::rkyv)]),
        parse_quote!(#[serde(crate = "::callgate_client::__private::serde")]),
    ];
    input.attrs.splice(0..0, attributes);
    let has_parameters = input.generics.type_params().next().is_some();
    for_each_field(input, |field| {
        if let Some(serde) = arrays::of_serde(&field.ty, has_parameters) {
            field.attrs.push(serde);
        }
    });
    input.attrs.push(bounds(input));
    for_each_field(input, |field| {
        field.attrs.push(parse_quote!(#[rkyv(omit_bounds)]));
    });
}

/// The bounds of rkyv's implementations: on the serializer and the deserializer, and on the type's parameters. By
/// default rkyv puts a bound on each field; a type that contains itself would then need a bound on itself.
fn bounds(input: &DeriveInput) -> Attribute {
    let rkyv = quote!(::callgate_client::__private::rkyv);
    let parameters = input.generics.type_params();
    let parameters: Vec<_> = parameters.map(|parameter| &parameter.ident).collect();
    let archived = parameters
        .iter()
        .map(|parameter| quote!(<#parameter as #rkyv::Archive>::Archived));
    let archived: Vec<TokenStream> = archived.collect();
    parse_quote!(#[rkyv(
        archive_bounds(#(#parameters: #rkyv::Archive,)*),
        serialize_bounds(
            __S: #rkyv::ser::Writer + #rkyv::ser::Allocator,
            __S::Error: #rkyv::rancor::Source,
            #(#parameters: #rkyv::Serialize<__S>,)*
        ),
        deserialize_bounds(
            __D::Error: #rkyv::rancor::Source,
            #(#archived: #rkyv::Deserialize<#parameters, __D>,)*
        ),
        bytecheck(bounds(
            __C: #rkyv::validation::ArchiveContext,
            __C::Error: #rkyv::rancor::Source,
            #(#archived: #rkyv::bytecheck::CheckBytes<__C>,)*
        )),
    )])
}

fn for_each_field(input: &mut DeriveInput, mut change: impl FnMut(&mut Field)) {
    match &mut input.data {
        Data::Struct(data) => data.fields.iter_mut().for_each(change),
        Data::Enum(data) => {
            data.variants
                .iter_mut()
                .flat_map(|variant| variant.fields.iter_mut())
                .for_each(&mut change);
        }
        Data::Union(_) => {}
    }
}

fn implementation(
    input: &DeriveInput,
    (schema, plain): (&TokenStream, &TokenStream),
    json: &TokenStream,
) -> TokenStream {
    let ident = &input.ident;
    let name = ident.unraw().to_string();
    let mut generics = input.generics.clone();
    let parameters: Vec<_> = generics
        .type_params()
        .map(|parameter| parameter.ident.clone())
        .collect();
    let clause = generics.make_where_clause();
    for parameter in parameters {
        clause
            .predicates
            .push(parse_quote!(#parameter: __gate::GateType));
    }
    let (before, after, clause) = generics.split_for_impl();
    quote! {
        const _: () = {
            use ::callgate_client::__private as __gate;

            #[automatically_derived]
            impl #before __gate::GateType for #ident #after #clause {
                fn schema(describer: &mut __gate::Describer) -> __gate::Schema {
                    describer.named::<Self>(#name, |describer| {
                        let _ = &describer;
                        #schema
                    })
                }

                #plain
            }

            #[automatically_derived]
            impl #before __gate::Plain for #ident #after #clause {}

            #json
        };
    }
}
