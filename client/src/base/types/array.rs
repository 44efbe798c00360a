//! The JSON form of arrays of any length, which serde itself has only up to 32 elements.
//!
//! The attribute macro names these two functions at fields that are arrays.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};

/// Writes an array as a list of its elements.
pub fn serialize<S, T, const N: usize>(array: &[T; N], serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: Serialize,
{
    let mut tuple = serializer.serialize_tuple(N)?;
    for element in array {
        tuple.serialize_element(element)?;
    }
    tuple.end()
}

/// Reads an array from a list with as many elements.
pub fn deserialize<'de, D, T, const N: usize>(deserializer: D) -> Result<[T; N], D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_tuple(N, Elements(PhantomData))
}

struct Elements<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Elements<T, N> {
    type Value = [T; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {N} elements")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<[T; N], S::Error> {
        let mut elements = Vec::with_capacity(N.min(4096));
        while elements.len() < N {
            let missing = || S::Error::invalid_length(elements.len(), &self);
            let element = list.next_element()?.ok_or_else(missing)?;
            elements.push(element);
        }
        let length = elements.len();
        elements
            .try_into()
            .map_err(|_| S::Error::invalid_length(length, &"as many elements as the array"))
    }
}
