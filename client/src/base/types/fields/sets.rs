//! Sets, archived as a sorted vector.

use core::hash::{BuildHasher, Hash};
use core::marker::PhantomData;
use std::collections::{BTreeSet, HashSet};

use callgate_layout::{Describer, Schema};
use rkyv::Place;
use rkyv::rancor::Fallible;
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::with::{ArchiveWith, DeserializeWith, SerializeWith, With};

use super::FieldAs;
use crate::base::types::builtin::assert_sized;

/// A set whose elements `W` archives.
#[derive(Debug)]
pub struct AsList<W>(PhantomData<W>);

/// A set of the standard library.
pub trait Elements: FromIterator<Self::Element> {
    /// The type of the elements.
    type Element;

    /// How many there are.
    fn count(&self) -> usize;

    /// The elements, sorted.
    fn sorted(&self) -> Vec<&Self::Element>;
}

impl<T: Hash + Ord, S: BuildHasher + Default> Elements for HashSet<T, S> {
    type Element = T;

    fn count(&self) -> usize {
        self.len()
    }

    fn sorted(&self) -> Vec<&T> {
        let mut elements: Vec<&T> = self.iter().collect();
        elements.sort_unstable();
        elements
    }
}

impl<T: Ord> Elements for BTreeSet<T> {
    type Element = T;

    fn count(&self) -> usize {
        self.len()
    }

    fn sorted(&self) -> Vec<&T> {
        self.iter().collect()
    }
}

impl<E: Elements, W: ArchiveWith<E::Element>> ArchiveWith<E> for AsList<W> {
    type Archived = ArchivedVec<W::Archived>;
    type Resolver = VecResolver;

    fn resolve_with(set: &E, resolver: VecResolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_len(set.count(), resolver, out);
    }
}

impl<E, W, S> SerializeWith<E, S> for AsList<W>
where
    E: Elements,
    W: SerializeWith<E::Element, S>,
    S: Fallible + Allocator + Writer + ?Sized,
{
    fn serialize_with(set: &E, serializer: &mut S) -> Result<VecResolver, S::Error> {
        let elements = set.sorted();
        let elements = elements
            .iter()
            .map(|element| With::<E::Element, W>::cast(element));
        ArchivedVec::serialize_from_iter::<With<E::Element, W>, _, _>(elements, serializer)
    }
}

impl<E, W, D> DeserializeWith<ArchivedVec<W::Archived>, E, D> for AsList<W>
where
    E: Elements,
    W: ArchiveWith<E::Element>
        + DeserializeWith<<W as ArchiveWith<E::Element>>::Archived, E::Element, D>,
    D: Fallible + ?Sized,
{
    fn deserialize_with(
        archived: &ArchivedVec<W::Archived>,
        deserializer: &mut D,
    ) -> Result<E, D::Error> {
        let elements = archived.as_slice().iter();
        elements
            .map(|element| W::deserialize_with(element, deserializer))
            .collect()
    }
}

impl<E: Elements, W: FieldAs<E::Element>> FieldAs<E> for AsList<W> {
    fn schema(describer: &mut Describer) -> Schema {
        const { assert_sized::<With<E::Element, W>>() };
        Schema::Vec(Box::new(W::schema(describer)))
    }
}
