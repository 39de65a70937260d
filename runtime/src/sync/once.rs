//! `Once`: std's, for green threads and kernel threads.
//!
//! Who runs the closure and how the others wait is in `raw`; here are the rules of poisoning.
#![forbid(unsafe_code)]

#[cfg(all(loom, test))]
mod models;
pub(super) mod raw;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use crate::primitives::const_fn;
use crate::sync::once::raw::{Poisoned, RawOnce, Rules};

/// Something that is to be done once, by whoever comes first.
///
/// std's, for threads of any kind: all others wait until it is done, and let other threads of their
/// workers run meanwhile. For a value that is made once there are
/// [`OnceLock`](crate::sync::OnceLock) and [`LazyLock`](crate::sync::LazyLock).
///
/// It is poisoned by a closure that panics, as std's is. A closure that a cancellation unwinds
/// leaves it as it was, and the next caller runs its own.
///
/// A closure that needs what it is about to do waits for itself, for ever; in a debug build it
/// panics and says where it was called.
///
/// # Examples
///
/// ```
/// use sylvan::sync::Once;
/// use sylvan::thread;
///
/// static START: Once = Once::new();
///
/// let threads = [(); 2].map(|()| thread::spawn(|| START.call_once(|| println!("once"))));
/// for thread in threads {
///     thread.join().unwrap();
/// }
/// assert!(START.is_completed());
/// ```
pub struct Once {
    raw: RawOnce,
}

/// What [`Once::call_once_force`] tells its closure.
pub struct OnceState {
    poisoned: bool,
    /// std's is not `Sync`.
    not_sync: PhantomData<Cell<()>>,
}

impl Once {
    const_fn! {
        /// Returns one that is still to be done.
        #[must_use]
        #[inline]
        #[allow(clippy::new_without_default, reason = "std's has no default either")]
        pub const fn new() -> Once {
            Once { raw: RawOnce::new() }
        }
    }

    /// Calls `f`, unless it was done before. When this returns it is done, and what the closure has
    /// done can be seen.
    ///
    /// # Blocking
    ///
    /// Waits as long as another thread runs its closure; a cancellation ends the wait, and is
    /// delivered here also if there is nothing to wait for. Other threads may have their turns in
    /// any case. None of this holds if it is done already: then the call is one look. A kernel
    /// thread blocks.
    ///
    /// # Panics
    ///
    /// If it is poisoned, if `f` panics, and, in a debug build, if the current thread runs its
    /// closure.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::sync::Once;
    ///
    /// let (once, mut calls) = (Once::new(), 0);
    /// once.call_once(|| calls += 1);
    /// once.call_once(|| calls += 1);
    /// assert_eq!(calls, 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn call_once<F>(&self, f: F)
    where
        F: FnOnce(),
    {
        if !self.raw.is_completed() {
            let mut f = Some(f);
            let rules = Rules { ignores_poison: false, ..FORCED };
            let called = self.raw.call(rules, Location::caller(), &mut |_| {
                f.take().expect("a closure runs once")();
            });
            expect_no_poison(called);
        }
    }

    /// Calls `f`, unless it was done before, although an earlier closure may have panicked.
    ///
    /// # Blocking
    ///
    /// As [`Once::call_once`].
    ///
    /// # Panics
    ///
    /// If `f` panics, and, in a debug build, if the current thread runs its closure.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::sync::Once;
    /// use sylvan::thread;
    ///
    /// let once = Once::new();
    /// thread::scope(|scope| {
    ///     let panics = scope.spawn(|| once.call_once(|| panic!("expected")));
    ///     assert!(panics.join().is_err());
    /// });
    /// once.call_once_force(|state| assert!(state.is_poisoned()));
    /// once.call_once(|| unreachable!("it is done"));
    /// ```
    #[inline]
    #[track_caller]
    pub fn call_once_force<F>(&self, f: F)
    where
        F: FnOnce(&OnceState),
    {
        if !self.raw.is_completed() {
            let mut f = Some(f);
            let called = self.raw.call(FORCED, Location::caller(), &mut |poisoned| {
                let state = OnceState { poisoned, not_sync: PhantomData };
                f.take().expect("a closure runs once")(&state);
            });
            expect_no_poison(called);
        }
    }

    /// Returns whether it is done. If it is, what the closure has done can be seen; if it is not,
    /// it may be any moment.
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.raw.is_completed()
    }

    /// Waits until it is done.
    ///
    /// # Blocking
    ///
    /// Waits until somebody has called a closure that returned; a cancellation ends the wait, and
    /// is delivered here also if there is nothing to wait for, unless it is done already: then the
    /// call is one look. A kernel thread blocks.
    ///
    /// # Panics
    ///
    /// If it is poisoned or becomes so, and, in a debug build, if the current thread runs its
    /// closure.
    #[inline]
    #[track_caller]
    pub fn wait(&self) {
        if !self.raw.is_completed() {
            expect_no_poison(self.raw.wait(false, Location::caller()));
        }
    }

    /// Waits until it is done, although closures may panic before.
    ///
    /// # Blocking
    ///
    /// As [`Once::wait`].
    ///
    /// # Panics
    ///
    /// In a debug build, if the current thread runs its closure.
    #[inline]
    #[track_caller]
    pub fn wait_force(&self) {
        if !self.raw.is_completed() {
            expect_no_poison(self.raw.wait(true, Location::caller()));
        }
    }
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl OnceState {
    /// Returns whether an earlier closure has panicked.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState").field("poisoned", &self.poisoned).finish()
    }
}

/// The rules of [`Once::call_once_force`].
const FORCED: Rules =
    Rules { ignores_poison: true, panic_poisons: true, cancellation_poisons: false };

#[inline]
#[track_caller]
fn expect_no_poison(ended: Result<(), Poisoned>) {
    if ended.is_err() {
        // std's words.
        panic!("Once instance has previously been poisoned");
    }
}
