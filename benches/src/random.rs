//! Numbers that look random and are the same in every run, so that each peer meets the same ones.
#![forbid(unsafe_code)]

/// Marsaglia's xorshift with 64 bits.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence number `seed`.
    pub(crate) fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Sequences of neighbouring seeds are alike in their first numbers.
        for _ in 0..8 {
            random.next();
        }
        random
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `bound`. The remainder favours small numbers by one in 2^64 : bound; it does not
    /// matter here.
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
