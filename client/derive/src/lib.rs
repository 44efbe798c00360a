//! The attribute macro behind `callgate_client::gate_type`; use it from there.
#![forbid(unsafe_code)]

mod arrays;
mod check;
mod expand;
mod fields;
mod json;
mod plain;
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
/// Fields may also be, or contain in `Option`, `Vec`, `Box`, arrays, tuples and each other, `HashMap`, `BTreeMap`,
/// `HashSet`, `BTreeSet`, `PathBuf` and `SystemTime`. They are written out where they stand, not by another
/// name, and travel as `SortedMap`, as a sorted `Vec`, as `String`, and as seconds and nanoseconds since 1970.
/// A path that is not UTF-8 or a time before 1970 makes the call fail (`TYPE_MISMATCH`).
///
/// ```
/// use callgate_client::gate_type;
/// use std::collections::{BTreeSet, HashMap};
/// use std::path::PathBuf;
///
/// #[gate_type]
/// pub struct Library {
///     pub roots: Vec<PathBuf>,
///     pub plays: HashMap<String, u32>,
///     pub by_tag: HashMap<String, Option<BTreeSet<PathBuf>>>,
///     pub scanned: Option<std::time::SystemTime>,
/// }
/// ```
///
/// Of serde's attributes only `#[serde(default)]` may stand at a gate type, because the others change its JSON, and
/// a peer with other types would not know.
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
/// Such a type's `Deserialize` may not fail for an archive that its `CheckBytes` accepts: rkyv leaves behind the memory of a vector
/// or box of which an element cannot be read, and a peer could send such archives again and again.
///
/// A struct or an enum that is the type of a field needs `#[gate_type]` as well. Where it is forgotten, the compiler says
/// that this type "cannot travel through a gate", among errors about traits of rkyv and serde. Other derives may stand
/// beside the macro, but not those of serde and rkyv, which it makes itself. A field that may be any JSON is a
/// `callgate_client::Json`.
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
/// struct Keyed {
///     names: std::collections::HashMap<Vec<u8>, u32>,
/// }
/// ```
///
/// ```compile_fail
/// #[callgate_client::gate_type]
/// struct Outcome {
///     path: Result<std::path::PathBuf, u32>,
/// }
/// ```
///
/// ```compile_fail
/// #[callgate_client::gate_type]
/// struct Renamed {
///     #[serde(rename = "type")]
///     kind: u32,
/// }
/// ```
///
/// ```compile_fail
/// #[callgate_client::gate_type]
/// struct Hidden {
///     #[cfg_attr(all(), rkyv(with = callgate_client::__private::rkyv::with::Skip))]
///     kind: u32,
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
/// struct Shared {
///     name: std::sync::Arc<String>,
/// }
/// ```
#[proc_macro_attribute]
pub fn gate_type(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let input = parse_macro_input!(item as DeriveInput);
    expand::gate_type(arguments.into(), input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

#[cfg(test)]
mod tests;
