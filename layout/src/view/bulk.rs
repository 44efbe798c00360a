//! Copying long payloads at the speed of memory.
//!
//! A loop over atomic words reaches a part of what `rep movsb` does, because compilers do not widen
//! atomic accesses. The instruction pays only from some length on, since it takes a while to get
//! going, and only on processors that copy strings of bytes in large pieces.

use core::arch::asm;
use core::arch::x86_64::__m128i;

/// Bytes from which on copying out of shared memory is left to the processor.
pub(super) const MIN_OUT: usize = 512;
/// The same for copying into shared memory, where the loop is as fast for longer.
pub(super) const MIN_IN: usize = 256 << 10;

/// Whether the processor copies strings of bytes in large pieces.
#[inline]
pub(super) fn is_fast() -> bool {
    std::arch::is_x86_feature_detected!("ermsb")
}

/// Copies `len` bytes.
///
/// To the compiler this is code that it does not know, which does what a loop over the bytes would
/// do that loads each one by a relaxed atomic load and stores it by a relaxed atomic store: the
/// processor promises that the bytes are copied one by one, each of them whole, in an order of its
/// own. Memory accesses before and after it stay where they are: the block is said to read and
/// write memory, so the compiler moves none across it, and the processor lets every later store be
/// seen after the stores of the string instruction, and does its loads after earlier loads and before
/// later ones (Intel's manual, volume 3, "Memory Ordering": only the *stores* of string instructions are
/// an exception to the order of ordinary memory, and only among themselves).
///
/// # Safety
///
/// For as long as the call lasts, `len` bytes from `from` on are mapped for reading and `len` bytes
/// from `to` on for writing, and the two do not overlap. No thread of this process writes what is
/// read, unless by atomics of one byte, and none reads or writes what is written. What another
/// process does with either does not matter: nothing is assumed of a byte's value, and it is loaded
/// once.
#[inline]
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the instruction reads `len` bytes at `from` and writes as many at `to`, for which the
    // caller answers; it changes the three registers that are named and no flags; the direction
    // flag is clear, as it is wherever Rust code runs; the stack is not touched.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags)
        );
    }
}

/// Loads sixteen bytes at once.
///
/// To the compiler, as [`copy`]: code that does what relaxed atomic loads of the bytes would. To the processor, an ordinary load, in order with
/// those before and after it.
///
/// # Safety
///
/// Sixteen bytes from `from` on are mapped for reading. No thread of this process writes them but by atomics.
#[inline(always)]
pub(super) unsafe fn load_sixteen(from: *const u8) -> [u8; 16] {
    let piece: __m128i;
    // SAFETY: the instruction reads sixteen bytes at `from`, for which the caller answers, wherever it is aligned. It changes the register
    // that is named and no flags; the stack is not touched.
    unsafe {
        asm!(
            "movups {piece}, [{from}]",
            piece = out(xmm_reg) piece,
            from = in(reg) from,
            options(nostack, preserves_flags)
        );
    }
    // SAFETY: both have sixteen bytes, and any bytes are an array of bytes.
    unsafe { core::mem::transmute(piece) }
}

/// Stores sixteen bytes at once: to the compiler and the processor as [`load_sixteen`], with stores.
///
/// # Safety
///
/// Sixteen bytes from `to` on are mapped for writing, and no reference to private memory. No thread of this process accesses them
/// meanwhile but by atomics.
#[inline(always)]
pub(super) unsafe fn store_sixteen(to: *mut u8, bytes: &[u8; 16]) {
    // SAFETY: the instructions read `bytes` and write as many at `to`, for which the caller answers; neither has to be aligned. They
    // change the register that is named and no flags; the stack is not touched.
    unsafe {
        asm!(
            "movups {piece}, [{from}]",
            "movups [{to}], {piece}",
            piece = out(xmm_reg) _,
            from = in(reg) bytes.as_ptr(),
            to = in(reg) to,
            options(nostack, preserves_flags)
        );
    }
}
