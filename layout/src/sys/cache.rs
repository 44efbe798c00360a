//! A hint about cache lines.

use core::ptr::NonNull;

/// Says that the line at an address will be written by this core soon: the processor may take it
/// away from the others already. It changes nothing that a program can see, and is left out where
/// the processor has no such hint.
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
