//! `Semaphore`: permits that are counted, and handed out in the order in which they were asked for.
//!
//! How it waits is in `raw`; here are the permits.

#[cfg(all(loom, test))]
mod models;
mod raw;

use std::fmt;
use std::mem;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::primitives::const_fn;
use crate::sync::semaphore::raw::{PERMITS_MAX, RawSemaphore};

/// Permits that threads take and give back: so many of them can do something at a time.
///
/// Not in std; the names are tokio's. It is first come, first served: who asks for many permits is
/// not passed by those who come later and ask for few.
///
/// A permit is taken as a guard, which gives it back when it is dropped, also by a panic. It may go
/// to another thread.
///
/// # Examples
///
/// ```
/// use sylvan::sync::Semaphore;
/// use sylvan::thread;
///
/// let connections = Semaphore::new(3);
/// thread::scope(|scope| {
///     for _ in 0..10 {
///         scope.spawn(|| {
///             let _permit = connections.acquire();
///             // No more than three threads are here at a time.
///         });
///     }
/// });
/// assert_eq!(connections.available_permits(), 3);
/// ```
pub struct Semaphore {
    raw: RawSemaphore,
}

impl Semaphore {
    /// How many permits a semaphore can have.
    pub const MAX_PERMITS: usize = PERMITS_MAX;

    const_fn! {
        /// Returns a semaphore with so many permits.
        ///
        /// # Panics
        ///
        /// If there are more than [`Semaphore::MAX_PERMITS`].
        #[must_use]
        #[track_caller]
        pub const fn new(permits: usize) -> Semaphore {
            if permits > PERMITS_MAX {
                panic!("{}", TOO_MANY);
            }
            Semaphore { raw: RawSemaphore::new(permits) }
        }
    }

    /// Returns how many permits nobody has at present. Another thread may change that at any time.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.raw.permits()
    }

    /// Takes a permit.
    ///
    /// # Blocking
    ///
    /// Waits until one is there and all who came before have theirs; a cancellation ends the wait,
    /// and is delivered here also if a permit is there. Other threads may have their turns in any
    /// case. A kernel thread blocks.
    #[inline]
    #[track_caller]
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Takes `permits` at once.
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire`], until so many are there together. It does not hold some of them
    /// while it waits for others, but those who come later wait for it.
    ///
    /// # Units
    ///
    /// With zero it only waits for those who came before, if somebody waits.
    ///
    /// # Panics
    ///
    /// If it asks for more than [`Semaphore::MAX_PERMITS`], which will never be there.
    #[inline]
    #[track_caller]
    pub fn acquire_many(&self, permits: usize) -> SemaphorePermit<'_> {
        self.take(permits, None);
        SemaphorePermit { semaphore: self, permits }
    }

    /// Takes a permit if one is there and nobody waits.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `permits` at once if they are there and nobody waits.
    #[inline]
    pub fn try_acquire_many(&self, permits: usize) -> Option<SemaphorePermit<'_>> {
        self.permit_if(self.raw.try_take(permits), permits)
    }

    /// Takes a permit if it can have one within `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire`], and no longer than `timeout`.
    ///
    /// # Units
    ///
    /// `None` comes never sooner than after `timeout`, and exact to some 16 µs plus what the kernel
    /// adds. With zero it does not wait; a timeout that no clock will ever show is none.
    #[track_caller]
    pub fn try_acquire_for(&self, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        self.permit_if(self.take(1, clock::deadline_in(timeout)), 1)
    }

    /// Takes a permit if it can have one before `deadline`.
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire`], and no longer than until `deadline`.
    #[track_caller]
    pub fn try_acquire_until(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        self.permit_if(self.take(1, Some(deadline)), 1)
    }

    /// The same as [`Semaphore::acquire`], with a permit that keeps the semaphore alive.
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>) -> OwnedSemaphorePermit {
        self.acquire_many_owned(1)
    }

    /// The same at a call further out.
    // SUSPENDS
    pub(crate) fn acquire_owned_at(
        self: Arc<Self>,
        site: &'static Location<'static>,
    ) -> OwnedSemaphorePermit {
        self.raw.take_until(1, None, site);
        OwnedSemaphorePermit { semaphore: self, permits: 1 }
    }

    /// The same as [`Semaphore::acquire_many`], with a permit that keeps the semaphore alive.
    ///
    /// # Blocking
    ///
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Panics
    ///
    /// As [`Semaphore::acquire_many`].
    #[track_caller]
    pub fn acquire_many_owned(self: Arc<Self>, permits: usize) -> OwnedSemaphorePermit {
        self.take(permits, None);
        OwnedSemaphorePermit { semaphore: self, permits }
    }

    /// The same as [`Semaphore::try_acquire`], with a permit that keeps the semaphore alive.
    pub fn try_acquire_owned(self: Arc<Self>) -> Option<OwnedSemaphorePermit> {
        self.try_acquire_many_owned(1)
    }

    /// The same as [`Semaphore::try_acquire_many`], with a permit that keeps the semaphore alive.
    pub fn try_acquire_many_owned(self: Arc<Self>, permits: usize) -> Option<OwnedSemaphorePermit> {
        let got = self.raw.try_take(permits);
        got.then(|| OwnedSemaphorePermit { semaphore: self, permits })
    }

    /// Gives the semaphore new permits, to those who wait first. It does not wait itself.
    ///
    /// # Panics
    ///
    /// If more than [`Semaphore::MAX_PERMITS`] would be available. None is added then. If permits
    /// that were taken come back later and are too many, they are forgotten.
    #[track_caller]
    pub fn add_permits(&self, permits: usize) {
        if let Err(there) = self.raw.give_new(permits) {
            panic!(
                "a semaphore can have {PERMITS_MAX} permits at most, and {permits} cannot be added \
                 to {there}"
            );
        }
    }

    /// Takes up to `permits` of those that are available away for ever, also if somebody waits for
    /// more. Returns how many.
    pub fn forget_permits(&self, permits: usize) -> usize {
        self.raw.take_away(permits)
    }

    // SUSPENDS
    #[inline]
    #[track_caller]
    fn take(&self, permits: usize, deadline: Option<Instant>) -> bool {
        assert!(
            permits <= PERMITS_MAX,
            "a semaphore has {PERMITS_MAX} permits at most, and {permits} were asked for"
        );
        self.raw.take_until(permits, deadline, Location::caller())
    }

    fn permit_if(&self, got: bool, permits: usize) -> Option<SemaphorePermit<'_>> {
        got.then(|| SemaphorePermit { semaphore: self, permits })
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available_permits", &self.available_permits()).finish()
    }
}

/// What the two kinds of permits have in common, which differ in how they hold the semaphore.
macro_rules! permit {
    ($(#[$attribute:meta])* $name:ident $(<$life:lifetime>)?, $holder:ty) => {
        $(#[$attribute])*
        #[must_use = "if unused the permits are given back immediately"]
        #[clippy::has_significant_drop]
        #[derive(Debug)]
        pub struct $name $(<$life>)? {
            semaphore: $holder,
            permits: usize,
        }

        impl $(<$life>)? $name $(<$life>)? {
            /// Returns how many permits it is.
            #[must_use]
            pub fn num_permits(&self) -> usize {
                self.permits
            }

            /// Keeps the permits from ever being given back.
            pub fn forget(mut self) {
                self.permits = 0;
            }

            /// Takes the permits of `other` in.
            ///
            /// # Panics
            ///
            /// If they are those of another semaphore. `other` is given back then.
            #[track_caller]
            pub fn merge(&mut self, mut other: Self) {
                assert!(
                    ptr::eq(&*self.semaphore, &*other.semaphore),
                    "permits of one semaphore cannot be merged with permits of another"
                );
                self.permits += mem::take(&mut other.permits);
            }

            /// Takes `permits` out of it. `None`, and no change, if it has not so many.
            #[must_use = "if unused the permits are given back immediately"]
            pub fn split(&mut self, permits: usize) -> Option<Self> {
                self.permits = self.permits.checked_sub(permits)?;
                let semaphore = self.semaphore.clone();
                Some($name { semaphore, permits })
            }
        }

        impl $(<$life>)? Drop for $name $(<$life>)? {
            #[inline]
            fn drop(&mut self) {
                if self.permits > 0 {
                    self.semaphore.raw.give(self.permits);
                }
            }
        }
    };
}

permit! {
    /// Permits of a [`Semaphore`], which they borrow; dropped they are given back.
    ///
    /// The drop never switches to another thread.
    SemaphorePermit<'a>, &'a Semaphore
}

permit! {
    /// Permits of a [`Semaphore`], which they keep alive; dropped they are given back.
    ///
    /// The drop never switches to another thread.
    OwnedSemaphorePermit, Arc<Semaphore>
}

/// A constant may panic with no other text; a test compares the number.
#[cfg(target_pointer_width = "64")]
const TOO_MANY: &str = "a semaphore can have 2305843009213693951 permits at most";
#[cfg(target_pointer_width = "32")]
const TOO_MANY: &str = "a semaphore can have 536870911 permits at most";
