//! `Mutex`: std's, for green threads and kernel threads.
//!
//! How it waits is in `raw`; here is the data, and the poisoning.

#[cfg(all(loom, test))]
mod models;
pub(super) mod raw;

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::{Duration, Instant};

use crate::clock;
use crate::primitives::const_fn;
use crate::sync::mutex::raw::RawMutex;
use crate::sync::poison::{Flag, Held};

/// A lock that lets one thread at a time at its data.
///
/// std's, and it may be shared between green threads of any runtime and kernel threads. A thread
/// that waits for it lets others of its worker run. It takes four bytes and one for the poison
/// flag, besides the data.
///
/// It is not fair in the short run: a mutex that is released goes to whoever asks first, so that a
/// thread that is running need not wait for one that sleeps. In the long run it is: a waiter that
/// was woken for it four times and came too late each time has it handed over.
///
/// It is poisoned by a panic while it is held, as std's is, but not by a cancellation, which is no
/// panic.
///
/// A thread that takes a mutex that it holds waits for ever; in a debug build it panics and says
/// where it has taken it. A mutex is not for signal handlers.
///
/// # Examples
///
/// ```
/// use sylvan::sync::{Arc, Mutex};
/// use sylvan::thread;
///
/// let count = Arc::new(Mutex::new(0));
/// let threads: Vec<_> = (0..10)
///     .map(|_| {
///         let count = count.clone();
///         thread::spawn(move || *count.lock().unwrap() += 1)
///     })
///     .collect();
/// for thread in threads {
///     thread.join().unwrap();
/// }
/// assert_eq!(*count.lock().unwrap(), 10);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    poison: Flag,
    data: UnsafeCell<T>,
}

// SAFETY: the mutex hands out its data, by value or by exclusive reference, to one thread at a
// time.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    const_fn! {
        /// Returns an unlocked mutex.
        #[inline]
        pub const fn new(value: T) -> Mutex<T> {
            Mutex { raw: RawMutex::new(), poison: Flag::new(), data: UnsafeCell::new(value) }
        }
    }

    /// Returns the data.
    ///
    /// # Errors
    ///
    /// The same, wrapped, if the mutex is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let Mutex { poison, data, .. } = self;
        poison.wrap(data.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex, and releases it when the guard is dropped.
    ///
    /// # Blocking
    ///
    /// Waits until the mutex is free; a cancellation ends the wait, and is delivered here also if
    /// the mutex is free. Other threads may have their turns in any case. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// The guard, wrapped, if somebody has panicked while holding the mutex.
    ///
    /// # Panics
    ///
    /// In a debug build, if the current thread holds the mutex.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.lock_until(None);
        self.guard_result()
    }

    /// Takes the mutex if it is free.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if it is not, [`TryLockError::Poisoned`] with the guard if
    /// somebody has panicked while holding it.
    #[inline]
    #[track_caller]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        self.attempt(self.raw.try_lock())
    }

    /// Takes the mutex if it becomes free within `timeout`. Not in std.
    ///
    /// # Blocking
    ///
    /// As [`Mutex::lock`], and no longer than `timeout`.
    ///
    /// # Units
    ///
    /// Never shorter than `timeout`, and exact to some 16 µs plus what the kernel adds. With zero
    /// it takes the mutex if it is free; a timeout that no clock will ever show is none.
    ///
    /// # Errors
    ///
    /// As [`Mutex::try_lock`].
    ///
    /// # Panics
    ///
    /// As [`Mutex::lock`].
    #[track_caller]
    pub fn try_lock_for(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        self.attempt(self.raw.lock_until(clock::deadline_in(timeout)))
    }

    /// Takes the mutex if it becomes free before `deadline`. Not in std.
    ///
    /// # Blocking
    ///
    /// As [`Mutex::lock`], and no longer than until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`Mutex::try_lock`].
    ///
    /// # Panics
    ///
    /// As [`Mutex::lock`].
    #[track_caller]
    pub fn try_lock_until(&self, deadline: Instant) -> TryLockResult<MutexGuard<'_, T>> {
        self.attempt(self.raw.lock_until(Some(deadline)))
    }

    /// Returns whether somebody has panicked while holding the mutex. Another thread may do so at
    /// any time.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Forgets that somebody has panicked while holding the mutex.
    #[inline]
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// Returns the data, which nobody else can reach meanwhile.
    ///
    /// # Errors
    ///
    /// The same, wrapped, if the mutex is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.wrap(self.data.get_mut())
    }

    /// A guard for the one who has just got the mutex.
    #[inline]
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: self.poison.hold(), not_send: PhantomData }
    }

    #[inline]
    fn guard_result(&self) -> LockResult<MutexGuard<'_, T>> {
        self.poison.wrap(self.guard())
    }

    /// What an attempt gives that has got the mutex, or has not.
    #[inline]
    fn attempt(&self, locked: bool) -> TryLockResult<MutexGuard<'_, T>> {
        self.poison.wrap_attempt(locked.then(|| self.guard()))
    }

    /// Takes the mutex again, for [`Condvar`](crate::sync::Condvar).
    // SUSPENDS
    #[track_caller]
    pub(super) fn lock_after_wait(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.lock_without_switch_point(None);
        self.guard_result()
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(guard)) => out.field("data", &&**guard.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &"<locked>"),
        };
        out.field("poisoned", &self.is_poisoned());
        out.finish_non_exhaustive()
    }
}

/// The right to a mutex's data; its drop releases the mutex.
///
/// It stays with its thread. Its drop never switches to another thread.
#[must_use = "if unused the Mutex will immediately unlock"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized + 'a> {
    mutex: &'a Mutex<T>,
    held: Held,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared references to the data.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex that the guard holds.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the mutex.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the mutex, and this is the only reference got from it.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.release(&self.held);
        // SAFETY: S1: the guard holds the mutex.
        unsafe { self.mutex.raw.unlock() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
