//! Sets of small numbers: the stacks of one chunk, and the chunks of one class.
//!
//! Bits in words: the lowest or highest member is found by one instruction a word, neighbours
//! come out as runs that one system call can treat together, and giving a stack back sets a bit.
//! A linked free list would scatter neighbours and touch the stacks' own memory.
#![forbid(unsafe_code)]

use std::ops::{BitAnd, BitOr, Range};

/// A set of slot numbers of one chunk, each below `Slots::CAPACITY`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots([u64; 4]);

impl Slots {
    pub(super) const CAPACITY: usize = 256;
    pub(super) const EMPTY: Slots = Slots([0; 4]);

    /// Returns the set of the numbers below `count`.
    pub(super) fn first_n(count: usize) -> Slots {
        assert!(count <= Slots::CAPACITY, "a chunk holds at most {} stacks", Slots::CAPACITY);
        let mut all = Slots::EMPTY;
        (0..count).for_each(|slot| all.insert(slot));
        all
    }

    pub(super) fn insert(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub(super) fn remove(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    pub(super) fn contains(self, slot: usize) -> bool {
        self.0[slot / 64] & (1 << (slot % 64)) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self == Slots::EMPTY
    }

    pub(super) fn count(self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns the members that `other` lacks.
    pub(super) fn without(self, other: Slots) -> Slots {
        Slots(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Returns the lowest member.
    pub(super) fn first(self) -> Option<usize> {
        let word = self.0.iter().position(|&word| word != 0)?;
        Some(word * 64 + self.0[word].trailing_zeros() as usize)
    }

    /// Returns the maximal ranges of neighbouring members, lowest first.
    pub(super) fn runs(self) -> impl Iterator<Item = Range<usize>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = (next..Slots::CAPACITY).find(|&slot| self.contains(slot))?;
            let after = (start..Slots::CAPACITY).find(|&slot| !self.contains(slot));
            next = after.unwrap_or(Slots::CAPACITY);
            Some(start..next)
        })
    }
}

impl BitAnd for Slots {
    type Output = Slots;

    fn bitand(self, other: Slots) -> Slots {
        Slots(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }
}

impl BitOr for Slots {
    type Output = Slots;

    fn bitor(self, other: Slots) -> Slots {
        Slots(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }
}

/// A set of chunk numbers of one class, as large as it needs to be.
pub(super) struct ChunkSet(Vec<u64>);

impl ChunkSet {
    pub(super) const fn new() -> ChunkSet {
        ChunkSet(Vec::new())
    }

    /// Inserts or removes `chunk`.
    pub(super) fn set(&mut self, chunk: usize, member: bool) {
        if self.0.len() <= chunk / 64 {
            if !member {
                return;
            }
            self.0.resize(chunk / 64 + 1, 0);
        }
        let bit = 1 << (chunk % 64);
        let word = &mut self.0[chunk / 64];
        *word = if member { *word | bit } else { *word & !bit };
    }

    pub(super) fn first(&self) -> Option<usize> {
        let word = self.0.iter().position(|&word| word != 0)?;
        Some(word * 64 + self.0[word].trailing_zeros() as usize)
    }

    pub(super) fn last(&self) -> Option<usize> {
        let word = self.0.iter().rposition(|&word| word != 0)?;
        Some(word * 64 + self.0[word].ilog2() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_each_member_once_over_word_borders() {
        let mut set = Slots::EMPTY;
        for slot in [0, 1, 62, 63, 64, 65, 128, 255] {
            set.insert(slot);
        }
        assert_eq!(set.runs().collect::<Vec<_>>(), [0..2, 62..66, 128..129, 255..256]);
        assert_eq!(Slots::first_n(256).runs().collect::<Vec<_>>(), [Range { start: 0, end: 256 }]);
        assert_eq!(Slots::EMPTY.runs().count(), 0);
    }

    #[test]
    fn members_are_found_counted_and_removed() {
        let mut set = Slots::first_n(3) | Slots::first_n(1);
        assert_eq!((set.count(), set.first()), (3, Some(0)));
        set.remove(0);
        assert_eq!(set.first(), Some(1));
        assert!(set.without(Slots::first_n(3)).is_empty());
        assert!((set & Slots::first_n(1)).is_empty());
    }

    #[test]
    fn a_set_of_chunks_grows_and_finds_both_ends() {
        let mut set = ChunkSet::new();
        set.set(500, false);
        assert_eq!(set.first(), None);
        set.set(7, true);
        set.set(300, true);
        assert_eq!((set.first(), set.last()), (Some(7), Some(300)));
        set.set(300, false);
        assert_eq!(set.last(), Some(7));
    }
}
