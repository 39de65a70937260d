//! `RwLock`: std's, for green threads and kernel threads.
//!
//! How it waits is in `raw`; here is the data, and the poisoning, which only writers do.

#[cfg(all(loom, test))]
mod models;
pub(super) mod raw;

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::{Duration, Instant};

use crate::clock;
use crate::primitives::const_fn;
use crate::sync::poison::{Flag, Held};
use crate::sync::rwlock::raw::RawRwLock;

/// A lock that lets many readers at its data, or one writer.
///
/// std's, and it may be shared between green threads of any runtime and kernel threads. A thread
/// that waits for it lets others of its worker run. It takes four bytes and one for the poison
/// flag, besides the data.
///
/// A lock that is released goes to whoever asks first. But readers wait behind a writer that waits,
/// even if other readers are inside, and whoever was woken four times and came too late each time
/// has the lock handed over; so nobody waits for ever.
///
/// It is poisoned by a panic while a writer holds it, as std's is, but not by a cancellation, which
/// is no panic.
///
/// A thread that waits for a lock that it holds waits for ever, also a reader that reads again
/// while a writer waits; in a debug build it panics and says where it has taken it.
///
/// # Examples
///
/// ```
/// use sylvan::sync::RwLock;
/// use sylvan::thread;
///
/// let lock = RwLock::new(5);
/// thread::scope(|scope| {
///     for _ in 0..10 {
///         scope.spawn(|| assert!(*lock.read().unwrap() >= 5));
///     }
///     scope.spawn(|| *lock.write().unwrap() += 1);
/// });
/// assert_eq!(lock.into_inner().unwrap(), 6);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    poison: Flag,
    data: UnsafeCell<T>,
}

// SAFETY: the lock hands out its data, by value or by exclusive reference, to one thread at a time.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: as above; and by shared references to several.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    const_fn! {
        /// Returns an unlocked lock.
        #[inline]
        pub const fn new(value: T) -> RwLock<T> {
            RwLock { raw: RawRwLock::new(), poison: Flag::new(), data: UnsafeCell::new(value) }
        }
    }

    /// Returns the data.
    ///
    /// # Errors
    ///
    /// The same, wrapped, if the lock is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let RwLock { poison, data, .. } = self;
        poison.wrap(data.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading, beside other readers, and releases it when the guard is dropped.
    ///
    /// # Blocking
    ///
    /// Waits as long as a writer holds the lock or waits for it; a cancellation ends the wait, and
    /// is delivered here also if the lock is free. Other threads may have their turns in any case.
    /// A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// The guard, wrapped, if a writer has panicked while holding the lock.
    ///
    /// # Panics
    ///
    /// If as many readers hold the lock as it can count, some 500 million. In a debug build, if the
    /// current thread would wait for itself.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.raw.read_until(None);
        self.poison.wrap(self.reader())
    }

    /// Takes the lock for reading if it can be had at once.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if it cannot, [`TryLockError::Poisoned`] with the guard if a
    /// writer has panicked while holding it.
    ///
    /// # Panics
    ///
    /// If as many readers hold the lock as it can count.
    #[inline]
    #[track_caller]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.reader_if(self.raw.try_read())
    }

    /// Takes the lock for reading if that takes no longer than `timeout`. Not in std.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::read`], and no longer than `timeout`.
    ///
    /// # Units
    ///
    /// Never shorter than `timeout`, and exact to some 16 µs plus what the kernel adds. With zero
    /// it takes the lock if it can be had at once; a timeout that no clock will ever show is none.
    ///
    /// # Errors
    ///
    /// As [`RwLock::try_read`].
    ///
    /// # Panics
    ///
    /// As [`RwLock::read`], if there is no end to the wait.
    #[track_caller]
    pub fn try_read_for(&self, timeout: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.reader_if(self.raw.read_until(clock::deadline_in(timeout)))
    }

    /// Takes the lock for reading if it can be had before `deadline`. Not in std.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::read`], and no longer than until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`RwLock::try_read`].
    ///
    /// # Panics
    ///
    /// As [`RwLock::try_read`].
    #[track_caller]
    pub fn try_read_until(&self, deadline: Instant) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.reader_if(self.raw.read_until(Some(deadline)))
    }

    /// Takes the lock for writing, alone, and releases it when the guard is dropped.
    ///
    /// # Blocking
    ///
    /// Waits as long as anybody holds the lock; a cancellation ends the wait, and is delivered here
    /// also if the lock is free. Other threads may have their turns in any case. A kernel thread
    /// blocks.
    ///
    /// # Errors
    ///
    /// The guard, wrapped, if a writer has panicked while holding the lock.
    ///
    /// # Panics
    ///
    /// In a debug build, if the current thread holds the lock.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.raw.write_until(None);
        self.poison.wrap(self.writer())
    }

    /// Takes the lock for writing if it is free.
    ///
    /// # Errors
    ///
    /// As [`RwLock::try_read`].
    #[inline]
    #[track_caller]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.writer_if(self.raw.try_write())
    }

    /// Takes the lock for writing if it becomes free within `timeout`. Not in std.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::write`], and no longer than `timeout`.
    ///
    /// # Units
    ///
    /// As [`RwLock::try_read_for`].
    ///
    /// # Errors
    ///
    /// As [`RwLock::try_read`].
    ///
    /// # Panics
    ///
    /// As [`RwLock::write`], if there is no end to the wait.
    #[track_caller]
    pub fn try_write_for(&self, timeout: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.writer_if(self.raw.write_until(clock::deadline_in(timeout)))
    }

    /// Takes the lock for writing if it becomes free before `deadline`. Not in std.
    ///
    /// # Blocking
    ///
    /// As [`RwLock::write`], and no longer than until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`RwLock::try_read`].
    #[track_caller]
    pub fn try_write_until(&self, deadline: Instant) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.writer_if(self.raw.write_until(Some(deadline)))
    }

    /// Returns whether a writer has panicked while holding the lock. Another thread may do so at
    /// any time.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Forgets that a writer has panicked while holding the lock.
    #[inline]
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// Returns the data, which nobody else can reach meanwhile.
    ///
    /// # Errors
    ///
    /// The same, wrapped, if the lock is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.poison.wrap(self.data.get_mut())
    }

    /// A guard for one who has just got the lock for reading.
    #[inline]
    fn reader(&self) -> RwLockReadGuard<'_, T> {
        // SAFETY: an `UnsafeCell` lies at no null address.
        let data = unsafe { NonNull::new_unchecked(self.data.get()) };
        RwLockReadGuard { data, raw: &self.raw, not_send: PhantomData }
    }

    /// A guard for the one who has just got the lock for writing.
    #[inline]
    fn writer(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { lock: self, held: self.poison.hold(), not_send: PhantomData }
    }

    /// What an attempt gives that has got the lock, or has not.
    #[inline]
    fn reader_if(&self, locked: bool) -> TryLockResult<RwLockReadGuard<'_, T>> {
        self.poison.wrap_attempt(locked.then(|| self.reader()))
    }

    /// The same.
    #[inline]
    fn writer_if(&self, locked: bool) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        self.poison.wrap_attempt(locked.then(|| self.writer()))
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(guard)) => out.field("data", &&**guard.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.is_poisoned());
        out.finish_non_exhaustive()
    }
}

/// The right to read a lock's data; its drop releases the lock.
///
/// It stays with its thread. Its drop never switches to another thread.
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized + 'a> {
    /// Into the lock. No reference, for the guard may be an argument of the function that drops it,
    /// and then the data may change before that function ends.
    data: NonNull<T>,
    raw: &'a RawRwLock,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared references to the data.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

impl<T: ?Sized + RefUnwindSafe> UnwindSafe for RwLockReadGuard<'_, T> {}
impl<T: ?Sized + RefUnwindSafe> RefUnwindSafe for RwLockReadGuard<'_, T> {}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock for reading.
        unsafe { self.data.as_ref() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: S1: the guard holds the lock for reading.
        unsafe { self.raw.unlock_read() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The right to a lock's data; its drop releases the lock.
///
/// It stays with its thread. Its drop never switches to another thread.
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized + 'a> {
    lock: &'a RwLock<T>,
    held: Held,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared references to the data.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Makes the writer a reader, without a moment in which another writer could come in. It does
    /// not wait, and readers that wait in front come in.
    #[track_caller]
    pub fn downgrade(writer: RwLockWriteGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        let writer = ManuallyDrop::new(writer);
        let lock = writer.lock;
        lock.poison.release(&writer.held);
        // SAFETY: S1: the guard has held the lock for writing, and is not dropped.
        unsafe { lock.raw.downgrade() };
        lock.reader()
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock alone, and this is the only reference got from it.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.release(&self.held);
        // SAFETY: S1: the guard holds the lock for writing.
        unsafe { self.lock.raw.unlock_write() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
