//! Blocks and numbers in reserve, one stock per worker, so that a spawn meets no lock and no shared
//! line; and what the numbers of threads say.
//!
//! Ordinary numbers are counted through the process, in batches. A seeded run counts its own
//! threads, for a seed must bring the same numbers back.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::task::blocks::{Block, Cache};

/// One worker's reserve.
pub(crate) struct BlockCache {
    blocks: Cache,
    next_id: Cell<u64>,
    end_id: Cell<u64>,
}

/// How many numbers a worker takes at once from the process-wide counter.
const IDS_PER_BATCH: u64 = 4096;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl BlockCache {
    pub(crate) fn new() -> BlockCache {
        BlockCache { blocks: Cache::new(), next_id: Cell::new(0), end_id: Cell::new(0) }
    }

    /// The cache of a seeded run, whose threads have the numbers from 1 on; see [`seeded_id`].
    pub(crate) fn numbered(run: u32) -> BlockCache {
        let cache = BlockCache::new();
        cache.next_id.set(seeded_id(run, 1).get());
        cache.end_id.set(seeded_id(run, SEEDED_NUMBERS_MAX).get());
        cache
    }

    #[inline]
    pub(crate) fn take(&self) -> Block {
        self.blocks.take()
    }

    /// Takes a block back that was taken on any worker.
    ///
    /// # Safety
    /// S1: as for [`Cache::give`].
    #[inline]
    pub(crate) unsafe fn give(&self, block: Block) {
        // SAFETY: S1 is ours of the same number.
        unsafe { self.blocks.give(block) };
    }

    /// For a worker that is about to sleep; see [`Cache::rest`].
    pub(crate) fn rest(&self) {
        self.blocks.rest();
    }

    #[inline]
    pub(crate) fn next_id(&self) -> NonZeroU64 {
        if self.next_id.get() == self.end_id.get() {
            self.take_ids();
        }
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        NonZeroU64::new(id).expect("the counter starts at 1")
    }

    #[cold]
    fn take_ids(&self) {
        // ORDERING: Relaxed; only uniqueness matters.
        let first = NEXT_ID.fetch_add(IDS_PER_BATCH, Ordering::Relaxed);
        self.next_id.set(first);
        self.end_id.set(first + IDS_PER_BATCH);
    }
}

/// The number of a seeded run's thread. Bit 63 tells it from ordinary numbers, the run makes it
/// unique in the process, and what people are shown is the low half, which is the same each time
/// that the seed is run.
pub(crate) fn seeded_id(run: u32, number: u32) -> NonZeroU64 {
    let id = SEEDED | u64::from(run) << 32 | u64::from(number);
    NonZeroU64::new(id).expect("bit 63 is set")
}

/// What people are shown of an id.
pub(crate) fn shown_number(id: NonZeroU64) -> u64 {
    if id.get() & SEEDED == 0 { id.get() } else { id.get() & u64::from(u32::MAX) }
}

/// Which seeded run a thread belongs to; `None`: to none.
pub(crate) fn seeded_run(id: NonZeroU64) -> Option<u32> {
    (id.get() & SEEDED != 0).then_some((id.get() >> 32) as u32 & (u32::MAX >> 1))
}

const SEEDED: u64 = 1 << 63;
/// Numbers below it are a seeded run's own; those from it on are given to what others spawn there.
pub(crate) const SEEDED_NUMBERS_MAX: u32 = 1 << 31;

/// A number for a thread that no worker spawns.
pub(crate) fn single_id() -> NonZeroU64 {
    // ORDERING: Relaxed; only uniqueness matters.
    NonZeroU64::new(NEXT_ID.fetch_add(1, Ordering::Relaxed)).expect("the counter starts at 1")
}
