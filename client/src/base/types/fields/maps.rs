//! Maps, archived as a `SortedMap`: a vector of pairs, sorted by key.

use core::hash::{BuildHasher, Hash};
use core::marker::PhantomData;
use std::collections::{BTreeMap, HashMap};

use callgate_layout::{Describer, Schema};
use rkyv::munge::munge;
use rkyv::rancor::Fallible;
use rkyv::ser::{Allocator, Writer};
use rkyv::tuple::ArchivedTuple2;
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::with::{ArchiveWith, DeserializeWith, SerializeWith, With};
use rkyv::{Archive, Deserialize, Place, Serialize};

use super::FieldAs;
use crate::base::types::GateType;
use crate::base::types::builtin::assert_sized;
use crate::base::types::map::{ArchivedSortedMap, MapKey, SortedMap};

/// A map whose values `W` archives.
#[derive(Debug)]
pub struct AsMap<W>(PhantomData<W>);

/// A map of the standard library, or [`SortedMap`]. Of two pairs with the same key it keeps the later one.
pub trait Pairs: FromIterator<(Self::Key, Self::Value)> {
    /// The type of the keys.
    type Key;
    /// The type of the values.
    type Value;

    /// How many pairs there are.
    fn count(&self) -> usize;

    /// The pairs, sorted by key.
    fn sorted(&self) -> Vec<(&Self::Key, &Self::Value)>;
}

impl<K: Hash + Ord, V, S: BuildHasher + Default> Pairs for HashMap<K, V, S> {
    type Key = K;
    type Value = V;

    fn count(&self) -> usize {
        self.len()
    }

    fn sorted(&self) -> Vec<(&K, &V)> {
        let mut pairs: Vec<(&K, &V)> = self.iter().collect();
        pairs.sort_unstable_by_key(|(key, _)| *key);
        pairs
    }
}

impl<K: Ord, V> Pairs for BTreeMap<K, V> {
    type Key = K;
    type Value = V;

    fn count(&self) -> usize {
        self.len()
    }

    fn sorted(&self) -> Vec<(&K, &V)> {
        self.iter().collect()
    }
}

impl<K: Ord, V> Pairs for SortedMap<K, V> {
    type Key = K;
    type Value = V;

    fn count(&self) -> usize {
        self.len()
    }

    fn sorted(&self) -> Vec<(&K, &V)> {
        self.iter().collect()
    }
}

type ArchivedPair<K, V, W> =
    ArchivedTuple2<<K as Archive>::Archived, <W as ArchiveWith<V>>::Archived>;

// A SortedMap consists of its vector only, so an archive of that vector can be read as one.
const _: () = assert!(
    size_of::<ArchivedSortedMap<u64, u8>>() == size_of::<ArchivedVec<(u64, u8)>>()
        && align_of::<ArchivedSortedMap<u64, u8>>() == align_of::<ArchivedVec<(u64, u8)>>()
);

impl<M, W> ArchiveWith<M> for AsMap<W>
where
    M: Pairs<Key: Archive>,
    W: ArchiveWith<M::Value>,
{
    type Archived = ArchivedVec<ArchivedPair<M::Key, M::Value, W>>;
    type Resolver = VecResolver;

    fn resolve_with(map: &M, resolver: VecResolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_len(map.count(), resolver, out);
    }
}

impl<M, W, S> SerializeWith<M, S> for AsMap<W>
where
    M: Pairs<Key: Serialize<S>>,
    W: SerializeWith<M::Value, S>,
    S: Fallible + Allocator + Writer + ?Sized,
{
    fn serialize_with(map: &M, serializer: &mut S) -> Result<VecResolver, S::Error> {
        let pairs = map.sorted();
        let pairs = pairs.iter().map(|(key, value)| Pair {
            key: *key,
            value: *value,
            by: PhantomData::<W>,
        });
        ArchivedVec::serialize_from_iter::<Pair<'_, M::Key, M::Value, W>, _, _>(pairs, serializer)
    }
}

impl<M, W, D> DeserializeWith<ArchivedVec<ArchivedPair<M::Key, M::Value, W>>, M, D> for AsMap<W>
where
    M: Pairs<Key: Archive<Archived: Deserialize<M::Key, D>>>,
    W: ArchiveWith<M::Value> + DeserializeWith<<W as ArchiveWith<M::Value>>::Archived, M::Value, D>,
    D: Fallible + ?Sized,
{
    fn deserialize_with(
        archived: &ArchivedVec<ArchivedPair<M::Key, M::Value, W>>,
        deserializer: &mut D,
    ) -> Result<M, D::Error> {
        let pairs = archived.as_slice().iter().map(|pair| {
            let key = pair.0.deserialize(deserializer)?;
            Ok((key, W::deserialize_with(&pair.1, deserializer)?))
        });
        pairs.collect()
    }
}

impl<M, W> FieldAs<M> for AsMap<W>
where
    M: Pairs<Key: MapKey>,
    W: FieldAs<M::Value>,
{
    fn schema(describer: &mut Describer) -> Schema {
        const { assert_sized::<(M::Key, With<M::Value, W>)>() };
        let key = Box::new(M::Key::schema(describer));
        Schema::Map {
            key,
            value: Box::new(W::schema(describer)),
        }
    }
}

/// A key and a value, borrowed from their map.
struct Pair<'a, K, V, W> {
    key: &'a K,
    value: &'a V,
    by: PhantomData<W>,
}

impl<K: Archive, V, W: ArchiveWith<V>> Archive for Pair<'_, K, V, W> {
    type Archived = ArchivedPair<K, V, W>;
    type Resolver = (K::Resolver, W::Resolver);

    fn resolve(&self, (of_key, of_value): Self::Resolver, out: Place<Self::Archived>) {
        munge!(let ArchivedTuple2(key, value) = out);
        self.key.resolve(of_key, key);
        W::resolve_with(self.value, of_value, value);
    }
}

impl<K, V, W, S> Serialize<S> for Pair<'_, K, V, W>
where
    K: Serialize<S>,
    W: SerializeWith<V, S>,
    S: Fallible + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        let of_key = self.key.serialize(serializer)?;
        Ok((of_key, W::serialize_with(self.value, serializer)?))
    }
}
