//! The locks without their data, for the crate [`lock_api`]: whatever is generic over
//! its traits, such as its own `Mutex<R, T>` with guards of a part of the data, then waits as
//! sylvan's locks do.
//!
//! They do not poison, as nothing does that stands on these traits. All else is as of
//! [`Mutex`](crate::sync::Mutex) and [`RwLock`](crate::sync::RwLock): calls that may wait are
//! switch points, and a cancellation unwinds from them.
//!
//! # Examples
//!
//! ```
//! use sylvan::sync::lock_api::RawMutex;
//!
//! static NUMBER: lock_api::Mutex<RawMutex, u32> = lock_api::Mutex::new(5);
//!
//! *NUMBER.lock() += 1;
//! assert_eq!(*NUMBER.lock(), 6);
//! ```

use std::fmt;
use std::time::{Duration, Instant};

use lock_api::GuardNoSend;

use crate::clock;
use crate::sync::mutex::raw::RawMutex as Mutex;
use crate::sync::rwlock::raw::RawRwLock as RwLock;

/// [`Mutex`](crate::sync::Mutex) without data and poison flag.
pub struct RawMutex(Mutex);

/// [`RwLock`](crate::sync::RwLock) without data and poison flag.
pub struct RawRwLock(RwLock);

// SAFETY: it is exclusive as `sync::Mutex` is, which stands on the same.
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait has it so")]
    const INIT: RawMutex = RawMutex(Mutex::new());

    type GuardMarker = GuardNoSend;

    #[inline]
    #[track_caller]
    fn lock(&self) {
        self.0.lock_until(None);
    }

    #[inline]
    #[track_caller]
    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: S1: the caller's to ensure.
        unsafe { self.0.unlock() };
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

// SAFETY: as above.
unsafe impl lock_api::RawMutexTimed for RawMutex {
    type Duration = Duration;
    type Instant = Instant;

    #[track_caller]
    fn try_lock_for(&self, timeout: Duration) -> bool {
        self.0.lock_until(clock::deadline_in(timeout))
    }

    #[track_caller]
    fn try_lock_until(&self, deadline: Instant) -> bool {
        self.0.lock_until(Some(deadline))
    }
}

// SAFETY: it excludes as `sync::RwLock` does, which stands on the same.
unsafe impl lock_api::RawRwLock for RawRwLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait has it so")]
    const INIT: RawRwLock = RawRwLock(RwLock::new());

    type GuardMarker = GuardNoSend;

    #[inline]
    #[track_caller]
    fn lock_shared(&self) {
        self.0.read_until(None);
    }

    #[inline]
    #[track_caller]
    fn try_lock_shared(&self) -> bool {
        self.0.try_read()
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        // SAFETY: S1: the caller's to ensure.
        unsafe { self.0.unlock_read() };
    }

    #[inline]
    #[track_caller]
    fn lock_exclusive(&self) {
        self.0.write_until(None);
    }

    #[inline]
    #[track_caller]
    fn try_lock_exclusive(&self) -> bool {
        self.0.try_write()
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        // SAFETY: S1: the caller's to ensure.
        unsafe { self.0.unlock_write() };
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.0.is_locked_by_writer()
    }
}

// SAFETY: as above.
unsafe impl lock_api::RawRwLockDowngrade for RawRwLock {
    #[track_caller]
    unsafe fn downgrade(&self) {
        // SAFETY: S1: the caller's to ensure.
        unsafe { self.0.downgrade() };
    }
}

// SAFETY: as above.
unsafe impl lock_api::RawRwLockTimed for RawRwLock {
    type Duration = Duration;
    type Instant = Instant;

    #[track_caller]
    fn try_lock_shared_for(&self, timeout: Duration) -> bool {
        self.0.read_until(clock::deadline_in(timeout))
    }

    #[track_caller]
    fn try_lock_shared_until(&self, deadline: Instant) -> bool {
        self.0.read_until(Some(deadline))
    }

    #[track_caller]
    fn try_lock_exclusive_for(&self, timeout: Duration) -> bool {
        self.0.write_until(clock::deadline_in(timeout))
    }

    #[track_caller]
    fn try_lock_exclusive_until(&self, deadline: Instant) -> bool {
        self.0.write_until(Some(deadline))
    }
}

impl fmt::Debug for RawMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMutex").finish_non_exhaustive()
    }
}

impl fmt::Debug for RawRwLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRwLock").finish_non_exhaustive()
    }
}
