//! What bounds a thread, and what keeps it from being cut off, in one word.
//!
//! Every wait asks for all of it, and nearly always the answer is that there is nothing: one load.
#![forbid(unsafe_code)]

use std::cell::Cell;

/// HOME-ONLY. The runtime's own shields, counted in the low half, and two flags.
pub(crate) struct Limits(Cell<u32>);

const SHIELDS: u32 = 0xffff;
const BOUNDED: u32 = 1 << 16;
const SHELTERED: u32 = 1 << 17;

impl Limits {
    pub(crate) const fn none() -> Limits {
        Limits(Cell::new(0))
    }

    /// Whether there are none.
    #[inline(always)]
    pub(crate) fn are_none(&self) -> bool {
        self.0.get() == 0
    }

    /// Whether a deadline is in force; see `region`.
    #[inline(always)]
    pub(crate) fn is_bounded(&self) -> bool {
        self.0.get() & BOUNDED != 0
    }

    #[inline(always)]
    pub(crate) fn set_bounded(&self, is: bool) {
        self.set(BOUNDED, is);
    }

    /// Whether a shield region is open, which keeps cancellations of the thread away.
    #[inline(always)]
    pub(crate) fn is_sheltered(&self) -> bool {
        self.0.get() & SHELTERED != 0
    }

    pub(crate) fn set_sheltered(&self, is: bool) {
        self.set(SHELTERED, is);
    }

    #[inline(always)]
    fn set(&self, flag: u32, is: bool) {
        let others = self.0.get() & !flag;
        self.0.set(if is { others | flag } else { others });
    }

    /// Whether a shield of the runtime's own is up: then nothing unwinds the thread.
    #[inline(always)]
    pub(crate) fn is_shielded(&self) -> bool {
        self.0.get() & SHIELDS != 0
    }

    /// Puts one more up. They lie in frames of the runtime's around destructors and waits, so there
    /// are few; should there be 65,536, the process ends.
    pub(crate) fn raise_shield(&self) {
        if self.0.get() & SHIELDS == SHIELDS {
            crate::os::abort_with("more than 65,535 shielded waits lie within each other");
        }
        self.0.set(self.0.get() + 1);
    }

    /// Takes one down that was put up.
    pub(crate) fn lower_shield(&self) {
        debug_assert!(self.is_shielded(), "as many are taken down as were put up");
        self.0.set(self.0.get() - 1);
    }
}
