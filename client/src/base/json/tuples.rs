//! Tuples, and the parameters of a gate, which are a tuple.

use super::fault::{Fault, Result};
use super::{JsonType, Reader, Writer};

/// The parameters of a gate as JSON: an array, `[]` for none.
pub trait Parameters: JsonType {
    /// The number of parameters.
    const COUNT: usize;

    /// The fault of null for a parameter that does not allow it; `None` if it does.
    fn fault_of_null(index: usize) -> Option<Fault>;
}

fn fault_of_null<T: JsonType>() -> Option<Fault> {
    let fault = T::read(&mut Reader::of_text("null")).err();
    fault.filter(Fault::is_null)
}

/// A tuple or a tuple struct that is being read.
#[derive(Debug)]
pub struct Tuple<'a> {
    /// A reader at its beginning.
    start: Reader<'a>,
    count: usize,
    read: usize,
}

impl<'a> Reader<'a> {
    /// Begins a tuple of `count` elements.
    #[inline]
    pub fn tuple(&mut self, count: usize) -> Result<Tuple<'a>> {
        let start = self.clone();
        self.open_array("a list")?;
        Ok(Tuple {
            start,
            count,
            read: 0,
        })
    }

    /// Reads its next element.
    #[inline]
    pub fn element<T: JsonType>(&mut self, tuple: &mut Tuple<'a>) -> Result<T> {
        self.element_by(tuple, T::read)
    }

    /// Reads its next element by a function.
    #[inline]
    pub fn element_by<T>(
        &mut self,
        tuple: &mut Tuple<'a>,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let index = tuple.read;
        if !self.has_element(index)? {
            return Err(tuple.start.clone().wrong_count(tuple.count));
        }
        tuple.read += 1;
        read(self).map_err(|fault| fault.at(index))
    }

    /// Ends the tuple; fails if there are more elements.
    #[inline]
    pub fn end_tuple(&mut self, tuple: &mut Tuple<'a>) -> Result<()> {
        match self.has_element(tuple.read)? {
            true => Err(tuple.start.clone().wrong_count(tuple.count)),
            false => Ok(()),
        }
    }
}

macro_rules! tuples {
    ($($count:literal ($($T:ident $index:tt),+))*) => {$(
        impl<$($T: JsonType),+> JsonType for ($($T,)+) {
            #[inline]
            fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
                writer.open("[")?;
                $(writer.element($index, &self.$index)?;)+
                writer.close("]")
            }

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Result<Self> {
                let mut tuple = reader.tuple($count)?;
                let value = ($(reader.element::<$T>(&mut tuple)?,)+);
                reader.end_tuple(&mut tuple)?;
                Ok(value)
            }
        }

        impl<$($T: JsonType),+> Parameters for ($($T,)+) {
            const COUNT: usize = $count;

            fn fault_of_null(index: usize) -> Option<Fault> {
                match index {
                    $($index => fault_of_null::<$T>(),)+
                    _ => None,
                }
            }
        }
    )*};
}

tuples! {
    1 (A 0)
    2 (A 0, B 1)
    3 (A 0, B 1, C 2)
    4 (A 0, B 1, C 2, D 3)
    5 (A 0, B 1, C 2, D 3, E 4)
    6 (A 0, B 1, C 2, D 3, E 4, F 5)
    7 (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    8 (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

impl Parameters for () {
    const COUNT: usize = 0;

    fn fault_of_null(_: usize) -> Option<Fault> {
        None
    }
}
