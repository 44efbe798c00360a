//! Hints about cache lines. They change nothing that a program can see, and are left out where the
//! processor has no such hint.

use core::ptr::NonNull;

/// Says that the line at an address will be read by another core next, and not by this one: the
/// processor may move it to the cache that they share, where the other finds it sooner.
#[inline(always)]
pub fn demote(address: NonNull<u8>) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: CLDEMOTE neither reads nor writes as far as a program can tell and raises no
    // exception, whatever the address. Processors that do not know it execute it as a NOP (its
    // encoding is one of the reserved ones), so it needs no check.
    unsafe {
        core::arch::asm!(
            "cldemote [{address}]",
            address = in(reg) address.as_ptr(),
            options(nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Says that the line at an address will be written by this core soon: the processor may take it
/// away from the others already.
#[inline(always)]
pub fn claim(address: NonNull<u8>) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: PREFETCHW neither reads nor writes as far as a program can tell and raises no
    // exception, whatever the address. Every 64-bit processor executes it, old ones as a NOP.
    unsafe {
        core::arch::asm!(
            "prefetchw [{address}]",
            address = in(reg) address.as_ptr(),
            options(nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
