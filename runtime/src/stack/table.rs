//! Which addresses are guards of ours: a question that a signal handler asks, so the answer takes
//! no lock, reads no list that somebody may be changing, and allocates nothing.
//!
//! The table is a fixed array with one word per chunk: its address, with the class in the low
//! bits. It lies in zero-initialised memory, so the part that is not used costs nothing.
//!
//! **Why a reader cannot be misled.** An entry changes from 0 to a chunk when that is mapped, and
//! back to 0 before it is unmapped; the arena unmaps a chunk only when none of its stacks is out.
//! A thread that faults in the guard of its own stack therefore finds the entry in place and
//! constant. For any other address the worst case is a word that has just become 0.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::class::{Class, GUARD_BYTES};

/// A stack in whose guard an address lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct GuardHit {
    /// Lowest address of the guard.
    pub(super) bottom: usize,
    pub(super) class: Class,
}

/// Enters a chunk and returns the number of its entry, or `None` if the table is full.
///
/// Writers are the arena's, under its lock, so a free entry stays free until it is written.
pub(super) fn enter(base: usize, class: Class) -> Option<usize> {
    debug_assert_eq!(base % CLASS_LIMIT, 0, "chunks start at a page");
    // ORDERING: Relaxed, for all writers hold the arena's lock.
    let free = ENTRIES.iter().position(|entry| entry.load(Ordering::Relaxed) == 0)?;
    // ORDERING: Release; pairs with the Acquire in `guard_at`. The word is all there is to
    // publish; the order only keeps it ahead of the `USED` below.
    ENTRIES[free].store(base | class.number(), Ordering::Release);
    // ORDERING: Release; pairs with the Acquire in `guard_at`; the entry is written before the
    // range that covers it grows.
    USED.fetch_max(free + 1, Ordering::Release);
    Some(free)
}

/// Clears an entry. Its chunk must still be mapped, and none of its stacks out.
pub(super) fn clear(entry: usize) {
    // ORDERING: Relaxed; whoever still reads the old word compares addresses and touches nothing.
    ENTRIES[entry].store(0, Ordering::Relaxed);
}

/// Finds the stack in whose guard `address` lies. Safe in a signal handler.
pub(super) fn guard_at(address: usize) -> Option<GuardHit> {
    // ORDERING: Acquire; pairs with the Release in `enter`.
    let used = USED.load(Ordering::Acquire);
    ENTRIES[..used].iter().find_map(|entry| {
        // ORDERING: Acquire; pairs with the Release in `enter`.
        let word = entry.load(Ordering::Acquire);
        if word == 0 {
            return None;
        }
        let class = Class::from_number(word % CLASS_LIMIT);
        let offset = address.checked_sub(word - class.number())?;
        let within = offset % class.stride_bytes();
        (offset < class.chunk_bytes() && within < GUARD_BYTES)
            .then_some(GuardHit { bottom: address - within, class })
    })
}

/// Chunk addresses are multiples of this, classes are below it.
const CLASS_LIMIT: usize = 4096;

/// 131,072 chunks: 33 million default stacks in 8 TiB, and 1 MiB of table if all are used.
const ENTRY_COUNT: usize = 1 << 17;

static ENTRIES: [AtomicUsize; ENTRY_COUNT] = [const { AtomicUsize::new(0) }; ENTRY_COUNT];

/// No entry at or above this number was ever used.
static USED: AtomicUsize = AtomicUsize::new(0);

const _: () = assert!(Class::COUNT <= CLASS_LIMIT);
