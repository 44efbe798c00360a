//! Types of fields that are not gate types themselves, and how they are archived.
//!
//! The attribute macro writes one of these in rkyv's `with` at such a field, and one for each type in which the
//! field's type is nested: `Option<HashMap<String, PathBuf>>` is `Map<AsMap<AsText>>`. Equal schemas must mean
//! interchangeable archives, so each makes the archive of the gate type that its schema describes:
//!
//! | type | archived by | as |
//! |---|---|---|
//! | `HashMap`, `BTreeMap`, `SortedMap` | [`AsMap`] | `SortedMap` |
//! | `HashSet`, `BTreeSet` | [`AsList`] | a sorted `Vec` |
//! | `PathBuf` | [`AsText`] | `String` |
//! | `SystemTime` | [`SinceEpoch`] | a struct of seconds and nanoseconds since 1970 |
//! | `Option`, `Vec` and arrays of these | rkyv's `Map` | themselves |
//! | `Box` and tuples of these | [`Boxed`], [`Each`] | themselves |
//! | gate types within these | [`AsIs`] | themselves |

mod maps;
mod nested;
mod paths;
mod sets;
mod times;

use callgate_layout::{Describer, Schema};
use rkyv::rancor::Fallible;
use rkyv::with::{ArchiveWith, DeserializeWith, SerializeWith};
use rkyv::{Archive, Deserialize, Place, Serialize};

use super::GateType;

pub use maps::AsMap;
pub use nested::{Boxed, Each};
pub use paths::AsText;
pub use sets::AsList;
pub use times::SinceEpoch;

/// Describes a field of type `F` that is archived by this.
#[diagnostic::on_unimplemented(
    message = "`{F}` cannot be within this field of a gate type",
    label = "not a gate type, and none of the types that fields may have besides",
    note = "HashMap, BTreeMap, HashSet, BTreeSet, PathBuf and SystemTime may be within fields as such, in \
            Option, Vec, Box, arrays, tuples and each other; keys of maps and elements of sets have an order"
)]
pub trait FieldAs<F>: ArchiveWith<F> {
    /// The schema of the field.
    fn schema(describer: &mut Describer) -> Schema;
}

/// A gate type inside a type that is none.
#[derive(Debug)]
pub struct AsIs;

impl<F: Archive> ArchiveWith<F> for AsIs {
    type Archived = F::Archived;
    type Resolver = F::Resolver;

    fn resolve_with(field: &F, resolver: F::Resolver, out: Place<F::Archived>) {
        field.resolve(resolver, out);
    }
}

impl<F: Serialize<S>, S: Fallible + ?Sized> SerializeWith<F, S> for AsIs {
    fn serialize_with(field: &F, serializer: &mut S) -> Result<F::Resolver, S::Error> {
        field.serialize(serializer)
    }
}

impl<F, D> DeserializeWith<F::Archived, F, D> for AsIs
where
    F: Archive<Archived: Deserialize<F, D>>,
    D: Fallible + ?Sized,
{
    fn deserialize_with(archived: &F::Archived, deserializer: &mut D) -> Result<F, D::Error> {
        archived.deserialize(deserializer)
    }
}

impl<F: GateType> FieldAs<F> for AsIs {
    fn schema(describer: &mut Describer) -> Schema {
        F::schema(describer)
    }
}

#[cfg(test)]
mod tests;
