//! Memory for headers: blocks of one size, from a cache per worker, from a pool of the process.
//!
//! A program may spawn a million threads and join them, again and again. With `malloc` each round
//! faulted its pages anew, at 19 headers a page and up to 3 µs a page, and each header cost a
//! search besides. So blocks are cut from chunks of 2 MiB, which stay when their blocks are free.
//!
//! **The cache** of a worker is a stack of addresses, so that a spawn takes what an end has just
//! left, with its lines still warm, and no lock. When it is empty it takes a batch from the pool;
//! when it is full it gives the older half back. Blocks are all alike: what one worker took another
//! may give. Who is no worker goes to the pool for each block.
//!
//! **The pool** knows of each chunk which blocks lie with it, in a bit set outside of the blocks:
//! taking a batch touches no cold memory, where a list through the blocks would be walked from miss
//! to miss. Takers get the lowest free blocks of the lowest chunk that has any, so the pages of a
//! chunk are touched in order and only when needed, and the upper chunks fall empty.
//!
//! **Giving back.** A chunk whose blocks are all free gives its pages back when it has not been
//! needed for [`REST_NS`], by whoever returns a batch then, or by a worker that sleeps; a few are
//! kept. Where there are more, workers empty their caches before they sleep, for one block keeps a
//! chunk. Never at once: a burst is often followed by another, and faulting the pages in costs more
//! than the threads.
//!
//! One lock guards the pool. It is taken once a batch and never held across a system call but the
//! one that maps a new region. Under the model checker and under AddressSanitizer, which shall see
//! each use of a freed header, every block comes from the allocator and goes back to it.

mod pool;
#[cfg(test)]
mod tests;

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::task::header::Header;
use pool::{Chunk, Pool};

/// A free block: room for one header, not initialised.
pub(crate) type Block = NonNull<Header>;

/// How many blocks a worker keeps: 256 * 208 bytes are 52 KiB.
const CACHE_MAX: usize = 256;
/// How many go from and to the pool at once.
const BATCH: usize = CACHE_MAX / 2;
/// How long a chunk must have been free before its pages go.
const REST_NS: u64 = 1_000_000_000;
/// Whether the allocator serves each block; see the file's comment.
const PLAIN: bool = cfg!(any(loom, feature = "sanitizer"));

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// When, by the real clock, chunks may go that nobody needs; `u64::MAX`: there are none.
static TRIM_AT_NS: AtomicU64 = AtomicU64::new(u64::MAX);

/// The pool, locked. What [`TRIM_AT_NS`] says follows it when the lock goes.
struct Locked(MutexGuard<'static, Pool>);

fn lock() -> Locked {
    Locked(POOL.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Drop for Locked {
    fn drop(&mut self) {
        // ORDERING: Relaxed; a hint when to ask the pool itself.
        TRIM_AT_NS.store(self.0.trim_at_ns(), Ordering::Relaxed);
    }
}

/// A worker's own blocks.
pub(super) struct Cache {
    blocks: Box<[Cell<Block>; CACHE_MAX]>,
    /// How many of them there are; above that the entries mean nothing.
    len: Cell<usize>,
}

impl Cache {
    pub(super) fn new() -> Cache {
        let nothing = [const { Cell::new(Block::dangling()) }; CACHE_MAX];
        Cache { blocks: Box::new(nothing), len: Cell::new(0) }
    }

    #[inline]
    pub(super) fn take(&self) -> Block {
        if PLAIN {
            return allocate();
        }
        let len = match self.len.get() {
            0 => self.refill(),
            len => len,
        };
        self.len.set(len - 1);
        self.blocks[len - 1].get()
    }

    /// Takes a block back that is used no more.
    ///
    /// # Safety
    /// S1: the block was taken, from this cache or another or by [`take_one`], and the caller gives
    /// up all access to it.
    #[inline]
    pub(super) unsafe fn give(&self, block: Block) {
        if PLAIN {
            // SAFETY: S1 is ours of the same number.
            return unsafe { deallocate(block) };
        }
        if self.len.get() == CACHE_MAX {
            self.spill();
        }
        let len = self.len.get();
        self.blocks[len].set(block);
        self.len.set(len + 1);
    }

    /// A batch from the pool. Gives the number of blocks, which is not 0.
    #[cold]
    fn refill(&self) -> usize {
        let taken = lock().0.take(&self.blocks[..BATCH]);
        self.len.set(taken);
        taken
    }

    /// The older half goes to the pool.
    #[cold]
    fn spill(&self) {
        give_to_pool(&self.blocks[..BATCH]);
        for (old, young) in self.blocks.iter().zip(&self.blocks[BATCH..]) {
            old.set(young.get());
        }
        self.len.set(CACHE_MAX - BATCH);
    }

    /// Gives all blocks to the pool, if a chunk may become free by it that could go. For a
    /// worker that is about to sleep.
    pub(super) fn rest(&self) {
        if self.len.get() > 0 && !PLAIN && lock().0.is_large() {
            self.empty();
        }
    }

    fn empty(&self) {
        give_to_pool(&self.blocks[..self.len.replace(0)]);
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.empty();
        if trim_at_ns().is_some() {
            // A runtime has ended, and what comes next needs less, most likely.
            let chunks = lock().0.remove_all();
            let_go(chunks);
        }
    }
}

/// A block for a header that no worker makes.
pub(super) fn take_one() -> Block {
    if PLAIN {
        return allocate();
    }
    let block = [Cell::new(Block::dangling())];
    lock().0.take(&block);
    block[0].get()
}

/// Takes a block back, from somebody who is no worker.
///
/// # Safety
/// S1: as for [`Cache::give`].
pub(super) unsafe fn give_one(block: Block) {
    if PLAIN {
        // SAFETY: S1 is ours of the same number.
        return unsafe { deallocate(block) };
    }
    give_to_pool(&[Cell::new(block)]);
}

fn give_to_pool(blocks: &[Cell<Block>]) {
    let chunk = {
        let mut pool = lock();
        // SAFETY: S1: they were taken from it, each by S1 of `Cache::give` or `give_one`, or never
        // used since.
        unsafe { pool.0.give(blocks, clock::real_now_ns) };
        pool.0.remove_rested(clock::real_now_ns)
    };
    let_go(chunk);
}

/// When [`trim`] should be called next, by the real clock, if there is anything to give back.
#[inline]
pub(crate) fn trim_at_ns() -> Option<u64> {
    // ORDERING: Relaxed; a hint.
    match TRIM_AT_NS.load(Ordering::Relaxed) {
        u64::MAX => None,
        at => Some(at),
    }
}

/// Lets a chunk go that nobody has needed for a while, if its time has come. Only one, for that
/// takes some 50 µs, about as long as somebody who is woken may be late.
pub(crate) fn trim() {
    if trim_at_ns().is_some() {
        let chunk = lock().0.remove_rested(clock::real_now_ns);
        let_go(chunk);
    }
}

/// Gives the pages of chunks back that were removed from the pool. The lock is not held meanwhile.
fn let_go(chunks: impl IntoIterator<Item = Chunk>) {
    for chunk in chunks {
        let number = chunk.discard();
        lock().0.vacate(number);
    }
}

fn allocate() -> Block {
    let layout = Layout::new::<Header>();
    // SAFETY: the layout is not empty.
    let block = unsafe { std::alloc::alloc(layout) };
    NonNull::new(block.cast()).unwrap_or_else(|| std::alloc::handle_alloc_error(layout))
}

/// # Safety
/// S1: made by [`allocate`], and the caller gives up all access to it.
unsafe fn deallocate(block: Block) {
    // SAFETY: made with this layout (S1).
    unsafe { std::alloc::dealloc(block.as_ptr().cast(), Layout::new::<Header>()) };
}
