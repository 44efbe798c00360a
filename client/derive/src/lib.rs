//! The attribute macro behind `callgate_client::gate_type`; use it from there.
#![forbid(unsafe_code)]

mod check;
mod expand;
mod json;
mod schema;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct or an enum a gate type: one that travels as a parameter, a result, an event or
/// a share.
///
/// It derives rkyv's and serde's traits through `callgate_client` and describes the fields, so a
/// plugin needs no other dependency for it and may forbid unsafe code. Recursive types work, and
/// so do types with type parameters, which then are gate types for parameters that are.
///
/// ```
/// use callgate_client::{SortedMap, gate_type, schema_of};
///
/// #[gate_type]
/// pub struct Preset {
///     pub name: String,
///     pub values: SortedMap<String, f32>,
///     #[serde(default)]
///     pub tags: Vec<String>,
/// }
///
/// #[gate_type]
/// pub enum Node {
///     Leaf,
///     Effect { name: String, presets: Vec<Preset> },
///     Split(Box<Node>, Box<Node>),
/// }
///
/// assert_eq!(schema_of::<Node>().text(), "(Node)");
/// ```
///
/// A field of a foreign type, which must itself derive rkyv's and serde's traits, is marked with
/// a name and version of your choosing; these stand for it in the fingerprint:
///
/// ```
/// # use callgate_client::{gate_type, __private::{rkyv, serde}};
/// # mod midi {
/// #     use callgate_client::__private::{rkyv, serde};
/// #     #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
/// #     #[derive(serde::Serialize, serde::Deserialize)]
/// #     #[rkyv(crate = rkyv)] #[serde(crate = "serde")]
/// #     pub struct Note { pub key: u8 }
/// # }
/// #[gate_type]
/// pub struct Event {
///     #[gate(opaque = "midi::Note/1")]
///     pub note: midi::Note,
/// }
/// ```
///
/// What cannot travel is refused where it stands:
///
/// ```compile_fail
/// #[callgate_client::gate_type]
/// struct Borrowed {
///     name: &'static str,
/// }
/// ```
///
/// ```compile_fail
/// #[callgate_client::gate_type]
/// struct Hashed {
///     names: std::collections::HashMap<String, u32>,
/// }
/// ```
///
/// ```compile_fail
/// #[callgate_client::gate_type]
/// union Bits {
///     float: f32,
///     bits: u32,
/// }
/// ```
///
/// ```compile_fail
/// #[callgate_client::gate_type]
/// struct File {
///     path: std::path::PathBuf,
/// }
/// ```
#[proc_macro_attribute]
pub fn gate_type(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let input = parse_macro_input!(item as DeriveInput);
    expand::gate_type(arguments.into(), input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
