//! Values that may be absent, results, boxes, lists and arrays.

use super::fault::{Fault, Result, Why};
use super::{JsonType, Reader, Writer};

impl<T: JsonType> JsonType for Option<T> {
    #[inline]
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        let Some(value) = self else {
            return writer.put("null");
        };
        let start = writer.len();
        value.write(writer)?;
        match writer.since(start) {
            b"null" => Err(Fault::mismatch("None", "Some of what is null in JSON")),
            _ => Ok(()),
        }
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Option<T>> {
        match reader.next() {
            Some(b'n') => reader.word("null").map(|()| None),
            _ => T::read(reader).map(Some),
        }
    }

    fn missing() -> Option<Option<T>> {
        Some(None)
    }
}

impl<T: JsonType> JsonType for Box<T> {
    #[inline]
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        T::write(self, writer)
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Box<T>> {
        reader.hold(size_of::<T>())?;
        T::read(reader).map(Box::new)
    }
}

const OUTCOMES: [&str; 2] = ["Ok", "Err"];

impl<T: JsonType, E: JsonType> JsonType for core::result::Result<T, E> {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        match self {
            Ok(value) => {
                writer.open("{")?;
                writer.field("\"Ok\":", OUTCOMES[0], value)?;
            }
            Err(error) => {
                writer.open("{")?;
                writer.field("\"Err\":", OUTCOMES[1], error)?;
            }
        }
        writer.close("}")
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let variant = reader.variant("Result", &OUTCOMES)?;
        let outcome = match variant.index() {
            0 => Ok(reader.content(&variant)?),
            _ => Err(reader.content(&variant)?),
        };
        reader.end_variant(&variant)?;
        Ok(outcome)
    }
}

impl<T: JsonType> JsonType for Vec<T> {
    #[inline]
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        T::write_list(self, writer)
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<Vec<T>> {
        T::read_list(reader)
    }
}

impl Reader<'_> {
    /// Reads a list, one element after the other.
    #[inline]
    pub(super) fn list<T: JsonType>(&mut self) -> Result<Vec<T>> {
        self.open_array("a list")?;
        let mut elements = Vec::new();
        while self.has_element(elements.len())? {
            push(&mut elements, self)?;
        }
        Ok(elements)
    }
}

/// Reads an element and appends it; fails if there is no memory for it.
#[inline]
pub(super) fn push<T: JsonType>(elements: &mut Vec<T>, reader: &mut Reader<'_>) -> Result<()> {
    let element = T::read(reader).map_err(|fault| fault.at(elements.len()))?;
    reader.hold(size_of::<T>())?;
    grow(elements)?;
    elements.push(element);
    Ok(())
}

/// Makes room for another element.
#[inline]
pub(super) fn grow<T>(elements: &mut Vec<T>) -> Result<()> {
    if elements.len() < elements.capacity() {
        return Ok(());
    }
    let reserved = elements.try_reserve(1);
    let size = size_of::<T>().saturating_mul(elements.len());
    reserved.map_err(|_| Fault::new(Why::OutOfMemory(size)))
}

impl<T: JsonType, const N: usize> JsonType for [T; N] {
    #[inline]
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        T::write_list(self, writer)
    }

    fn read(reader: &mut Reader<'_>) -> Result<[T; N]> {
        let start = reader.clone();
        reader.open_array("a list")?;
        // Memory is not reserved for all of it at once: a peer may have sent less.
        let mut elements = Vec::new();
        while reader.has_element(elements.len())? {
            if elements.len() == N {
                return Err(start.wrong_count(N));
            }
            push(&mut elements, reader)?;
        }
        elements.try_into().map_err(|_| start.wrong_count(N))
    }
}
