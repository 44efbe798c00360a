//! Maps and sets.

use core::hash::{BuildHasher, Hash};
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, btree_map};

use callgate_layout::buffer::Buffer;

use super::compound::grow;
use super::fault::{Fault, Result, Why, excerpt};
use super::numbers::Literal;
use super::objects::twice;
use super::scalars::only_char;
use super::{JsonType, Reader, Writer};

/// The bytes that a map needs for an entry besides its key and value. A tree may have room for eleven entries and
/// hold one.
const ENTRY: usize = 64;

/// A type whose values can be the names of an object's members.
pub trait JsonKey: Sized {
    /// Appends the value as a name.
    fn write_key(&self, writer: &mut Writer<'_>) -> Result<()>;

    /// Reads the value from a name.
    fn of_key(name: &str) -> Option<Self>;

    /// What a name has to be, for errors.
    const EXPECTED: &'static str;
}

macro_rules! keys {
    ($($type:ident: $of:expr;)*) => {$(
        impl JsonKey for $type {
            fn write_key(&self, writer: &mut Writer<'_>) -> Result<()> {
                writer.put("\"")?;
                self.write(writer)?;
                writer.put("\"")
            }

            fn of_key(name: &str) -> Option<$type> {
                $of(name)
            }

            const EXPECTED: &'static str = stringify!($type);
        }
    )*};
}

keys! {
    bool: |name: &str| name.parse().ok();
    u8: integer; u16: integer; u32: integer; u64: integer;
    i8: integer; i16: integer; i32: integer; i64: integer;
}

/// Reads an integer from a name that is exactly a JSON number.
fn integer<T: Literal>(name: &str) -> Option<T> {
    let mut reader = Reader::of_text(name);
    let literal = reader.literal().ok()?;
    (literal.len() == name.len()).then(|| T::of_literal(literal))?
}

impl JsonKey for String {
    fn write_key(&self, writer: &mut Writer<'_>) -> Result<()> {
        self.write(writer)
    }

    fn of_key(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    const EXPECTED: &'static str = "String";
}

impl JsonKey for char {
    fn write_key(&self, writer: &mut Writer<'_>) -> Result<()> {
        self.write(writer)
    }

    fn of_key(name: &str) -> Option<char> {
        only_char(name)
    }

    const EXPECTED: &'static str = "char";
}

/// Writes a map as an object, in the order in which `pairs` yields.
pub(crate) fn write_pairs<'t, K: JsonKey + 't, V: JsonType + 't>(
    pairs: impl Iterator<Item = (&'t K, &'t V)>,
    writer: &mut Writer<'_>,
) -> Result<()> {
    writer.open("{")?;
    for (index, (key, value)) in pairs.enumerate() {
        if index > 0 {
            writer.put(",")?;
        }
        key.write_key(writer)?;
        writer.put(":")?;
        let outcome = value.write(writer);
        outcome.map_err(|fault| fault.under(&name_of(key)))?;
    }
    writer.close("}")
}

/// A key as a text, for errors.
#[cold]
fn name_of<K: JsonKey>(key: &K) -> String {
    let mut buffer = Buffer::new();
    let mut writer = Writer::new(&mut buffer, None, usize::MAX);
    let outcome = key.write_key(&mut writer);
    let name = outcome.and_then(|()| Reader::new(&buffer)?.string().map(Cow::into_owned));
    name.unwrap_or_default()
}

/// Reads the pairs of a map one by one; `insert` returns whether the key was new.
pub(crate) fn read_pairs<K: JsonKey, V: JsonType>(
    reader: &mut Reader<'_>,
    mut insert: impl FnMut(K, V) -> Result<bool>,
) -> Result<()> {
    reader.open_object("an object")?;
    let mut is_first = true;
    while let Some(name) = reader.member(is_first)? {
        is_first = false;
        let wrong = || Fault::mismatch(format!("{} as a key", K::EXPECTED), excerpt(&name));
        let key = K::of_key(&name).ok_or_else(wrong)?;
        reader.hold(ENTRY + size_of::<(K, V)>())?;
        let value = V::read(reader).map_err(|fault| fault.under(&name))?;
        if !insert(key, value)? {
            return Err(twice(&name));
        }
    }
    Ok(())
}

/// The elements in their order, so that equal sets have equal texts.
fn sorted<T>(items: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    let reserved = all.try_reserve_exact(items.len());
    reserved.map_err(|_| Fault::new(Why::OutOfMemory(items.len())))?;
    all.extend(items);
    Ok(all)
}

impl<K, V, S> JsonType for HashMap<K, V, S>
where
    K: JsonKey + Ord + Hash,
    V: JsonType,
    S: BuildHasher + Default,
{
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        let mut pairs = sorted(self.iter())?;
        pairs.sort_unstable_by(|a, b| a.0.cmp(b.0));
        write_pairs(pairs.into_iter(), writer)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut map = HashMap::with_hasher(S::default());
        read_pairs(reader, |key, value| {
            let reserved = map.try_reserve(1);
            reserved.map_err(|_| Fault::new(Why::OutOfMemory(map.len())))?;
            Ok(match map.entry(key) {
                Entry::Occupied(_) => false,
                Entry::Vacant(entry) => {
                    entry.insert(value);
                    true
                }
            })
        })?;
        Ok(map)
    }
}

impl<K: JsonKey + Ord, V: JsonType> JsonType for BTreeMap<K, V> {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        write_pairs(self.iter(), writer)
    }

    fn read(reader: &mut Reader<'_>) -> Result<BTreeMap<K, V>> {
        let mut map = BTreeMap::new();
        read_pairs(reader, |key, value| {
            Ok(match map.entry(key) {
                btree_map::Entry::Occupied(_) => false,
                btree_map::Entry::Vacant(entry) => {
                    entry.insert(value);
                    true
                }
            })
        })?;
        Ok(map)
    }
}

/// Reads the elements of a set; `insert` returns whether the element was new.
fn read_set<T: JsonType>(
    reader: &mut Reader<'_>,
    mut insert: impl FnMut(T) -> Result<bool>,
) -> Result<()> {
    reader.open_array("a list")?;
    let mut index = 0;
    while reader.has_element(index)? {
        let element = T::read(reader).map_err(|fault| fault.at(index))?;
        reader.hold(ENTRY + size_of::<T>())?;
        if !insert(element)? {
            return Err(Fault::mismatch("another element", "one that was there").at(index));
        }
        index += 1;
    }
    Ok(())
}

impl<T, S> JsonType for HashSet<T, S>
where
    T: JsonType + Ord + Hash,
    S: BuildHasher + Default,
{
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        let mut elements = sorted(self.iter())?;
        elements.sort_unstable();
        writer.list(elements.into_iter())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut set = HashSet::with_hasher(S::default());
        read_set(reader, |element| {
            let reserved = set.try_reserve(1);
            reserved.map_err(|_| Fault::new(Why::OutOfMemory(set.len())))?;
            Ok(set.insert(element))
        })?;
        Ok(set)
    }
}

impl<T: JsonType + Ord> JsonType for BTreeSet<T> {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        writer.list(self.iter())
    }

    fn read(reader: &mut Reader<'_>) -> Result<BTreeSet<T>> {
        let mut set = BTreeSet::new();
        read_set(reader, |element| Ok(set.insert(element)))?;
        Ok(set)
    }
}

/// Reads pairs in the order in which they come. No two may have the same key.
pub(crate) fn read_sorted<K: JsonKey + Ord, V: JsonType>(
    reader: &mut Reader<'_>,
) -> Result<Vec<(K, V)>> {
    let mut pairs: Vec<(K, V)> = Vec::new();
    read_pairs(reader, |key, value| {
        grow(&mut pairs)?;
        pairs.push((key, value));
        Ok(true)
    })?;
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    match pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(twice(&name_of(&pair[0].0))),
        None => Ok(pairs),
    }
}
