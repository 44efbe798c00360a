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

/// Makes a struct or an enum a gate type: a type that can be a parameter, a result, an event or a share.
///
/// The macro derives rkyv's and serde's traits through `callgate_client`, and describes the fields. So a plugin
/// needs neither crate as a dependency, and may forbid unsafe code. A type may contain itself. A type may have type
/// parameters; it is a gate type if its parameters are.
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
/// Fields may also have these types: `HashMap`, `BTreeMap`, `HashSet`, `BTreeSet`, `PathBuf` and `SystemTime`,
/// alone or inside `Option`, `Vec`, `Box`, arrays, tuples and each other. Their names must be written out in the
/// field, because the macro does not see through type aliases. A map travels as `SortedMap`, a set as a sorted
/// `Vec`, a path as `String`, and a time as seconds and nanoseconds since 1970. If a path is not UTF-8, or a time
/// is before 1970, the call fails (`TYPE_MISMATCH`).
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
/// Of serde's attributes only `#[serde(default)]` is allowed. The others change the JSON of the type, and a peer
/// with other types would not know of that.
///
/// A field may have a foreign type that itself derives rkyv's and serde's traits. Mark the field with a name and a
/// version of your choice, which stand for the type in the fingerprint:
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
/// The `Deserialize` of such a type must not fail for an archive that its `CheckBytes` accepts. If an element of a
/// vector or a box cannot be read, rkyv leaks the memory of the whole, and a peer could send such archives again
/// and again.
///
/// If the type of a field is a struct or an enum of your own, it needs `#[gate_type]` as well. If that is
/// forgotten, the compiler says that the type "cannot travel through a gate", among errors about traits of rkyv and
/// serde. Other derives may be used with the macro, but not those of serde and rkyv, which it makes itself. For a
/// field that may be any JSON, use `callgate_client::Json`.
///
/// The macro refuses types that cannot travel:
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
