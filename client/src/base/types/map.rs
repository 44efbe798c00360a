//! The map among the gate types: a vector of pairs, sorted by key.

use core::cmp::Ordering;
use core::fmt;
use core::marker::PhantomData;

use callgate_layout::{Describer, Schema};
use rkyv::rancor::{Fallible, Source};
use rkyv::{Archive, Deserialize, Serialize};
use serde::de::{MapAccess, Visitor};

use super::builtin::assert_sized;
use super::{GateType, Plain};
use crate::base::json::{self, JsonKey, JsonType, Reader, Writer};

/// A type that can be the key of a [`SortedMap`]: JSON can write its values as names of members.
pub trait MapKey: GateType + JsonKey + Ord {}

macro_rules! keys {
    ($($type:ty)*) => {$(impl MapKey for $type {})*};
}
keys!(String char bool u8 u16 u32 u64 i8 i16 i32 i64);

/// A map that is a gate type: sorted pairs, found by binary search, also in the archive.
///
/// Hash maps are no gate types, because a forged archive of one cannot be checked.
///
/// ```
/// use callgate_client::SortedMap;
/// let gains: SortedMap<String, f32> = [("b".to_owned(), 0.5), ("a".to_owned(), 1.0)].into();
/// assert_eq!(gains.get("b"), Some(&0.5));
/// assert_eq!(gains.iter().next(), Some((&"a".to_owned(), &1.0)));
/// ```
#[derive(Archive, Serialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortedMap<K, V> {
    pairs: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        SortedMap { pairs: Vec::new() }
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sorts the pairs; of several with the same key, keeps the last one.
    fn from_pairs(mut pairs: Vec<(K, V)>) -> Self {
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.reverse();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs.dedup_by(|later, kept| later.0 == kept.0);
        }
        SortedMap { pairs }
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: core::borrow::Borrow<Q>,
    {
        self.pairs.binary_search_by(|pair| pair.0.borrow().cmp(key))
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: core::borrow::Borrow<Q>,
    {
        self.find(key).ok().map(|index| &self.pairs[index].1)
    }

    /// Sets the value of a key and returns the one it had. Inserting many pairs one by one is
    /// slow: collect them instead.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(index) => Some(core::mem::replace(&mut self.pairs[index].1, value)),
            Err(index) => {
                self.pairs.insert(index, (key, value));
                None
            }
        }
    }

    /// Removes a key and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: core::borrow::Borrow<Q>,
    {
        self.find(key).ok().map(|index| self.pairs.remove(index).1)
    }
}

impl<K, V> SortedMap<K, V> {
    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.pairs.iter().map(|pair| (&pair.0, &pair.1))
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self::from_pairs(pairs.into_iter().collect())
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.pairs.into_iter()
    }
}

impl<K: Archive, V: Archive> ArchivedSortedMap<K, V> {
    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs, in the order in which the sender wrote them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K::Archived, &V::Archived)> {
        self.pairs.iter().map(|pair| (&pair.0, &pair.1))
    }

    /// The value of a key. If the sender has not sorted its pairs, keys may not be found; nothing worse happens.
    pub fn get<Q: ?Sized>(&self, key: &Q) -> Option<&V::Archived>
    where
        K::Archived: PartialOrd<Q>,
    {
        // Keys always have an order (MapKey); values that cannot be compared are not found.
        let order = |found: &K::Archived| found.partial_cmp(key).unwrap_or(Ordering::Less);
        let pairs = self.pairs.as_slice();
        let index = pairs.binary_search_by(|pair| order(&pair.0)).ok()?;
        pairs.get(index).map(|pair| &pair.1)
    }
}

// Written by hand, so that pairs which a peer did not sort are sorted before they become a SortedMap.
impl<K, V, D> Deserialize<SortedMap<K, V>, D> for ArchivedSortedMap<K, V>
where
    K: Archive<Archived: Deserialize<K, D>> + Ord,
    V: Archive<Archived: Deserialize<V, D>>,
    D: Fallible<Error: Source> + ?Sized,
{
    fn deserialize(&self, deserializer: &mut D) -> Result<SortedMap<K, V>, D::Error> {
        Ok(SortedMap::from_pairs(self.pairs.deserialize(deserializer)?))
    }
}

impl<K: MapKey, V: GateType> GateType for SortedMap<K, V> {
    fn schema(describer: &mut Describer) -> Schema {
        const { assert_sized::<(K, V)>() };
        let key = Box::new(K::schema(describer));
        Schema::Map {
            key,
            value: Box::new(V::schema(describer)),
        }
    }
}
impl<K: MapKey, V: GateType> Plain for SortedMap<K, V> {}

impl<K: JsonKey + Ord, V: JsonType> JsonType for SortedMap<K, V> {
    fn write(&self, writer: &mut Writer<'_>) -> json::Result<()> {
        json::write_pairs(self.iter(), writer)
    }

    fn read(reader: &mut Reader<'_>) -> json::Result<SortedMap<K, V>> {
        let pairs = json::read_sorted(reader)?;
        Ok(SortedMap { pairs })
    }
}

impl<K: serde::Serialize, V: serde::Serialize> serde::Serialize for SortedMap<K, V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K, V> serde::Deserialize<'de> for SortedMap<K, V>
where
    K: serde::Deserialize<'de> + Ord,
    V: serde::Deserialize<'de>,
{
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for PairsVisitor<K, V>
where
    K: serde::Deserialize<'de> + Ord,
    V: serde::Deserialize<'de>,
{
    type Value = SortedMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_entry()? {
            pairs.push(pair);
        }
        Ok(SortedMap::from_pairs(pairs))
    }
}
