//! The pool's books: which blocks of which chunk are free, and which chunks may go.
//!
//! Nothing here locks, and blocks are never touched: a block is an address and a bit. The first
//! bytes of a chunk hold its number, so that a block finds its chunk by its address alone.
//!
//! Chunks are cut from *regions*, for each mapping counts against `vm.max_map_count`: a small one
//! with ordinary pages, and as more are needed large ones with huge pages. A chunk that goes gives
//! its pages back and keeps its place.

use std::cell::Cell;
use std::ptr::NonNull;

use super::{Block, REST_NS};
use crate::os;
use crate::task::header::Header;

/// The size of a chunk and its alignment: that of a huge page.
const CHUNK_BYTES: usize = 2 << 20;
/// What stands before the first block: the chunk's number, and padding to a cache line.
const HEAD_BYTES: usize = 64;
const BLOCK_BYTES: usize = size_of::<Header>();
/// How many blocks a chunk has: (2 MiB - 64) / 208 = 10,082.
pub(super) const CHUNK_BLOCKS: usize = (CHUNK_BYTES - HEAD_BYTES) / BLOCK_BYTES;
const WORDS: usize = CHUNK_BLOCKS.div_ceil(64);
/// How many free chunks are kept: 2 * 2 MiB, for 20,164 headers.
pub(super) const CHUNKS_KEPT: usize = 2;
/// So many chunks, those of the first region, come without huge pages, of which one touched byte
/// makes 2 MiB resident. Beyond, that is less than an eighth of what is in use, and saves 512
/// faults: 1.2 ms for a chunk against 0.2, measured.
const SMALL_PAGED: usize = 8;
/// How many chunks a region of huge pages has: 64 * 2 MiB = 128 MiB, for 645,248 headers.
const REGION_CHUNKS: usize = 64;

/// A chunk of blocks.
pub(super) struct Chunk {
    number: usize,
    base: NonNull<u8>,
    /// How many blocks are free, which they are, and a word below which none is.
    free_count: usize,
    free: Box<[u64; WORDS]>,
    lowest: usize,
}

// SAFETY: a chunk is plain memory of the process, and belongs to whoever holds this.
unsafe impl Send for Chunk {}

struct Region(NonNull<u8>);

// SAFETY: as above.
unsafe impl Send for Region {}

/// See the file's comment.
pub(super) struct Pool {
    /// Where each begins; they stay.
    regions: Vec<Region>,
    /// By number; `None` where one has gone.
    chunks: Vec<Option<Chunk>>,
    /// The numbers of places that the next growth may take: their pages have gone, too.
    vacant: Vec<usize>,
    chunk_count: usize,
    /// No chunk below this number has a free block.
    lowest: usize,
    /// How many chunks are wholly free, and how few were so at any time since the last look.
    whole_count: usize,
    whole_count_min: usize,
    /// When the next look is due; `u64::MAX`: no more chunks are free than are kept.
    trim_at_ns: u64,
}

impl Pool {
    pub(super) const fn new() -> Pool {
        Pool {
            regions: Vec::new(),
            chunks: Vec::new(),
            vacant: Vec::new(),
            chunk_count: 0,
            lowest: 0,
            whole_count: 0,
            whole_count_min: 0,
            trim_at_ns: u64::MAX,
        }
    }

    /// Whether there are more chunks than are kept in any case.
    pub(super) fn is_large(&self) -> bool {
        self.chunk_count > CHUNKS_KEPT
    }

    pub(super) fn trim_at_ns(&self) -> u64 {
        self.trim_at_ns
    }

    #[cfg(test)]
    pub(super) fn region_count(&self) -> usize {
        self.regions.len()
    }

    /// Fills `into` from its beginning, the lowest block last, and gives their number, at least 1.
    pub(super) fn take(&mut self, into: &[Cell<Block>]) -> usize {
        let mut count = 0;
        while count < into.len() {
            match self.chunks.get_mut(self.lowest) {
                Some(Some(chunk)) if chunk.free_count > 0 => {
                    if chunk.free_count == CHUNK_BLOCKS {
                        self.whole_count -= 1;
                        self.whole_count_min = self.whole_count_min.min(self.whole_count);
                    }
                    count += chunk.take(&into[count..]);
                }
                Some(_) => self.lowest += 1,
                None if count > 0 => break,
                None => self.grow(),
            }
        }
        let taken = &into[..count];
        for n in 0..count / 2 {
            taken[n].swap(&taken[count - 1 - n]);
        }
        count
    }

    /// Takes blocks back.
    ///
    /// # Safety
    /// S1: each was taken from this pool and not given back since, and nobody uses it any more.
    pub(super) unsafe fn give(&mut self, blocks: &[Cell<Block>], now_ns: impl Fn() -> u64) {
        let mut rest = blocks.iter().map(Cell::get).peekable();
        while let Some(block) = rest.next() {
            // SAFETY: S1: a block of a chunk, which stays mapped while it is out.
            let number = unsafe { number_of(block) };
            let chunk = self.chunks[number].as_mut().expect("a block is out");
            chunk.give(block);
            // Those that were taken together come back together, mostly.
            while let Some(block) = rest.next_if(|&block| chunk.holds(block)) {
                chunk.give(block);
            }
            self.lowest = self.lowest.min(number);
            if chunk.free_count == CHUNK_BLOCKS {
                self.whole_count += 1;
                if self.whole_count > CHUNKS_KEPT && self.trim_at_ns == u64::MAX {
                    self.look_again(now_ns());
                }
            }
        }
    }

    /// Removes a chunk, the uppermost one, that was free for [`REST_NS`], beyond those kept.
    pub(super) fn remove_rested(&mut self, now_ns: impl Fn() -> u64) -> Option<Chunk> {
        if self.trim_at_ns == u64::MAX {
            return None;
        }
        let now_ns = now_ns();
        if now_ns < self.trim_at_ns {
            return None;
        }
        if self.whole_count_min <= CHUNKS_KEPT {
            self.look_again(now_ns);
            return None;
        }
        self.whole_count_min -= 1;
        let chunk = self.remove_whole();
        if self.whole_count_min <= CHUNKS_KEPT {
            self.look_again(now_ns);
        }
        chunk
    }

    /// Removes all free chunks beyond those kept.
    pub(super) fn remove_all(&mut self) -> Vec<Chunk> {
        let excess = self.whole_count.saturating_sub(CHUNKS_KEPT);
        let removed = (0..excess).filter_map(|_| self.remove_whole()).collect();
        self.whole_count_min = self.whole_count;
        self.trim_at_ns = u64::MAX;
        removed
    }

    /// Lets the next growth take a place whose chunk was removed and discarded: not before, for its
    /// pages would be discarded with a new chunk's blocks in them.
    pub(super) fn vacate(&mut self, number: usize) {
        self.vacant.push(number);
    }

    /// What was free from now on until the next look may go then.
    fn look_again(&mut self, now_ns: u64) {
        self.whole_count_min = self.whole_count;
        let excess = self.whole_count > CHUNKS_KEPT;
        self.trim_at_ns = if excess { now_ns + REST_NS } else { u64::MAX };
    }

    /// Where the chunk of that number lies, in a region that is mapped now if need be.
    fn place(&mut self, number: usize) -> NonNull<u8> {
        let (region, chunk) = match number.checked_sub(SMALL_PAGED) {
            None => (0, number),
            Some(rest) => (1 + rest / REGION_CHUNKS, rest % REGION_CHUNKS),
        };
        while self.regions.len() <= region {
            self.regions.push(match self.regions.len() {
                0 => Region::map(SMALL_PAGED, false),
                _ => Region::map(REGION_CHUNKS, true),
            });
        }
        // SAFETY: the region has that many chunks.
        unsafe { self.regions[region].0.add(chunk * CHUNK_BYTES) }
    }

    fn remove_whole(&mut self) -> Option<Chunk> {
        let whole = |chunk: &Option<Chunk>| {
            chunk.as_ref().is_some_and(|chunk| chunk.free_count == CHUNK_BLOCKS)
        };
        let number = self.chunks.iter().rposition(whole)?;
        self.whole_count -= 1;
        self.chunk_count -= 1;
        self.chunks[number].take()
    }

    /// Makes one more chunk, in the lowest place.
    #[cold]
    fn grow(&mut self) {
        let lowest = (0..self.vacant.len()).min_by_key(|&at| self.vacant[at]);
        let number = match lowest {
            Some(at) => self.vacant.swap_remove(at),
            None => {
                self.chunks.push(None);
                self.chunks.len() - 1
            }
        };
        self.chunks[number] = Some(Chunk::new(number, self.place(number)));
        self.chunk_count += 1;
        self.whole_count += 1;
        self.lowest = self.lowest.min(number);
    }
}

impl Region {
    fn map(chunks: usize, huge_pages: bool) -> Region {
        let mapped = os::map_aligned(chunks * CHUNK_BYTES, CHUNK_BYTES, huge_pages);
        match mapped.ok().and_then(NonNull::new) {
            Some(base) => Region(base),
            // What a program gets that no memory is left for, as with any allocation.
            None => std::alloc::handle_alloc_error(std::alloc::Layout::new::<Header>()),
        }
    }
}

impl Chunk {
    /// Makes the memory at `base`, which nobody uses, a chunk.
    fn new(number: usize, base: NonNull<u8>) -> Chunk {
        // SAFETY: the chunk's first bytes, which belong to no block; aligned, for the chunk is.
        unsafe { base.cast::<usize>().write(number) };
        let mut free = Box::new([u64::MAX; WORDS]);
        free[WORDS - 1] >>= WORDS * 64 - CHUNK_BLOCKS;
        Chunk { number, base, free_count: CHUNK_BLOCKS, free, lowest: 0 }
    }

    /// Gives the pages back, which takes some 50 µs at most, and gives the number of the place,
    /// for [`Pool::vacate`].
    pub(super) fn discard(self) -> usize {
        debug_assert_eq!(self.free_count, CHUNK_BLOCKS, "blocks of the chunk are out");
        // SAFETY: S1: a part of a region, which stays. S2: all blocks are free, and nobody takes
        // any of a chunk that was removed from the pool. Locked memory refuses, and then stays.
        let _ = unsafe { os::discard(self.base.as_ptr(), CHUNK_BYTES) };
        self.number
    }

    /// Fills `into` from its beginning, the lowest block first, as far as there are any.
    fn take(&mut self, into: &[Cell<Block>]) -> usize {
        let mut count = 0;
        for (number, word) in self.free.iter_mut().enumerate().skip(self.lowest) {
            self.lowest = number;
            while *word != 0 && count < into.len() {
                let index = number * 64 + word.trailing_zeros() as usize;
                *word &= *word - 1;
                // SAFETY: `index` is below `CHUNK_BLOCKS`, so the sum lies within the chunk.
                let block = unsafe { self.base.add(HEAD_BYTES + index * BLOCK_BYTES) };
                into[count].set(block.cast());
                count += 1;
            }
            if count == into.len() {
                break;
            }
        }
        self.free_count -= count;
        count
    }

    pub(super) fn holds(&self, block: Block) -> bool {
        block.addr().get() & !(CHUNK_BYTES - 1) == self.base.addr().get()
    }

    /// Takes a block back that it holds.
    fn give(&mut self, block: Block) {
        let offset = block.addr().get() % CHUNK_BYTES;
        let index = (offset - HEAD_BYTES) / BLOCK_BYTES;
        let (word, bit) = (index / 64, 1 << (index % 64));
        debug_assert_eq!(self.free[word] & bit, 0, "a header is freed twice");
        self.free[word] |= bit;
        self.free_count += 1;
        self.lowest = self.lowest.min(word);
    }
}

/// The number of the chunk in which a block lies.
///
/// # Safety
/// S1: the block's chunk is mapped.
unsafe fn number_of(block: Block) -> usize {
    let base = block.as_ptr().map_addr(|address| address & !(CHUNK_BYTES - 1));
    // SAFETY: chunks are aligned to their size, so this is where `Chunk::new` has written the
    // number (S1).
    unsafe { base.cast::<usize>().read() }
}
