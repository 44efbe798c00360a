//! The gate types that Rust brings along.

use callgate_layout::schema::{Describer, Primitive, Schema};
use rkyv::Archive;

use super::sealed::Sealed;
use super::{Arguments, GateType, Plain, schema_of};

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

primitives! {
    bool: Bool, char: Char, f32: F32, f64: F64,
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

// Not Plain: a handler's Result is its own success or failure.
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
}
impl<T: GateType, const N: usize> Plain for [T; N] {}

macro_rules! tuples {
    ($(($($T:ident),+))*) => {$(
        impl<$($T: GateType),+> GateType for ($($T,)+) {
            fn schema(describer: &mut Describer) -> Schema {
                Schema::Tuple(vec![$($T::schema(describer)),+])
            }
        }
        impl<$($T: GateType),+> Plain for ($($T,)+) {}
        impl<$($T: GateType),+> Sealed for ($($T,)+) {}
        impl<$($T: GateType),+> Arguments for ($($T,)+) {
            fn schemas() -> Vec<Schema> {
                vec![$(schema_of::<$T>()),+]
            }
        }
    )*};
}

tuples! {
    (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F)
    (A, B, C, D, E, F, G) (A, B, C, D, E, F, G, H)
}

impl Sealed for () {}
impl Arguments for () {
    fn schemas() -> Vec<Schema> {
        Vec::new()
    }
}
