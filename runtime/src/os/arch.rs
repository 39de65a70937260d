//! The two things that the runtime asks of the processor itself: where the stack pointer is, and
//! to fetch a cache line early.
//!
//! Both compile to one instruction. Neither may ever touch memory that can fault: a prefetch is a
//! hint that the processor drops for a bad address.

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("sylvan runs on x86-64 and AArch64; it cannot read this processor's stack pointer");

/// Returns the stack pointer of the caller.
///
/// It is inlined always: in a frame of its own it would name that frame, a few bytes lower.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let address: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction copies a register into `address`; it touches neither memory, stack
    // nor flags, as the options say.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    address
}

/// Asks the processor to bring the cache line at `address` into its nearest cache.
///
/// `address` may be anything, dangling included.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint that never faults, and SSE is part of every x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: `prfm` is a hint that never faults; it changes no register and no flag.
    unsafe {
        core::arch::asm!(
            "prfm pldl1keep, [{}]",
            in(reg) address,
            options(nostack, preserves_flags, readonly)
        );
    }
}
