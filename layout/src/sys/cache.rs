//! A hint to the processor about cache lines.

use core::ptr::NonNull;

/// Tells the processor that this core will write two lines from an address on soon. The processor may then take the
/// lines from the other cores already. The hint changes nothing that a program can see. It is left out where the
/// processor does not know it.
#[inline(always)]
pub fn claim_two(address: NonNull<u8>) {
    #[cfg(target_arch = "x86_64")]
    if x86::knows_the_hint() {
        // SAFETY: the processor says that it knows PREFETCHW, which neither reads nor writes as far
        // as a program can tell, and is ignored where an address is not mapped or not writable.
        unsafe {
            core::arch::asm!(
                "prefetchw [{address}]",
                "prefetchw [{address} + {line}]",
                address = in(reg) address.as_ptr(),
                line = const crate::geometry::LINE_LEN,
                options(nostack, preserves_flags)
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::__cpuid;
    use std::sync::OnceLock;

    /// The first extended leaf of CPUID, which names the highest one; and the leaf that has the flag, in bit 8 of
    /// ECX.
    const EXTENDED: u32 = 0x8000_0000;
    const FEATURES: u32 = 0x8000_0001;

    /// Whether the processor has PREFETCHW. The first 64-bit processors do not know it. Some that ignore it do not
    /// say that they know it.
    #[inline(always)]
    pub(super) fn knows_the_hint() -> bool {
        static KNOWS: OnceLock<bool> = OnceLock::new();
        *KNOWS.get_or_init(ask)
    }

    #[cold]
    fn ask() -> bool {
        __cpuid(EXTENDED).eax >= FEATURES && __cpuid(FEATURES).ecx >> 8 & 1 == 1
    }
}
