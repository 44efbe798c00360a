//! Copying long payloads at the speed of memory.
//!
//! A loop over atomic words is slower than `rep movsb`, because compilers do not widen atomic accesses. The
//! instruction pays only for long payloads, because it takes a while to start, and only on processors that copy
//! strings of bytes in large pieces.

use core::arch::asm;
use core::arch::x86_64::__m128i;

/// From this length on, the processor's instruction copies out of shared memory.
pub(super) const MIN_OUT: usize = 512;
/// The same for copying into shared memory, where the loop is as fast up to a greater length.
pub(super) const MIN_IN: usize = 256 << 10;

/// Whether the processor copies strings of bytes in large pieces.
#[inline]
pub(super) fn is_fast() -> bool {
    std::arch::is_x86_feature_detected!("ermsb")
}

/// Copies `len` bytes.
///
/// The compiler sees unknown code, which does what a loop over the bytes would do that loads each byte by a relaxed
/// atomic load and stores it by a relaxed atomic store: the processor promises that the bytes are copied one by one,
/// each of them whole, in an order of its own. Memory accesses before and after the block stay where they are. The
/// block declares that it reads and writes memory, so the compiler moves none across it. The processor makes every
/// later store visible after the stores of the string instruction, and does its loads after earlier loads and before
/// later ones (Intel's manual, volume 3, "Memory Ordering": only the *stores* of string instructions are an exception
/// to the order of ordinary memory, and only among themselves).
///
/// # Safety
///
/// During the call, `len` bytes from `from` on are mapped for reading and `len` bytes from `to` on for writing, and
/// the two do not overlap. No thread of this process writes the bytes that are read, except by atomics of one byte,
/// and none reads or writes those that are written. What another process does with either does not matter: no byte's
/// value is assumed, and each is loaded once.
#[inline]
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the instruction reads `len` bytes at `from` and writes as many at `to`; the caller guarantees that it
    // may. It changes the three registers that are named and no flags. The direction flag is clear, as it is wherever
    // Rust code runs. The stack is not touched.
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
/// The compiler sees unknown code, as in [`copy`], which does what relaxed atomic loads of the bytes would do. To the
/// processor it is an ordinary load, in order with those before and after it.
///
/// # Safety
///
/// Sixteen bytes from `from` on are mapped for reading. No thread of this process writes them except by atomics.
#[inline(always)]
pub(super) unsafe fn load_sixteen(from: *const u8) -> [u8; 16] {
    let piece: __m128i;
    // SAFETY: the instruction reads sixteen bytes at `from`, aligned or not; the caller guarantees that it may. It
    // changes the register that is named and no flags. The stack is not touched.
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
/// Sixteen bytes from `to` on are mapped for writing, and are not private memory behind a reference. No thread of
/// this process accesses them meanwhile except by atomics.
#[inline(always)]
pub(super) unsafe fn store_sixteen(to: *mut u8, bytes: &[u8; 16]) {
    // SAFETY: the instructions read `bytes` and write as many bytes at `to`, aligned or not; the caller guarantees
    // that they may. They change the register that is named and no flags. The stack is not touched.
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
