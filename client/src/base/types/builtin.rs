//! The gate types of the standard library.

use core::mem::offset_of;

use callgate_layout::schema::{Describer, Primitive, Schema};
use callgate_layout::view::bytes_mut;
use rkyv::Archive;

use super::sealed::Sealed;
use super::{Arguments, Direct, GateType, Plain, plain};

macro_rules! primitives {
    ($($type:ty: $name:ident,)*) => {$(
        impl GateType for $type {
            fn schema(_: &mut Describer) -> Schema {
                Schema::Primitive(Primitive::$name)
            }
        }
        impl Plain for $type {}
    )*};
}

macro_rules! numbers {
    ($($type:ty: $name:ident,)*) => {$(
        impl GateType for $type {
            fn schema(_: &mut Describer) -> Schema {
                Schema::Primitive(Primitive::$name)
            }

            #[inline]
            fn take(archive: &Direct<'_>, at: usize) -> Option<$type> {
                archive.bytes(at).map(<$type>::from_le_bytes)
            }

            #[inline]
            fn take_vector(archive: &Direct<'_>, at: usize) -> Option<Vec<$type>> {
                archive.numbers(at)
            }

            // For reading numbers from words; those of more than one word are only read where a value has nothing
            // else.
            const IS_NUMBER: bool = true;
            const IS_PLAIN: bool = size_of::<$type>() <= 8;

            #[inline]
            fn of_words(words: &[u64], at: usize) -> Option<$type> {
                plain::bytes(words, at).map(<$type>::from_le_bytes)
            }

            #[inline]
            fn many_of_words<const N: usize>(words: &[u64], at: usize) -> Option<[$type; N]> {
                let mut numbers = [0 as $type; N];
                for (index, number) in numbers.iter_mut().enumerate() {
                    *number = Self::of_words(words, at + index * size_of::<$type>())?;
                }
                Some(numbers)
            }

            #[inline]
            fn zero() -> Option<$type> {
                Some(0 as $type)
            }

            #[inline]
            fn bytes_mut(&mut self) -> &mut [u8] {
                bytes_mut(core::slice::from_mut(self))
            }

            #[inline]
            fn zeros<const N: usize>() -> Option<[$type; N]> {
                Some([0 as $type; N])
            }

            #[inline]
            fn bytes_of(numbers: &mut [$type]) -> &mut [u8] {
                bytes_mut(numbers)
            }
        }
        impl Plain for $type {}
    )*};
}

primitives! {
    bool: Bool, char: Char,
}

numbers! {
    f32: F32, f64: F64,
    u8: U8, u16: U16, u32: U32, u64: U64, u128: U128,
    i8: I8, i16: I16, i32: I32, i64: I64, i128: I128,
}

impl GateType for String {
    fn schema(_: &mut Describer) -> Schema {
        Schema::String
    }
}
impl Plain for String {}

impl GateType for () {
    fn schema(_: &mut Describer) -> Schema {
        Schema::Unit
    }
}
impl Plain for () {}

fn boxed<T: GateType>(describer: &mut Describer) -> Box<Schema> {
    Box::new(T::schema(describer))
}

impl<T: GateType> GateType for Option<T> {
    fn schema(describer: &mut Describer) -> Schema {
        Schema::Option(boxed::<T>(describer))
    }
}
impl<T: GateType> Plain for Option<T> {}

impl<T: GateType> GateType for Box<T> {
    fn schema(describer: &mut Describer) -> Schema {
        Schema::Box(boxed::<T>(describer))
    }
}
impl<T: GateType> Plain for Box<T> {}

// Not Plain: if a handler returns a Result, that is its own success or failure.
impl<T: GateType, E: GateType> GateType for Result<T, E> {
    fn schema(describer: &mut Describer) -> Schema {
        Schema::Result {
            ok: boxed::<T>(describer),
            err: boxed::<E>(describer),
        }
    }
}

/// Fails to compile for an element whose archive has no size.
pub(super) const fn assert_sized<T: Archive>() {
    assert!(
        size_of::<T::Archived>() != 0,
        "elements of a Vec, an array or a SortedMap must have a size: a forged archive could claim billions of them"
    );
}

impl<T: GateType> GateType for Vec<T> {
    fn schema(describer: &mut Describer) -> Schema {
        const { assert_sized::<T>() };
        Schema::Vec(boxed::<T>(describer))
    }

    #[inline]
    fn take(archive: &Direct<'_>, at: usize) -> Option<Vec<T>> {
        T::take_vector(archive, at)
    }
}
impl<T: GateType> Plain for Vec<T> {}

impl<T: GateType, const N: usize> GateType for [T; N] {
    fn schema(describer: &mut Describer) -> Schema {
        const { assert_sized::<T>() };
        Schema::Array {
            element: boxed::<T>(describer),
            length: N as u64,
        }
    }

    const IS_PLAIN: bool = T::IS_NUMBER && T::IS_PLAIN;

    #[inline]
    fn of_words(words: &[u64], at: usize) -> Option<Self> {
        T::many_of_words(words, at)
    }

    #[inline]
    fn zero() -> Option<Self> {
        T::zeros()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        T::bytes_of(self)
    }
}
impl<T: GateType, const N: usize> Plain for [T; N] {}

macro_rules! tuples {
    ($(($($T:ident $index:tt),+))*) => {$(
        impl<$($T: GateType),+> GateType for ($($T,)+) {
            fn schema(describer: &mut Describer) -> Schema {
                Schema::Tuple(vec![$($T::schema(describer)),+])
            }

            #[inline]
            fn take(archive: &Direct<'_>, at: usize) -> Option<Self> {
                Some(($(
                    $T::take(archive, at + offset_of!(<Self as Archive>::Archived, $index))?,
                )+))
            }

            const IS_PLAIN: bool = $($T::IS_PLAIN)&&+;

            #[inline]
            fn of_words(words: &[u64], at: usize) -> Option<Self> {
                Some(($(
                    $T::of_words(words, at + offset_of!(<Self as Archive>::Archived, $index))?,
                )+))
            }
        }
        impl<$($T: GateType),+> Plain for ($($T,)+) {}
        impl<$($T: GateType),+> Sealed for ($($T,)+) {}
        impl<$($T: GateType),+> Arguments for ($($T,)+) {
            fn schemas(describer: &mut Describer) -> Vec<Schema> {
                vec![$($T::schema(describer)),+]
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

impl Sealed for () {}
impl Arguments for () {
    fn schemas(_: &mut Describer) -> Vec<Schema> {
        Vec::new()
    }
}
