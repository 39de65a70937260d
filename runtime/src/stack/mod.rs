//! Guarded stacks that nobody has to size: a million of them, cheap to take, and given back to the
//! kernel when they are no longer needed.
//!
//! A stack is a *slot* in a *chunk* of reserved address space. Its class says how large it is;
//! memory is used only where a stack was touched. From the kernel down to a green thread:
//!
//! ```text
//!   map_reserve ──▶ chunk ──(1)──▶ slot, free in the arena ──(2)──▶ slot in a worker's pool
//!                     ▲                     ▲    │ (6)                      │   ▲
//!                     └────────(7)──────────┘    └▶ pages discarded     (3) │   │ (4)
//!                                           ▲                               ▼   │
//!                                           └───────────(5)───────────────  Stack
//!   (1) arena grows by one chunk          (2) Pool::take refills, a batch at a time
//!   (3) Pool::take, guards on first use   (4) Pool::give
//!   (5) drop of a Stack; Pool::give of a surplus batch; drop of a Pool
//!   (6) Pool::on_idle, drop of a Pool     (7) drop of a Pool, or want of address space
//! ```
//!
//! One slot, addresses rising to the right; a green thread's frames grow to the left:
//!
//! ```text
//!   bottom          limit                                                    base
//!   │ guard, 64 KiB │ usable ......................................... frames │ next slot's guard
//! ```
//!
//! A stack must never be reused or discarded while a suspended frame lies on it: whoever owns the
//! `Stack` value decides that, and leaks the value by `mem::forget` where a frame has to stay.

use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;

mod arena;
mod class;
mod guard;
pub(crate) mod overflow;
mod pool;
mod slots;
mod table;

pub(crate) use class::{Class, GUARD_BYTES};
pub(crate) use guard::force_mprotect_guards;
pub(crate) use pool::{Pool, live_stacks, pooled_stacks};

/// Owns one guarded stack; a drop gives it back to the arena.
///
/// `Pool::give` is the cheap way back. To leak a stack that a suspended frame still needs, use
/// `mem::forget`: its chunk then stays mapped for the life of the process.
#[derive(Debug)]
pub(crate) struct Stack(Slot);

impl Stack {
    /// Returns the highest address, where the first frame starts: a multiple of the page size.
    pub(crate) fn base(&self) -> usize {
        self.0.base()
    }

    /// Returns the lowest address that may be used.
    pub(crate) fn limit(&self) -> usize {
        self.0.limit()
    }

    /// Returns the lowest address of the guard below the limit.
    pub(crate) fn bottom(&self) -> usize {
        self.0.bottom()
    }

    /// Returns the class, which knows the size.
    pub(crate) fn class(&self) -> Class {
        self.0.class()
    }

    /// Returns this stack's number in its class, constant as long as its chunk stays mapped.
    pub(crate) fn index(&self) -> usize {
        self.0.index()
    }

    fn into_slot(self) -> Slot {
        ManuallyDrop::new(self).0
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        arena::give(&[self.0]);
    }
}

/// Returns how far below its base the first frame of the `number`th stack should start: 0 to 960,
/// in steps of 64.
///
/// All bases are multiples of the stride, so the hot ends of all stacks would compete for the
/// same few cache sets. Spreading them over sixteen lines makes switching among few threads
/// 2 to 3 times faster; 7919 is a prime that takes neighbours far apart.
pub(crate) fn colour_bytes(number: usize) -> usize {
    (number % 16 * 7919 % 16) * 64
}

/// A stack's place and what is known about its memory; plain data, owned by whoever holds it.
///
/// Two words, the second packed by hand: as a structure of small fields it is written in pieces
/// and read as a whole, and the processor waits for that at each step between pool and fiber.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Lowest address. The niche lets `io::Result<Stack>` be two words as well.
    bottom: NonZeroUsize,
    /// Bits 16 to 47: number in the class. Bits 8 to 15: class. Bits 0 and 1: flags.
    rest: u64,
}

impl Slot {
    fn new(bottom: usize, index: usize, class: Class) -> Slot {
        let bottom = NonZeroUsize::new(bottom).expect("the kernel maps nothing at address 0");
        Slot { bottom, rest: (index as u64) << 16 | (class.number() as u64) << 8 }
    }

    fn bottom(&self) -> usize {
        self.bottom.get()
    }

    fn index(&self) -> usize {
        (self.rest >> 16) as usize
    }

    fn class(&self) -> Class {
        Class::from_number((self.rest >> 8 & 0xff) as usize)
    }

    /// Whether the guard is installed. It is on the first use, and stays for the chunk's life.
    fn is_guarded(&self) -> bool {
        self.rest & GUARDED != 0
    }

    /// Whether pages may be resident: the stack was handed out since they were last discarded.
    fn is_touched(&self) -> bool {
        self.rest & TOUCHED != 0
    }

    /// Returns the slot with `flag` set or not.
    fn with(self, flag: u64, set: bool) -> Slot {
        let rest = if set { self.rest | flag } else { self.rest & !flag };
        Slot { rest, ..self }
    }

    fn base(&self) -> usize {
        self.bottom() + self.class().stride_bytes()
    }

    fn limit(&self) -> usize {
        self.bottom() + GUARD_BYTES
    }

    /// Discards all pages above the guard.
    ///
    /// Locked memory (`mlockall`) refuses; its owner wanted the pages to stay, so they stay.
    ///
    /// # Safety
    ///
    /// S1: no frame lies on the stack: it belongs to the caller, who runs nothing on it.
    unsafe fn discard(&self) {
        let (address, len) = self.below(0);
        // SAFETY: S1: limit to base lie in the slot, hence in its chunk's mapping. S2: our S1.
        let _ = unsafe { crate::os::discard(address, len) };
    }

    /// The range between the limit and `keep_bytes` below the base.
    fn below(&self, keep_bytes: usize) -> (*mut u8, usize) {
        (self.limit() as *mut u8, self.class().usable_bytes() - keep_bytes)
    }
}

/// Flags of a [`Slot`].
const GUARDED: u64 = 1;
const TOUCHED: u64 = 2;

#[cfg(test)]
mod tests;
