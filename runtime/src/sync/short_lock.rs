//! A lock that is held for moments, never across a wait: what buckets and channels are guarded by.
//!
//! It is the system's own lock, so whoever does not get it sleeps, and the thread of a worker then
//! takes the worker along; but it is held for some ten instructions, and only a kernel thread that
//! the system has stopped in the midst of them is really waited for. What it has besides is a
//! *hint* that it is taken: whoever sees that stays away for a moment, for each look takes the
//! line from the holder's processor, and a holder that is left alone gets several sections done.
//!
//! User code must never run under it, neither a destructor of a message nor a waker.
#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};

use crate::primitives::{AtomicBool, Mutex, MutexGuard, Ordering, const_fn};
use crate::sync::barging;

pub(crate) struct ShortLock<T> {
    value: Mutex<T>,
    /// Whether somebody has the lock; only to know how long it pays to stay away from it.
    is_taken: AtomicBool,
}

impl<T> ShortLock<T> {
    const_fn! {
        pub(crate) const fn new(value: T) -> ShortLock<T> {
            ShortLock { value: Mutex::new(value), is_taken: AtomicBool::new(false) }
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> ShortGuard<'_, T> {
        // ORDERING: Relaxed, here and below; a hint.
        barging::back_off(|| self.is_taken.load(Ordering::Relaxed));
        // What panics under this lock is a broken invariant of ours, and none of it is half done.
        let value = self.value.lock().unwrap_or_else(|e| e.into_inner());
        self.is_taken.store(true, Ordering::Relaxed);
        ShortGuard { is_taken: &self.is_taken, value }
    }
}

pub(crate) struct ShortGuard<'a, T> {
    is_taken: &'a AtomicBool,
    value: MutexGuard<'a, T>,
}

impl<T> Deref for ShortGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for ShortGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for ShortGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // ORDERING: Relaxed; a hint. The lock is released next.
        self.is_taken.store(false, Ordering::Relaxed);
    }
}
