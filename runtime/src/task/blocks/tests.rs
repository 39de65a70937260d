//! The pool's books, by a pool of the tests' own and a clock that they set; what a cache does, by
//! the process's pool.

use std::cell::Cell;
use std::collections::HashSet;

use super::pool::{CHUNK_BLOCKS, CHUNKS_KEPT, Pool};
use super::{BATCH, Block, CACHE_MAX, Cache, REST_NS, give_one, take_one};

fn take(pool: &mut Pool, count: usize) -> Vec<Cell<Block>> {
    let blocks = vec![Cell::new(Block::dangling()); count];
    let mut taken = 0;
    while taken < count {
        taken += pool.take(&blocks[taken..]);
    }
    blocks
}

fn give(pool: &mut Pool, blocks: &[Cell<Block>], now_ns: u64) {
    // SAFETY: S1: the callers have taken them and use them no more.
    unsafe { pool.give(blocks, || now_ns) };
}

/// Takes and gives so many chunks' blocks.
fn burst(pool: &mut Pool, chunks: usize, now_ns: u64) {
    let blocks = take(pool, chunks * CHUNK_BLOCKS);
    give(pool, &blocks, now_ns);
}

/// Lets all chunks go that may, and says how many.
fn removed(pool: &mut Pool, now_ns: u64) -> usize {
    let mut count = 0;
    while let Some(chunk) = pool.remove_rested(|| now_ns) {
        pool.vacate(chunk.discard());
        count += 1;
    }
    count
}

fn removed_at_once(pool: &mut Pool) -> usize {
    let chunks = pool.remove_all();
    let count = chunks.len();
    chunks.into_iter().for_each(|chunk| pool.vacate(chunk.discard()));
    count
}

#[test]
fn blocks_that_are_out_are_distinct_and_apart() {
    let mut pool = Pool::new();
    let blocks = take(&mut pool, 2 * CHUNK_BLOCKS + 1);
    let mut addresses: Vec<usize> = blocks.iter().map(|block| block.get().addr().get()).collect();
    addresses.sort_unstable();
    let bytes = size_of::<crate::task::Header>();
    assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] >= bytes));
    assert!(addresses.iter().all(|address| address % align_of::<crate::task::Header>() == 0));
    give(&mut pool, &blocks, 0);
}

#[test]
fn a_batch_comes_with_its_lowest_block_last() {
    let mut pool = Pool::new();
    let blocks = vec![Cell::new(Block::dangling()); BATCH];
    assert_eq!(pool.take(&blocks), BATCH);
    assert!(blocks.windows(2).all(|pair| pair[0].get() > pair[1].get()));
    give(&mut pool, &blocks, 0);
}

#[test]
fn blocks_that_came_back_are_taken_before_a_chunk_is_mapped() {
    let mut pool = Pool::new();
    let first = take(&mut pool, CHUNK_BLOCKS);
    let known: HashSet<Block> = first.iter().map(Cell::get).collect();
    // Each third, so that no word of the bit set is full.
    let some: Vec<_> = first.iter().step_by(3).cloned().collect();
    give(&mut pool, &some, 0);
    let again = take(&mut pool, some.len());
    assert!(again.iter().all(|block| known.contains(&block.get())));
    give(&mut pool, &first, 0);
}

#[test]
fn chunks_that_have_rested_go_but_those_kept() {
    let mut pool = Pool::new();
    burst(&mut pool, CHUNKS_KEPT + 3, 0);
    assert_eq!(removed(&mut pool, REST_NS - 1), 0, "they may be needed again soon");
    assert_eq!(removed(&mut pool, REST_NS), 1, "the others were free after it began to count");
    assert_eq!(removed(&mut pool, 2 * REST_NS), 2);
    assert_eq!(pool.trim_at_ns(), u64::MAX, "nobody need look again");
}

#[test]
fn chunks_that_were_needed_meanwhile_stay_until_they_have_rested() {
    let mut pool = Pool::new();
    burst(&mut pool, CHUNKS_KEPT + 3, 0);
    for look in 1..5 {
        burst(&mut pool, CHUNKS_KEPT + 1, look * REST_NS - 1);
        assert_eq!(removed(&mut pool, look * REST_NS), 0, "all but two were needed");
    }
    assert_eq!(removed(&mut pool, 5 * REST_NS), 3);
}

#[test]
fn a_chunk_with_a_block_out_stays() {
    let mut pool = Pool::new();
    let mut blocks = take(&mut pool, (CHUNKS_KEPT + 3) * CHUNK_BLOCKS);
    // The last one lies in the uppermost chunk.
    let out = blocks.split_off(blocks.len() - 1);
    give(&mut pool, &blocks, 0);
    assert_eq!(removed_at_once(&mut pool), 2);
    give(&mut pool, &out, 0);
    assert_eq!(removed_at_once(&mut pool), 1);
    burst(&mut pool, CHUNKS_KEPT + 1, 0);
    assert_eq!(removed_at_once(&mut pool), 1, "the numbers of removed chunks are taken again");
}

/// Another thread may grow the pool between the removal of a chunk and its discard.
#[test]
fn place_of_a_removed_chunk_is_not_taken_before_its_pages_are_gone() {
    let mut pool = Pool::new();
    burst(&mut pool, CHUNKS_KEPT + 1, 0);
    let leaving = pool.remove_all();
    assert_eq!(leaving.len(), 1);
    let blocks = take(&mut pool, (CHUNKS_KEPT + 1) * CHUNK_BLOCKS);
    assert!(blocks.iter().all(|block| !leaving[0].holds(block.get())));
    leaving.into_iter().for_each(|chunk| pool.vacate(chunk.discard()));
    let more = take(&mut pool, CHUNK_BLOCKS);
    give(&mut pool, &blocks, 0);
    give(&mut pool, &more, 0);
}

/// A million headers take four mappings, not one for each chunk.
#[test]
fn chunks_lie_in_few_regions() {
    let mut pool = Pool::new();
    let blocks = take(&mut pool, 100 * CHUNK_BLOCKS);
    assert!(pool.region_count() <= 3, "{} regions", pool.region_count());
    give(&mut pool, &blocks, 0);
    removed_at_once(&mut pool);
}

#[test]
fn a_cache_hands_out_again_what_it_was_given_last() {
    let cache = Cache::new();
    let blocks: Vec<Block> = (0..3 * CACHE_MAX).map(|_| cache.take()).collect();
    assert_eq!(blocks.iter().collect::<HashSet<_>>().len(), blocks.len());
    for &block in &blocks {
        // SAFETY: S1: taken above, and used no more.
        unsafe { cache.give(block) };
    }
    if !super::PLAIN {
        assert_eq!(cache.take(), *blocks.last().expect("there are some"));
        // SAFETY: S1: as above.
        unsafe { cache.give(*blocks.last().expect("there are some")) };
    }
}

#[test]
fn blocks_go_from_one_cache_to_another_and_to_those_who_have_none() {
    let (giver, taker) = (Cache::new(), Cache::new());
    for _ in 0..10 * CACHE_MAX {
        let (one, other) = (taker.take(), take_one());
        // SAFETY: S1: just taken.
        unsafe { giver.give(one) };
        // SAFETY: S1: just taken.
        unsafe { giver.give(other) };
        let back = giver.take();
        // SAFETY: S1: just taken.
        unsafe { give_one(back) };
    }
}
