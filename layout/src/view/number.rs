//! Which types are copied out of shared memory as they are.

/// A number of fixed width.
///
/// # Safety
///
/// Whatever stands in its bytes is a value of the type, and all of them belong to the value.
pub unsafe trait Number: Copy {}

/// The bytes of some numbers: whatever is written there, they are numbers afterwards.
#[inline(always)]
pub fn bytes_mut<T: Number>(numbers: &mut [T]) -> &mut [u8] {
    let len = size_of_val(numbers);
    // SAFETY: the slice is borrowed mutably for as long as what is returned, and `len` is how many bytes it takes. All of them
    // belong to numbers, so they are initialised, and any byte may be written to each of them. A byte has no alignment.
    unsafe { core::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), len) }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        // SAFETY: integers and floats of fixed width have no padding and no invalid values.
        unsafe impl Number for $type {}
    )*};
}

numbers! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 }
