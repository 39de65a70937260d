//! How large stacks are: a handful of classes instead of any size, so that stacks can be reused.
//!
//! The stride of each class is twice that of the class before it; what a caller asks for is served
//! by the smallest class that holds it. Sizes are usable bytes: the guard comes on top. Since
//! memory is used only where it is touched, a larger class than needed costs address space alone
//! (and 1/512 of it in page tables).
#![forbid(unsafe_code)]

use std::io;

/// Size of the guard below each stack, in bytes.
///
/// One page would catch every frame of ours, whose large ones are probed page by page; C code
/// that was built without such probes can jump over a page, and hardly over sixteen.
pub(crate) const GUARD_BYTES: usize = 64 << 10;

/// Distance between two stacks of the default class, guard included, in bytes.
///
/// Frames without optimisation are up to five times larger, hence the difference.
pub(crate) const DEFAULT_STRIDE: usize = if cfg!(debug_assertions) { 1 << 20 } else { 256 << 10 };

/// A size of stacks. The stride of class `k` is `DEFAULT_STRIDE << k`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Class(u8);

impl Class {
    /// The class of a thread that asks for nothing: 192 KiB usable, 960 KiB with debug assertions.
    pub(crate) const DEFAULT: Class = Class(0);

    /// The most usable bytes that a stack can have: 64 GiB less its guard.
    pub(crate) const USABLE_MAX: usize = MAX_STRIDE - GUARD_BYTES;

    /// How many classes there are: 19, with debug assertions 17.
    pub(super) const COUNT: usize =
        MAX_STRIDE.ilog2() as usize - DEFAULT_STRIDE.ilog2() as usize + 1;

    /// Returns the smallest class whose stacks have `bytes` usable bytes.
    ///
    /// # Units
    ///
    /// Usable bytes, 1 to 64 GiB less 64 KiB; no multiple of anything. Less than the default
    /// class holds is served by the default class, for untouched bytes cost nothing.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0 and for more than the maximum; the message names the range.
    pub(crate) fn for_usable(bytes: usize) -> Result<Class, io::Error> {
        let max = Class::USABLE_MAX;
        if bytes == 0 || bytes > max {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a stack size of {bytes} bytes is not possible: 1 to {max} are accepted"),
            ));
        }
        let stride = (bytes + GUARD_BYTES).next_power_of_two().max(DEFAULT_STRIDE);
        Ok(Class((stride.ilog2() - DEFAULT_STRIDE.ilog2()) as u8))
    }

    /// Returns how many bytes of a stack frames may fill.
    pub(crate) fn usable_bytes(self) -> usize {
        self.stride_bytes() - GUARD_BYTES
    }

    /// Returns the distance between two stacks of this class, in bytes.
    pub(crate) fn stride_bytes(self) -> usize {
        DEFAULT_STRIDE << self.0
    }

    /// Returns the number of the class, below `COUNT`.
    pub(super) fn number(self) -> usize {
        self.0.into()
    }

    /// Returns the class with this number.
    pub(super) fn from_number(number: usize) -> Class {
        assert!(number < Class::COUNT, "stack classes are numbered below {}", Class::COUNT);
        Class(number as u8)
    }

    /// Returns how many stacks a chunk of this class holds: 1 to 256.
    pub(super) fn slots_per_chunk(self) -> usize {
        (CHUNK_BYTES / self.stride_bytes()).max(1)
    }

    /// Returns the size of a chunk of this class: 64 MiB, or one stride if that is more.
    pub(super) fn chunk_bytes(self) -> usize {
        self.slots_per_chunk() * self.stride_bytes()
    }
}

/// What one growth of the arena reserves. Larger would save system calls and fail sooner where
/// address space is limited (`ulimit -v`) or accounted for (`vm.overcommit_memory=2`).
const CHUNK_BYTES: usize = 64 << 20;

/// More than any program uses on one stack, and few enough classes for fixed tables.
const MAX_STRIDE: usize = 64 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_at_the_bounds_get_their_class_or_an_error_that_names_the_range() {
        assert_eq!(Class::for_usable(1).unwrap(), Class::DEFAULT);
        let default = Class::DEFAULT.usable_bytes();
        assert_eq!(default, DEFAULT_STRIDE - GUARD_BYTES);
        assert_eq!(Class::for_usable(default).unwrap(), Class::DEFAULT);
        let next = Class::for_usable(default + 1).unwrap();
        assert_eq!(next.stride_bytes(), 2 * DEFAULT_STRIDE);
        let max = (64 << 30) - GUARD_BYTES;
        let largest = Class::for_usable(max).unwrap();
        assert_eq!(largest.usable_bytes(), max);
        assert_eq!(largest.number(), Class::COUNT - 1);
        assert_eq!(largest.slots_per_chunk(), 1);
        for refused in [0, max + 1, 1 << 63, usize::MAX] {
            let error = Class::for_usable(refused).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(text.contains(&refused.to_string()), "{text}");
            assert!(text.contains(&format!("1 to {max}")), "{text}");
        }
    }

    #[test]
    fn every_class_fills_its_chunk_and_the_bitsets_hold_it() {
        for number in 0..Class::COUNT {
            let class = Class::from_number(number);
            assert_eq!(class.chunk_bytes(), class.stride_bytes().max(CHUNK_BYTES));
            assert!(class.slots_per_chunk() <= super::super::slots::Slots::CAPACITY);
        }
    }
}
