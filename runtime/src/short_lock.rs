//! A lock that is held for moments, never across a wait: what buckets, channels and tables are
//! guarded by.
//!
//! It is one word that is free or taken. To take it is one locked change, to free it a plain store,
//! which is why it is not the system's lock: that one has to ask at each unlock whether somebody
//! sleeps, by a second locked change, and most sections are no longer than that.
//!
//! *Who does not get it* stays away for a moment and looks again, a few times, for each look takes
//! the line from the holder's processor, and a holder that is left alone gets several sections
//! done. Since a section is some ten instructions long, one that lasts for longer belongs to a
//! kernel thread that the system has stopped in the midst of it. So after that the processor is
//! given up: first to whoever is ready to run on it, and then, for a holder of lower priority would
//! not be let run by that, to nobody, for times that grow. Such a waiter polls; but as long as it
//! does there is a holder that the system is going to run.
//!
//! User code must never run under it, neither a destructor of a message nor a waker.

/// For how many pauses a holder elsewhere is left alone before the first look, and before the last
/// one, each time twice as long: some three microseconds in all, which is what a wait and a wake
/// across workers take. Each look takes the word from the holder's processor, which has to fetch it
/// back, so few looks let the holder through: on two processors a thousand threads with short
/// sections need 25 ns a section with sixty looks in a row, and 6 ns with these.
const FIRST_PAUSES: u32 = 16;
const LAST_PAUSES: u32 = if cfg!(loom) { 0 } else { 128 };

/// Stays away from a lock as long as `pays` says so of it, and not very long.
#[inline]
pub(crate) fn back_off(pays: impl Fn() -> bool) {
    let mut pauses = FIRST_PAUSES;
    while pauses <= LAST_PAUSES && pays() {
        for _ in 0..pauses {
            std::hint::spin_loop();
        }
        pauses *= 2;
    }
}

#[cfg(not(loom))]
pub(crate) use real::{ShortGuard, ShortLock};

#[cfg(loom)]
pub(crate) use model::{ShortGuard, ShortLock};

#[cfg(not(loom))]
mod real {
    use std::cell::UnsafeCell;
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    pub(crate) struct ShortLock<T> {
        is_taken: AtomicBool,
        value: UnsafeCell<T>,
    }

    // SAFETY: whoever has the guard has the value alone, and it may be sent.
    unsafe impl<T: Send> Sync for ShortLock<T> {}

    impl<T> ShortLock<T> {
        pub(crate) const fn new(value: T) -> ShortLock<T> {
            ShortLock { is_taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }

        #[inline(always)]
        pub(crate) fn lock(&self) -> ShortGuard<'_, T> {
            if !self.try_take() {
                self.take_waiting();
            }
            ShortGuard { lock: self }
        }

        #[inline(always)]
        fn try_take(&self) -> bool {
            // ORDERING: Acquire; pairs with the Release of the guard before.
            self.is_taken
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        }

        #[cold]
        #[inline(never)]
        fn take_waiting(&self) {
            let mut rounds = 0;
            loop {
                // ORDERING: Relaxed; a look before the attempt.
                super::back_off(|| self.is_taken.load(Ordering::Relaxed));
                if self.try_take() {
                    return;
                }
                give_way(rounds);
                rounds += 1;
            }
        }
    }

    /// Gives up the processor, after so many times that the lock was not to be had.
    fn give_way(rounds: u32) {
        const YIELDS: u32 = 16;
        const SLEEPS_MAX: u32 = 6;
        if rounds < YIELDS {
            std::thread::yield_now();
        } else {
            // From 1 to 64 µs.
            std::thread::sleep(Duration::from_micros(1 << (rounds - YIELDS).min(SLEEPS_MAX)));
        }
    }

    pub(crate) struct ShortGuard<'a, T> {
        lock: &'a ShortLock<T>,
    }

    // SAFETY: it gives what a reference to the value gives.
    unsafe impl<T: Sync> Sync for ShortGuard<'_, T> {}

    impl<T> Deref for ShortGuard<'_, T> {
        type Target = T;

        #[inline(always)]
        fn deref(&self) -> &T {
            // SAFETY: the lock is taken by this guard.
            unsafe { &*self.lock.value.get() }
        }
    }

    impl<T> DerefMut for ShortGuard<'_, T> {
        #[inline(always)]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: as above.
            unsafe { &mut *self.lock.value.get() }
        }
    }

    impl<T> Drop for ShortGuard<'_, T> {
        #[inline(always)]
        fn drop(&mut self) {
            // ORDERING: Release; pairs with the Acquire of the next one.
            self.lock.is_taken.store(false, Ordering::Release);
        }
    }
}

/// The same by a lock that models know.
#[cfg(loom)]
mod model {
    use crate::primitives::{Mutex, MutexGuard};

    pub(crate) struct ShortLock<T>(Mutex<T>);

    pub(crate) type ShortGuard<'a, T> = MutexGuard<'a, T>;

    impl<T> ShortLock<T> {
        pub(crate) fn new(value: T) -> ShortLock<T> {
            ShortLock(Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> ShortGuard<'_, T> {
            self.0.lock().unwrap_or_else(|e| e.into_inner())
        }
    }
}
