//! Which types are copied out of shared memory as they are.

/// A number of fixed width.
///
/// # Safety
///
/// Whatever stands in its bytes is a value of the type, and all of them belong to the value.
pub unsafe trait Number: Copy {}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        // SAFETY: integers and floats of fixed width have no padding and no invalid values.
        unsafe impl Number for $type {}
    )*};
}

numbers! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 }
