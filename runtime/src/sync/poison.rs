//! Poisoning: a lock remembers that somebody panicked while holding it.
//!
//! As in std, with std's own error types. A guard notes when it is made whether its thread unwinds
//! already; if it does only when the guard goes, the thread has panicked in between. Two things are
//! sylvan's own. A thread that a cancellation unwinds is not panicking: it was asked to end, and
//! leaves its data as its destructors do; as long as the payload of a cancellation lives, each
//! unwinding of its thread is taken for that cancellation. And of several threads on one worker
//! only the one that panics is, for the worker keeps std's count apart for those that wait in a
//! destructor meanwhile; see `sched::ballast`.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use crate::sched::door;

/// The flag in a lock.
pub(super) struct Flag(AtomicBool);

/// What a guard keeps.
pub(super) struct Held {
    was_panicking: bool,
}

impl Flag {
    pub(super) const fn new() -> Flag {
        Flag(AtomicBool::new(false))
    }

    /// For the one who has just got the lock.
    #[inline]
    pub(super) fn hold(&self) -> Held {
        Held { was_panicking: std::thread::panicking() }
    }

    /// For the one who is about to release the lock.
    #[inline]
    pub(super) fn release(&self, held: &Held) {
        if !held.was_panicking && std::thread::panicking() {
            self.release_unwinding();
        }
    }

    #[cold]
    fn release_unwinding(&self) {
        if door::is_panicking() {
            // ORDERING: Relaxed; the lock's release publishes it.
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        // ORDERING: Relaxed; who needs to know has the lock.
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        // ORDERING: Relaxed; as above.
        self.0.store(false, Ordering::Relaxed);
    }

    /// `value` as std hands it out of a lock with this flag.
    #[inline]
    pub(super) fn wrap<T>(&self, value: T) -> LockResult<T> {
        if self.is_set() { Err(PoisonError::new(value)) } else { Ok(value) }
    }

    /// The same for an attempt, which may have got nothing.
    #[inline]
    pub(super) fn wrap_attempt<T>(&self, value: Option<T>) -> TryLockResult<T> {
        match value {
            Some(value) => self.wrap(value).map_err(TryLockError::Poisoned),
            None => Err(TryLockError::WouldBlock),
        }
    }
}
