//! Random numbers that a seed brings back, for choices that must be the same each time.
//!
//! SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014):
//! a counter and two multiplications, of which any state is as good as any other, so that streams
//! can be split by number. A crate would bring better numbers than choices need, and a sequence
//! that may change with its version: a seed in a bug report must mean the same next year.
#![forbid(unsafe_code)]

use std::cell::Cell;

use crate::sched::worker::Core;
use crate::task::current;

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(Cell::new(seed))
    }

    /// The next number.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        mix(state)
    }

    /// A number below `bound`, which is not zero. By multiplication, not by remainder: it is
    /// faster, and the bias of either is nothing to a bound far below 2^64.
    #[inline]
    pub(crate) fn below(&self, bound: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in `n` times.
    #[inline]
    pub(crate) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// The stream `number` of those that belong to this one. Does not move this one.
    pub(crate) fn split(&self, number: u64) -> Random {
        Random::new(mix(self.0.get() ^ mix(number.wrapping_add(1))))
    }
}

/// A number below `count`, for a call that may choose: drawn from the seed in a seeded run, and
/// from a stream of the kernel thread's elsewhere.
pub(crate) fn choose_of(count: u64) -> u64 {
    // A model must do the same each time, and its order of steps is what is explored.
    if cfg!(loom) {
        return 0;
    }
    if let Some(run) = Core::current().and_then(|core| core.seeded.as_ref()) {
        return run.choose_of(count);
    }
    let random = Random::new(current::next_choice());
    random.below(count)
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_brings_the_same_numbers_and_another_seed_others() {
        let numbers = |seed| {
            let random = Random::new(seed);
            [random.number(), random.number(), random.number()]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn split_streams_differ_from_each_other_and_leave_their_origin_alone() {
        let origin = Random::new(7);
        let (first, second) = (origin.split(0), origin.split(1));
        assert_ne!(first.number(), second.number());
        assert_eq!(origin.number(), Random::new(7).number());
    }

    #[test]
    fn numbers_below_a_bound_reach_all_of_it() {
        let random = Random::new(3);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[random.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
    }
}
