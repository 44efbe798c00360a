//! Paths, archived as text.

use std::path::PathBuf;

use callgate_layout::{Describer, Schema};
use rkyv::rancor::{Fallible, Source};
use rkyv::string::{ArchivedString, StringResolver};
use rkyv::with::{ArchiveWith, DeserializeWith, SerializeWith};
use rkyv::{Place, SerializeUnsized};

use super::FieldAs;
use crate::base::types::unfit::{self, Unfit};

/// A path in UTF-8. Other paths cannot be archived.
#[derive(Debug)]
pub struct AsText;

impl ArchiveWith<PathBuf> for AsText {
    type Archived = ArchivedString;
    type Resolver = StringResolver;

    fn resolve_with(path: &PathBuf, resolver: StringResolver, out: Place<ArchivedString>) {
        // Serializing has failed already if the path is not UTF-8.
        let text = path.to_str().unwrap_or("");
        ArchivedString::resolve_from_str(text, resolver, out);
    }
}

impl<S> SerializeWith<PathBuf, S> for AsText
where
    S: Fallible<Error: Source> + ?Sized,
    str: SerializeUnsized<S>,
{
    fn serialize_with(path: &PathBuf, serializer: &mut S) -> Result<StringResolver, S::Error> {
        let text = path.to_str();
        let text = text.ok_or_else(|| unfit::refuse::<S::Error>(Unfit::Path))?;
        ArchivedString::serialize_from_str(text, serializer)
    }
}

impl<D: Fallible + ?Sized> DeserializeWith<ArchivedString, PathBuf, D> for AsText {
    fn deserialize_with(archived: &ArchivedString, _: &mut D) -> Result<PathBuf, D::Error> {
        Ok(PathBuf::from(archived.as_str()))
    }
}

impl FieldAs<PathBuf> for AsText {
    fn schema(_: &mut Describer) -> Schema {
        Schema::String
    }
}
