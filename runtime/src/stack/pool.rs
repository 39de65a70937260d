//! A worker's own stacks: taking one costs a few nanoseconds, and the one given last, whose pages
//! and cache lines are hottest, is taken first.
//!
//! Each class has a stack of slots. When it is empty, a batch comes from the arena; when it is
//! full, its older half goes there. So the arena's lock is taken once per half a pool, and a
//! worker that only ends threads feeds one that only starts them.
//!
//! **Guards.** A stack that is used for the first time gets its guard, and some that lie ready
//! beside it get theirs by the same call: 1, 3, 7 and so on up to 31, so that there are never more
//! guards in vain than stacks that were used.
//!
//! **Giving pages back.** A pool holds at most 16 MiB of stride per class, 64 default stacks in a
//! release build. When a worker is about to sleep, and gave many stacks since it last did so, it
//! keeps a quarter, discards what those grew to below their top pages, and passes the rest on; and
//! once as many stacks lie unused in the arena as are in use, it discards pages there until 32 MiB
//! of stride are left. Both happen a step at a time, so that work that arrives meanwhile waits for
//! some hundred stacks at most. A process that is never idle therefore keeps the pages of its peak,
//! and reuses them. Stacks of more than 16 MiB skip the pool, and give their pages back at once.
//!
//! A pool is touched by its worker alone, and never lends a stack without a guard.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::class::Class;
use super::{GUARDED, Slot, Stack, TOUCHED, arena, guard};
use crate::os;

/// The stacks that one worker has at hand. A drop gives them all to the arena.
pub(crate) struct Pool {
    /// By class; the hottest slot is last.
    free: [Vec<Slot>; Class::COUNT],
    len: usize,
    /// The same number, for `pooled_stacks`.
    len_seen: Arc<Count>,
    /// Stacks given since `on_idle` last shrank the pool.
    gives: usize,
    /// By class: how many stacks the next call shall guard that finds a fresh one.
    fresh_batches: [u8; Class::COUNT],
    /// One worker's own: not `Sync`.
    _not_sync: PhantomData<Cell<()>>,
}

impl Pool {
    /// Makes an empty pool.
    pub(crate) fn new() -> Pool {
        let len_seen = Arc::new(Count(AtomicUsize::new(0)));
        counts().push(Arc::clone(&len_seen));
        Pool {
            free: [const { Vec::new() }; Class::COUNT],
            len: 0,
            len_seen,
            gives: 0,
            fresh_batches: [1; Class::COUNT],
            _not_sync: PhantomData,
        }
    }

    /// Takes a guarded stack.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` where address space or mappings are used up; the message names the limit.
    /// The pool and all stacks stay usable, and a later call may succeed.
    #[inline]
    pub(crate) fn take(&mut self, class: Class) -> io::Result<Stack> {
        let hot = &mut self.free[class.number()];
        match hot.pop() {
            Some(slot) if slot.is_guarded() => {
                self.set_len(self.len - 1);
                Ok(Stack(slot.with(TOUCHED, true)))
            }
            Some(slot) => {
                self.set_len(self.len - 1);
                self.first_use(slot)
            }
            None => self.take_from_arena(class),
        }
    }

    /// Takes a stack back. Nothing may lie on it any more.
    #[inline]
    pub(crate) fn give(&mut self, stack: Stack) {
        let slot = stack.into_slot();
        let capacity = capacity(slot.class());
        if capacity == 0 {
            return give_large(slot);
        }
        let hot = &mut self.free[slot.class().number()];
        hot.push(slot);
        let len = hot.len();
        self.gives += 1;
        self.set_len(self.len + 1);
        if len > capacity {
            self.keep_newest(slot.class(), capacity / 2);
        }
    }

    /// Gives pages back to the kernel; to be called when the worker found no work, before it
    /// sleeps. Cheap when nothing is to be done: two comparisons.
    ///
    /// Returns whether more is to be done. The worker then looks for work again and, if there is
    /// still none, calls this again instead of going to sleep.
    pub(crate) fn on_idle(&mut self) -> bool {
        if self.gives >= GIVES_BEFORE_SHRINK {
            self.gives = 0;
            self.shrink();
        }
        arena::wants_trim() && arena::trim_step()
    }

    #[cold]
    fn take_from_arena(&mut self, class: Class) -> io::Result<Stack> {
        let hot = &mut self.free[class.number()];
        arena::take(class, (capacity(class) / 2).max(1), hot)?;
        let slot = hot.pop().expect("the arena gives at least one stack, or an error");
        let gained = hot.len();
        self.set_len(self.len + gained);
        if slot.is_guarded() { Ok(Stack(slot.with(TOUCHED, true))) } else { self.first_use(slot) }
    }

    /// Puts the guard on a stack that is used for the first time, and with it on those that would
    /// be taken next: on none at first, then on 1, 3, 7 and so on, so that a program pays for at
    /// most as many guards in vain as it has used.
    ///
    /// Where no guard can be had any more, a free stack that already has one serves as well; and
    /// if there is none, mappings may become free by giving up chunks that nobody uses.
    #[cold]
    fn first_use(&mut self, mut slot: Slot) -> io::Result<Stack> {
        if !self.guard_with_next(slot)
            && let Err(refusal) = install_guard(slot)
        {
            if let Some(other) = arena::take_guarded(slot.class()) {
                arena::give(&[slot]);
                slot = other;
            } else if release_chunks(0) == 0 || install_guard(slot).is_err() {
                arena::give(&[slot]);
                return Err(refusal);
            }
        }
        Ok(Stack(slot.with(GUARDED, true).with(TOUCHED, true)))
    }

    /// Guards `slot` and stacks that lie ready next to it by one call. False: `slot` is not
    /// guarded, for this is the first of its kind or the kernel did not do it.
    fn guard_with_next(&mut self, slot: Slot) -> bool {
        let class = slot.class().number();
        let batch = self.fresh_batches[class];
        self.fresh_batches[class] = (batch * 2).min(FRESH_BATCH_MAX);
        let ahead = usize::from(batch) - 1;
        let hot = &mut self.free[class];
        // Guarded ones lie above the fresh ones, if there are both.
        let next = hot.iter_mut().rev().take(ahead).take_while(|next| !next.is_guarded());
        let bottoms = std::iter::once(slot.bottom()).chain(next.map(|next| next.bottom()));
        // SAFETY: S1: the slots are the pool's, and one without a guard was never handed out.
        let guarded = unsafe { guard::install_batch(bottoms) };
        for next in hot.iter_mut().rev().take(guarded.saturating_sub(1)) {
            *next = next.with(GUARDED, true);
        }
        guarded > 0
    }

    /// Keeps the hottest stacks, without the pages that they grew to, and passes the rest on.
    #[cold]
    fn shrink(&mut self) {
        for number in 0..Class::COUNT {
            let class = Class::from_number(number);
            self.keep_newest(class, capacity(class).div_ceil(4));
        }
        let touched = self.free.iter().flatten().filter(|slot| slot.is_touched());
        // SAFETY: S1: the slots lie in chunks, which stay mapped while they are out. S2: they are
        // the pool's, so nothing runs on them. Locked memory refuses, as in `Slot::discard`.
        unsafe { os::discard_all(touched.map(|slot| slot.below(TOP_BYTES_KEPT))) };
    }

    /// Gives all stacks of a class to the arena but the `keep` that came last.
    fn keep_newest(&mut self, class: Class, keep: usize) {
        let hot = &mut self.free[class.number()];
        let surplus = hot.len().saturating_sub(keep);
        if surplus == 0 {
            return;
        }
        arena::give(&hot[..surplus]);
        hot.drain(..surplus);
        self.set_len(self.len - surplus);
    }

    /// How many stacks here have their guard, used or not.
    #[cfg(test)]
    pub(super) fn guarded_ahead(&self) -> usize {
        self.free.iter().flatten().filter(|slot| slot.is_guarded()).count()
    }

    #[inline]
    fn set_len(&mut self, len: usize) {
        self.len = len;
        // ORDERING: Relaxed, for it is a count to look at; only this worker writes it.
        self.len_seen.0.store(len, Ordering::Relaxed);
    }
}

impl Drop for Pool {
    /// A runtime is ending, or a worker of it: nothing is hot any more. What all pools together
    /// left unused goes back to the kernel, chunks first and then the pages of what stays.
    fn drop(&mut self) {
        for number in 0..Class::COUNT {
            self.keep_newest(Class::from_number(number), 0);
        }
        counts().retain(|count| !Arc::ptr_eq(count, &self.len_seen));
        // Unmapping a chunk gives its pages back, too, so it comes first.
        release_chunks(CHUNKS_KEPT);
        while arena::trim_step() {}
    }
}

/// Returns how many stacks of the process are in use or leaked.
///
/// Exact when no pool is being used meanwhile; for leak tests.
pub(crate) fn live_stacks() -> usize {
    arena::out_count().saturating_sub(pooled_stacks())
}

/// Returns how many stacks of the process lie in pools, ready for use.
pub(crate) fn pooled_stacks() -> usize {
    // ORDERING: Relaxed, as in `set_len`.
    counts().iter().map(|count| count.0.load(Ordering::Relaxed)).sum()
}

fn install_guard(slot: Slot) -> io::Result<()> {
    // SAFETY: S1: the slot was taken from the arena or the pool, so it is the caller's.
    unsafe { guard::install(slot.bottom()) }
}

fn release_chunks(keep: usize) -> usize {
    let released = arena::release_free_chunks(keep);
    if released > 0 {
        guard::mappings_were_freed();
    }
    released
}

/// A stack of more than `HOT_BYTES`: its pages could be the better part of the machine's memory.
#[cold]
fn give_large(slot: Slot) {
    // SAFETY: S1: the caller gave the stack up.
    unsafe { slot.discard() };
    arena::give(&[slot.with(TOUCHED, false)]);
}

/// Returns how many stacks of a class a pool holds: 64 default ones, 16 with debug assertions.
fn capacity(class: Class) -> usize {
    // A shift, for this is asked on each give and a division would be half of its cost.
    (HOT_BYTES >> class.stride_bytes().trailing_zeros()).min(64)
}

/// A pool's number of stacks, on a cache line of its own: the worker writes it at each turn.
#[repr(align(128))]
struct Count(AtomicUsize);

fn counts() -> MutexGuard<'static, Vec<Arc<Count>>> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The counts of all pools that exist.
static COUNTS: Mutex<Vec<Arc<Count>>> = Mutex::new(Vec::new());

/// Stride bytes of one class that a pool holds at most.
const HOT_BYTES: usize = 16 << 20;

/// Shrinking a quarter of 64 stacks costs 16 calls of 0.3 to 1 µs; over 256 threads that is below
/// 0.1 µs each.
const GIVES_BEFORE_SHRINK: usize = 256;

/// Stacks that one call guards at most: more than 32 save a tenth of a microsecond in all.
const FRESH_BATCH_MAX: u8 = 32;

/// What a pool's hot stack keeps resident at most: colour and the frames of most threads.
const TOP_BYTES_KEPT: usize = 16 << 10;

/// Chunks of each class that stay mapped when all their stacks are free and a pool ends.
const CHUNKS_KEPT: usize = 1;

const _: () = assert!(mem::size_of::<io::Result<Stack>>() == 16);
