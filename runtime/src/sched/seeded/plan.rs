//! What can be asked of a seeded run before it begins, and of its faults while it goes on.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::sched::seeded::Strategy;

/// What a seeded run is asked to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) strategy: Strategy,
    pub(crate) virtual_time: bool,
    pub(crate) faults: Faults,
    /// Whether `park` returns without a permit now and then, as std's may.
    pub(crate) spurious_parks: bool,
    pub(crate) keeps_trace: bool,
}

/// What goes wrong on purpose in a seeded run; nothing, unless it is asked for.
///
/// The faults are those that a program meets in earnest when kernel threads, memory or processor
/// time are short, at places that the seed chooses. Given to
/// [`Plan::faults`](crate::testing::Plan::faults) for the whole of a run, or to
/// [`inject`](crate::testing::inject) from some point on.
///
/// # Examples
///
/// ```
/// use sylvan::testing::{self, Faults};
/// use sylvan::thread;
///
/// testing::run_seeded(1, || {
///     testing::inject(Faults::none().spawns(1));
///     assert!(thread::Builder::new().spawn(|| ()).is_err());
///     testing::inject(Faults::none());
///     assert!(thread::Builder::new().spawn(|| ()).is_ok());
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    pub(super) spawn_one_in: u32,
    pub(super) stack_one_in: u32,
    pub(super) timers_late_max: Duration,
}

impl Faults {
    /// Returns what is in force unless something else is said: nothing goes wrong.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Makes spawns fail: [`Builder::spawn`](crate::thread::Builder::spawn) gives an error, and
    /// [`thread::spawn`](crate::thread::spawn) panics.
    ///
    /// # Units
    ///
    /// One spawn in so many: 1 is each, 0 is none.
    pub fn spawns(mut self, one_in: u32) -> Faults {
        self.spawn_one_in = one_in;
        self
    }

    /// Refuses stacks to threads that start: their closures are dropped, and `join` gives an
    /// [`std::io::Error`]. The first thread of a run always has one.
    ///
    /// # Units
    ///
    /// One start in so many: 1 is each, 0 is none.
    pub fn stacks(mut self, one_in: u32) -> Faults {
        self.stack_one_in = one_in;
        self
    }

    /// Makes timers late: each sleep and timeout lasts longer, by a time that is drawn for it.
    ///
    /// # Units
    ///
    /// From zero to `max` later. Zero is never.
    pub fn late_timers(mut self, max: Duration) -> Faults {
        self.timers_late_max = max;
        self
    }
}
