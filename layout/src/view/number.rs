//! The types of numbers that are copied out of shared memory unchanged.

/// A number of fixed width.
///
/// # Safety
///
/// Any bytes are a value of the type, and all of its bytes belong to the value.
pub unsafe trait Number: Copy {}

/// The bytes of some numbers. After any writes to them they are still numbers.
#[inline(always)]
pub fn bytes_mut<T: Number>(numbers: &mut [T]) -> &mut [u8] {
    let len = size_of_val(numbers);
    // SAFETY: the slice is borrowed mutably for as long as the result, and `len` is its size in bytes. All bytes
    // belong to numbers, so they are initialised, and any byte may be written to each of them. A byte has no
    // alignment.
    unsafe { core::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), len) }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        // SAFETY: integers and floats of fixed width have no padding and no invalid values.
        unsafe impl Number for $type {}
    )*};
}

numbers! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 }
