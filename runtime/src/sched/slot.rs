//! The place where `join(a, b)` leaves `b` for a thief, and where the two settle who runs it.
//!
//! The closure of `b` lies in the frame of `join`, which cannot be published: an entry in a deque
//! may be found after the frame has gone. So the entry names a slot. Slots are never given back
//! to the allocator while the process has workers that could know them; a slot is reused when
//! nobody knows it any more.
//!
//! ```text
//!        claim by thief            finish
//!   OPEN ──────────────▶ TAKEN ─────────────────▶ DONE ──▶ OPEN (owner)
//!    │                     │ announce wait          ▲
//!    │ claim by owner      ▼                        │ finish + wake
//!    │                   AWAITED ───────────────────┘
//!    ▼
//!   TOMBSTONE ──▶ OPEN   (whoever takes the entry out of the deque)
//! ```
//!
//! A slot is OPEN while it lies in a cache and while it is offered: nobody can claim what no entry
//! names. So an offer that its owner takes back by popping the entry, as nearly all are, never
//! changes the word; what the slot says is published by the deque, together with the entry.
//!
//! Who frees: the owner, if it popped its own entry or saw DONE (then the thief had taken the
//! entry out); whoever takes a tombstone out of a deque otherwise. So an entry in a deque always
//! names a slot that still knows it, and no generation number is needed.
//!
//! The thief touches the frame of `join` only between its claim and `finish`; `finish` reads what
//! it needs for the wake before its last change of the word.

#[cfg(all(loom, test))]
mod models;

use std::any::Any;
use std::ptr;

use crate::primitives::{AtomicU64, AtomicUsize, Cell, Ordering};
use crate::task::{Header, Sequence};

const OPEN: usize = 0;
const TOMBSTONE: usize = 1;
const TAKEN: usize = 2;
const AWAITED: usize = 3;
const DONE: usize = 4;

/// See the file's comment.
#[repr(align(64))]
pub(crate) struct Slot {
    word: AtomicUsize,
    /// The number of the owner's wait; published by `AWAITED`.
    sequence: AtomicU64,
    /// The job in the frame of `join`, and how to end it; published with the entry.
    pub(crate) job: Cell<*const ()>,
    pub(crate) run: Cell<RunJob>,
    /// The header of the thread that called `join`; published with the entry.
    pub(crate) owner: Cell<*const Header>,
    /// The thread that runs the job, a counted reference; published by `TAKEN`. The owner, who is
    /// the last to know the slot, gives it up.
    pub(crate) thief: Cell<*const Header>,
    next_free: Cell<*const Slot>,
}

// SAFETY: `job`, `run` and `owner` are written by the owner before it puts the entry into a deque,
// and read by the one that took the entry out and claimed the slot; the deque orders the two.
// `thief` is written by the one that took the entry out, before its claim, and read by the owner
// after it lost; the word orders the two.
unsafe impl Sync for Slot {}

/// Ends a job: runs its closure, or drops it and leaves the payload as its result.
pub(crate) type RunJob = unsafe fn(job: *const (), refusal: Option<Box<dyn Any + Send>>);

/// What a claim found.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// The job is the caller's to run.
    Won,
    /// Somebody else runs it, or has run it.
    Lost,
}

/// What `finish` found.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finished {
    /// The owner is not waiting; it will see DONE.
    Unawaited,
    /// The owner waits, or is about to, under this number.
    Awaited(Sequence),
}

impl Slot {
    pub(crate) fn new() -> Slot {
        fn nothing(_: *const (), _: Option<Box<dyn Any + Send>>) {}
        Slot {
            word: AtomicUsize::new(OPEN),
            sequence: AtomicU64::new(0),
            job: Cell::new(ptr::null()),
            run: Cell::new(nothing),
            owner: Cell::new(ptr::null()),
            thief: Cell::new(ptr::null()),
            next_free: Cell::new(ptr::null()),
        }
    }

    /// Claims the job for the thread that the cell `thief` names.
    pub(crate) fn claim_by_thief(&self) -> Claim {
        // ORDERING: Release publishes `thief`; pairs with `claim_by_owner`. Acquire is not needed:
        // the owner's cells came with the entry.
        match self.word.compare_exchange(OPEN, TAKEN, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Claim::Won,
            Err(_) => Claim::Lost,
        }
    }

    /// Claims the job for the owner, whose entry lies somewhere in a deque and becomes a
    /// tombstone.
    pub(crate) fn claim_by_owner(&self) -> Claim {
        // ORDERING: Acquire; pairs with `claim_by_thief`, and with `finish`, should the job be done
        // already. Release is not needed: the owner's cells are its own.
        match self.word.compare_exchange(OPEN, TOMBSTONE, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => Claim::Won,
            Err(_) => Claim::Lost,
        }
    }

    /// Readies a slot that was claimed for its next offer. Only who alone knows it calls this.
    pub(crate) fn reopen(&self) {
        // ORDERING: Relaxed; nobody else knows it, and the next entry's way through a deque
        // publishes this too.
        self.word.store(OPEN, Ordering::Relaxed);
    }

    /// Whether nobody has claimed the slot.
    pub(crate) fn is_open(&self) -> bool {
        // ORDERING: Relaxed; a check by who alone knows it.
        self.word.load(Ordering::Relaxed) == OPEN
    }

    /// Whether the job was run by a thief.
    pub(crate) fn is_done(&self) -> bool {
        // ORDERING: Acquire; pairs with `finish`.
        self.word.load(Ordering::Acquire) == DONE
    }

    /// Whether the owner ran the job itself, so that its entry in a deque means nothing any more.
    pub(crate) fn is_tombstone(&self) -> bool {
        // ORDERING: Acquire; the owner's last look at the slot happens before its reuse.
        self.word.load(Ordering::Acquire) == TOMBSTONE
    }

    /// Announces that the owner waits under `sequence`. False: the job is done, it must not.
    #[must_use]
    pub(crate) fn announce_wait(&self, sequence: Sequence) -> bool {
        // ORDERING: Relaxed; published by the change below.
        self.sequence.store(sequence.to_bits(), Ordering::Relaxed);
        // ORDERING: Release publishes the number; Acquire sees what a finished job left.
        self.word.compare_exchange(TAKEN, AWAITED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends the job. Only the thief calls it, once. It touches neither slot nor frame after, save
    /// by the wake that it is told to give.
    pub(crate) fn finish(&self) -> Finished {
        // ORDERING: Acquire sees the number behind `AWAITED`.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let finished = if word == AWAITED {
                // ORDERING: Relaxed; published by `AWAITED`, which we have seen.
                Finished::Awaited(Sequence::from_bits(self.sequence.load(Ordering::Relaxed)))
            } else {
                Finished::Unawaited
            };
            // ORDERING: Release publishes the result; pairs with the owner's Acquire loads.
            match self.word.compare_exchange_weak(word, DONE, Ordering::Release, Ordering::Acquire)
            {
                Ok(_) => return finished,
                Err(now) => word = now,
            }
        }
    }
}

/// Slots in reserve, one cache per worker. Like header blocks, they may be freed on another
/// worker than the one that took them.
pub(crate) struct SlotCache {
    first: Cell<*const Slot>,
}

impl SlotCache {
    pub(crate) fn new() -> SlotCache {
        SlotCache { first: Cell::new(ptr::null()) }
    }

    /// A free slot.
    #[inline]
    pub(crate) fn take(&self) -> &'static Slot {
        let first = self.first.get();
        // SAFETY: slots in a cache are alive; see `give`.
        match unsafe { first.as_ref() } {
            Some(slot) => {
                self.first.set(slot.next_free.get());
                slot
            }
            None => SlotCache::make(),
        }
    }

    #[cold]
    fn make() -> &'static Slot {
        Box::leak(Box::new(Slot::new()))
    }

    /// Takes a slot that was claimed and that nobody else knows any more.
    pub(crate) fn give(&self, slot: &'static Slot) {
        slot.reopen();
        self.give_open(slot);
    }

    /// Takes a slot whose entry its owner has popped, so that nobody else knows it.
    #[inline]
    pub(crate) fn give_open(&self, slot: &'static Slot) {
        debug_assert!(slot.is_open());
        slot.next_free.set(self.first.get());
        self.first.set(slot);
    }
}

impl Drop for SlotCache {
    fn drop(&mut self) {
        let mut next = self.first.get();
        while !next.is_null() {
            // SAFETY: made by `Box::leak`, in no deque, known to nobody but this cache.
            let slot = unsafe { Box::from_raw(next.cast_mut()) };
            next = slot.next_free.get();
        }
    }
}
