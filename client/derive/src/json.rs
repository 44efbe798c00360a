//! The implementation of `JsonType`: how the fields and variants are written as JSON and read from it.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Data, DeriveInput, Expr, ExprPath, Field, Fields, Lit, LitStr, Meta, Result, Token,
    Variant, parse_quote,
};

/// The value of a field if the JSON object has no member of its name.
#[derive(Clone)]
enum Missing {
    /// The value that the field's type has for this case, if any.
    ByType,
    /// The value of this expression.
    Default(TokenStream),
    /// The field's value in the default of the whole struct.
    OfWhole,
}

/// A field, with the variable that holds it in the generated code.
struct Described {
    /// The field's name in Rust, or its position.
    member: syn::Member,
    /// The field's name in JSON.
    name: String,
    /// The variable that holds the field's value while reading, and a reference to it while writing.
    variable: Ident,
    opaque: Option<LitStr>,
    missing: Missing,
}

/// Makes the implementation for a struct or an enum whose `#[gate(…)]` attributes have not been removed yet.
pub(crate) fn of(input: &DeriveInput) -> Result<TokenStream> {
    let name = input.ident.unraw().to_string();
    let (write, read) = match &input.data {
        Data::Struct(data) => of_struct(&name, &data.fields, serde_default(&input.attrs)?)?,
        Data::Enum(data) => of_enum(&name, &data.variants)?,
        // Refused by `check` already.
        Data::Union(_) => return Ok(TokenStream::new()),
    };
    let ident = &input.ident;
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(__gate::GateType));
    }
    let (before, after, clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #before __gate::json::JsonType for #ident #after #clause {
            fn write(&self, writer: &mut __gate::json::Writer<'_>) -> __gate::json::Result<()> {
                #write
            }

            fn read(reader: &mut __gate::json::Reader<'_>) -> __gate::json::Result<Self> {
                #read
            }
        }
    })
}

fn of_struct(
    name: &str,
    fields: &Fields,
    default: Option<TokenStream>,
) -> Result<(TokenStream, TokenStream)> {
    let described = describe(fields, default.is_some())?;
    let path = quote!(Self);
    if let (Fields::Unnamed(_), [only]) = (fields, &*described) {
        return Ok(of_newtype(only));
    }
    let pattern = pattern(&path, fields, &described);
    let write = write_fields(fields, &described);
    let read = read_fields(name, &path, fields, &described, default);
    let write = quote! {
        let #pattern = self;
        #write
    };
    Ok((write, read))
}

fn of_newtype(field: &Described) -> (TokenStream, TokenStream) {
    match &field.opaque {
        Some(name) => (
            quote!(__gate::json::write_opaque(&self.0, writer)),
            quote!(__gate::json::read_opaque(reader, #name).map(Self)),
        ),
        None => (
            quote!(writer.newtype(&self.0)),
            quote!(reader.newtype().map(Self)),
        ),
    }
}

fn of_enum(
    name: &str,
    variants: &Punctuated<Variant, Token![,]>,
) -> Result<(TokenStream, TokenStream)> {
    let (mut names, mut writes, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    for (index, variant) in variants.iter().enumerate() {
        let variant_name = variant.ident.unraw().to_string();
        let ident = &variant.ident;
        let path = quote!(Self::#ident);
        let described = describe(&variant.fields, false)?;
        let pattern = pattern(&path, &variant.fields, &described);
        let write = write_variant(&variant_name, &variant.fields, &described);
        let read = read_variant(&variant_name, &path, &variant.fields, &described);
        names.push(variant_name);
        writes.push(quote!(#pattern => { #write }));
        reads.push(quote!(#index => { #read }));
    }
    let write = quote!(match self { #(#writes)* });
    let read = quote! {
        const NAMES: &[&str] = &[#(#names),*];
        let variant = reader.variant(#name, NAMES)?;
        let value = match variant.index() {
            #(#reads)*
            _ => return ::core::result::Result::Err(variant.unknown()),
        };
        reader.end_variant(&variant)?;
        ::core::result::Result::Ok(value)
    };
    Ok((write, read))
}

/// The pattern that destructures a value.
fn pattern(path: &TokenStream, fields: &Fields, described: &[Described]) -> TokenStream {
    let variables = described.iter().map(|field| &field.variable);
    let members = described.iter().map(|field| &field.member);
    match fields {
        Fields::Named(_) => quote!(#path { #(#members: #variables),* }),
        Fields::Unnamed(_) => quote!(#path(#(#variables),*)),
        Fields::Unit => path.clone(),
    }
}

fn write_fields(fields: &Fields, described: &[Described]) -> TokenStream {
    let is_named = match fields {
        Fields::Unit => return quote!(writer.put("null")),
        Fields::Named(_) => true,
        Fields::Unnamed(_) => false,
    };
    let writes = described.iter().enumerate().map(|(index, field)| {
        let (variable, name) = (&field.variable, &field.name);
        let comma = if index == 0 { "" } else { "," };
        let before = match is_named {
            true => format!("{comma}\"{name}\":"),
            false => comma.to_owned(),
        };
        match (&field.opaque, is_named) {
            (None, true) => quote!(writer.field(#before, #name, #variable)?;),
            (None, false) => quote!(writer.element(#index, #variable)?;),
            (Some(_), _) => quote! {
                writer.put(#before)?;
                __gate::json::write_opaque(#variable, writer).map_err(|fault| fault.within(#name))?;
            },
        }
    });
    let (open, close) = if is_named { ("{", "}") } else { ("[", "]") };
    quote! {
        writer.open(#open)?;
        #(#writes)*
        writer.close(#close)
    }
}

fn write_variant(name: &str, fields: &Fields, described: &[Described]) -> TokenStream {
    let before = format!("{{\"{name}\":");
    let content = match (fields, described) {
        (Fields::Unit, _) => {
            let text = format!("\"{name}\"");
            return quote!(writer.put(#text));
        }
        (Fields::Unnamed(_), [only]) => {
            let variable = &only.variable;
            match &only.opaque {
                Some(_) => quote!(__gate::json::write_opaque(#variable, writer)),
                None => quote!(__gate::json::JsonType::write(#variable, writer)),
            }
        }
        _ => write_fields(fields, described),
    };
    quote! {
        writer.variant(#before, #name, |writer| { #content })
    }
}

fn read_variant(
    name: &str,
    path: &TokenStream,
    fields: &Fields,
    described: &[Described],
) -> TokenStream {
    match (fields, described) {
        (Fields::Unnamed(_), [only]) => match &only.opaque {
            None => quote!(#path(reader.content(&variant)?)),
            Some(opaque) => quote! {
                #path(reader.content_by(&variant, "null", |reader| {
                    __gate::json::read_opaque(reader, #opaque)
                })?)
            },
        },
        _ => {
            let read = read_fields(name, path, fields, described, None);
            quote!(reader.content_by(&variant, "{}", |reader| { #read })?)
        }
    }
}

fn read_fields(
    name: &str,
    path: &TokenStream,
    fields: &Fields,
    described: &[Described],
    default: Option<TokenStream>,
) -> TokenStream {
    match fields {
        _ if fields.is_empty() => {
            let value = pattern(path, fields, described);
            quote! {
                reader.no_fields(#name)?;
                ::core::result::Result::Ok(#value)
            }
        }
        Fields::Unnamed(_) => read_tuple(path, described),
        Fields::Named(_) | Fields::Unit => read_named(name, path, described, default),
    }
}

fn read_tuple(path: &TokenStream, described: &[Described]) -> TokenStream {
    let count = described.len();
    let variables: Vec<_> = described.iter().map(|field| &field.variable).collect();
    let reads = described.iter().map(|field| match &field.opaque {
        None => quote!(reader.element(&mut tuple)?),
        Some(opaque) => quote! {
            reader.element_by(&mut tuple, |reader| __gate::json::read_opaque(reader, #opaque))?
        },
    });
    quote! {
        let mut tuple = reader.tuple(#count)?;
        #(let #variables = #reads;)*
        reader.end_tuple(&mut tuple)?;
        ::core::result::Result::Ok(#path(#(#variables),*))
    }
}

fn read_named(
    type_name: &str,
    path: &TokenStream,
    described: &[Described],
    default: Option<TokenStream>,
) -> TokenStream {
    let variables: Vec<_> = described.iter().map(|field| &field.variable).collect();
    let members = described.iter().map(|field| &field.member);
    let names: Vec<_> = described.iter().map(|field| &field.name).collect();
    let reads = described.iter().enumerate().map(|(index, field)| {
        let (variable, name) = (&field.variable, &field.name);
        match &field.opaque {
            None => quote!(#index => reader.field(&mut #variable, #name)?,),
            Some(opaque) => quote! {
                #index => reader.field_by(&mut #variable, #name, |reader| {
                    __gate::json::read_opaque(reader, #opaque)
                })?,
            },
        }
    });
    let whole = default.map(|default| fill(described, &default));
    let values = described.iter().map(value_of);
    quote! {
        const NAMES: &[&str] = &[#(#names),*];
        #(let mut #variables = ::core::option::Option::None;)*
        let mut object = reader.object(#type_name, NAMES)?;
        while let ::core::option::Option::Some(index) = reader.next_field(&mut object)? {
            match index {
                #(#reads)*
                _ => {}
            }
        }
        #whole
        ::core::result::Result::Ok(#path { #(#members: #values),* })
    }
}

/// Fills in missing fields from the default of the whole struct.
fn fill(described: &[Described], default: &TokenStream) -> TokenStream {
    let of_whole = |field: &&Described| matches!(field.missing, Missing::OfWhole);
    let filled: Vec<_> = described.iter().filter(of_whole).collect();
    if filled.is_empty() {
        return TokenStream::new();
    }
    let variables: Vec<_> = filled.iter().map(|field| &field.variable).collect();
    let members = filled.iter().map(|field| &field.member);
    quote! {
        if #(#variables.is_none())||* {
            let whole: Self = #default;
            #(if #variables.is_none() {
                #variables = ::core::option::Option::Some(whole.#members);
            })*
        }
    }
}

/// The expression for a field's value after all members have been read.
fn value_of(field: &Described) -> TokenStream {
    let (variable, name) = (&field.variable, &field.name);
    match (&field.missing, &field.opaque) {
        (Missing::Default(default), _) => quote! {
            match #variable {
                ::core::option::Option::Some(value) => value,
                ::core::option::Option::None => #default,
            }
        },
        (Missing::ByType, None) => quote!(reader.present(#variable, #name)?),
        _ => quote!(reader.required(#variable, #name)?),
    }
}

fn describe(fields: &Fields, has_whole: bool) -> Result<Vec<Described>> {
    let described = fields.members().zip(fields).enumerate();
    let described = described.map(|(index, (member, field))| {
        let missing = match (serde_default(&field.attrs)?, has_whole) {
            (Some(default), _) => Missing::Default(default),
            (None, true) => Missing::OfWhole,
            (None, false) => Missing::ByType,
        };
        Ok(Described {
            name: match &field.ident {
                Some(ident) => ident.unraw().to_string(),
                None => index.to_string(),
            },
            member,
            variable: format_ident!("field_{index}"),
            opaque: opaque(field)?,
            missing,
        })
    });
    described.collect()
}

/// The name that stands for a foreign type.
fn opaque(field: &Field) -> Result<Option<LitStr>> {
    let is_gate = |attribute: &&Attribute| attribute.path().is_ident("gate");
    let mut name = None;
    for attribute in field.attrs.iter().filter(is_gate) {
        attribute.parse_nested_meta(|meta| {
            name = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(name)
}

/// The expression for the default that `#[serde(default)]` or `#[serde(default = "…")]` asks for.
fn serde_default(attributes: &[Attribute]) -> Result<Option<TokenStream>> {
    let is_serde = |attribute: &&Attribute| attribute.path().is_ident("serde");
    for attribute in attributes.iter().filter(is_serde) {
        let metas = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?;
        if let Some(meta) = metas.iter().find(|meta| meta.path().is_ident("default")) {
            return default_of(meta).map(Some);
        }
    }
    Ok(None)
}

fn default_of(meta: &Meta) -> Result<TokenStream> {
    if let Meta::NameValue(pair) = meta
        && let Expr::Lit(literal) = &pair.value
        && let Lit::Str(path) = &literal.lit
    {
        let path: ExprPath = path.parse()?;
        return Ok(quote!(#path()));
    }
    Ok(quote!(::core::default::Default::default()))
}
