//! `Condvar`: std's, for green threads and kernel threads.
//!
//! A waiter enters the queue before it releases the mutex, so whoever changes the condition under
//! the mutex afterwards finds it there. One word says whether anybody may be in the queue, so that
//! a notification without waiters is one load. It is set and cleared under the bucket's lock.
//!
//! A notification is given to a waiter or to nobody. One that is then cancelled before it has the
//! mutex again passes the notification on.

#[cfg(all(loom, test))]
mod models;

use std::fmt;
use std::panic::Location;
use std::ptr;
use std::sync::{LockResult, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::primitives::{AtomicU32, Ordering, const_fn};
use crate::sync::address::{self, Ended, Queue, Request};
use crate::sync::mutex::MutexGuard;
use crate::task::{Reason, WaitKind};

/// Lets threads wait until another one says that what they wait for may have come.
///
/// std's, for threads of any kind. A thread waits with a [`Mutex`](crate::sync::Mutex) that guards
/// the condition, and looks at the condition again when it comes back: it may come back for
/// nothing. Under a seed it does so now and then on purpose.
///
/// Notifications reach waiters in the order in which they came. Notifying never switches to another
/// thread. Unlike std's it does not mind being used with several mutexes.
///
/// # Examples
///
/// ```
/// use sylvan::sync::{Condvar, Mutex};
/// use sylvan::thread;
///
/// let (ready, changed) = (Mutex::new(false), Condvar::new());
/// thread::scope(|scope| {
///     scope.spawn(|| {
///         *ready.lock().unwrap() = true;
///         changed.notify_one();
///     });
///     let guard = changed.wait_while(ready.lock().unwrap(), |ready| !*ready).unwrap();
///     assert!(*guard);
/// });
/// ```
pub struct Condvar {
    raw: RawCondvar,
}

/// Whether a wait with a timeout ended by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Returns whether the time was over.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    const_fn! {
        /// Returns a condition variable on which nobody waits.
        #[must_use]
        #[inline]
        pub const fn new() -> Condvar {
            Condvar { raw: RawCondvar::new() }
        }
    }

    /// Releases the mutex, waits for a notification, and takes the mutex again.
    ///
    /// # Blocking
    ///
    /// Waits for a notification, and then for the mutex. A cancellation ends either wait, without
    /// the mutex; a notification that had come by then goes to the next waiter. A kernel thread
    /// blocks.
    ///
    /// # Errors
    ///
    /// The guard, wrapped, if the mutex is poisoned when it is taken again.
    #[track_caller]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until_deadline(guard, None).0
    }

    /// Waits until `condition` says false.
    ///
    /// # Blocking
    ///
    /// As [`Condvar::wait`], again and again.
    ///
    /// # Errors
    ///
    /// As [`Condvar::wait`].
    #[track_caller]
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// The same as [`Condvar::wait`], for no longer than `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Condvar::wait`]; the time that it takes to get the mutex again comes on top.
    ///
    /// # Units
    ///
    /// Never shorter than `timeout` without a notification, and exact to some 16 µs plus what the
    /// kernel adds. With zero the mutex is released and taken again; a timeout that no clock will
    /// ever show is none.
    ///
    /// # Errors
    ///
    /// As [`Condvar::wait`], with the result of the wait.
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let (guard, timed_out) = self.wait_until_deadline(guard, clock::deadline_in(timeout));
        with_result(guard, timed_out)
    }

    /// Waits until `condition` says false, for no longer than `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Condvar::wait_timeout`], again and again; the timeout is that of the whole.
    ///
    /// # Errors
    ///
    /// As [`Condvar::wait_timeout`].
    #[track_caller]
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline = clock::deadline_in(timeout);
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if deadline.is_some_and(|deadline| deadline <= clock::now()) {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            match self.wait_until_deadline(guard, deadline) {
                (Ok(again), _) => guard = again,
                (poisoned, timed_out) => return with_result(poisoned, timed_out),
            }
        }
    }

    /// The same as [`Condvar::wait_timeout`], in milliseconds, as std still has it.
    ///
    /// # Blocking
    ///
    /// As [`Condvar::wait_timeout`].
    ///
    /// # Errors
    ///
    /// As [`Condvar::wait_timeout`].
    #[deprecated(note = "replaced by `wait_timeout`")]
    #[track_caller]
    pub fn wait_timeout_ms<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        ms: u32,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        match self.wait_timeout(guard, Duration::from_millis(ms.into())) {
            Ok((guard, result)) => Ok((guard, !result.timed_out())),
            Err(poisoned) => {
                let (guard, result) = poisoned.into_inner();
                Err(PoisonError::new((guard, !result.timed_out())))
            }
        }
    }

    /// Wakes the first of those who wait. It does not wait itself.
    #[inline]
    pub fn notify_one(&self) {
        self.raw.notify_one();
    }

    /// Wakes all who wait. It does not wait itself.
    #[inline]
    pub fn notify_all(&self) {
        self.raw.notify_all();
    }

    /// True: the time was over.
    // SUSPENDS
    #[track_caller]
    fn wait_until_deadline<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (LockResult<MutexGuard<'a, T>>, bool) {
        let mutex = guard.mutex();
        let ended = self.raw.wait(Location::caller(), deadline, || drop(guard));
        let notification = (ended == Ended::Granted(0)).then_some(Notification(&self.raw));
        let guard = mutex.lock_after_wait();
        std::mem::forget(notification);
        (guard, ended == Ended::TimedOut)
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

fn with_result<G>(guard: LockResult<G>, timed_out: bool) -> LockResult<(G, WaitTimeoutResult)> {
    let result = WaitTimeoutResult(timed_out);
    match guard {
        Ok(guard) => Ok((guard, result)),
        Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), result))),
    }
}

/// A notification that its waiter has got and not used: dropped by unwinding, it goes on.
struct Notification<'a>(&'a RawCondvar);

impl Drop for Notification<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The condition variable without the types of mutex and guard.
#[repr(C)]
struct RawCondvar {
    /// [`NOBODY`] or [`SOMEBODY`] waits; changed under the bucket's lock.
    waiters: AtomicU32,
}

const NOBODY: u32 = 0;
const SOMEBODY: u32 = 1;

impl RawCondvar {
    const_fn! {
        const fn new() -> RawCondvar {
            RawCondvar { waiters: AtomicU32::new(NOBODY) }
        }
    }

    /// Waits for a notification; calls `release` as soon as one would find the waiter.
    // SUSPENDS
    fn wait(
        &self,
        site: &'static Location<'static>,
        deadline: Option<Instant>,
        release: impl FnOnce(),
    ) -> Ended {
        let request = Request {
            object: ptr::from_ref(self).cast(),
            in_front: false,
            reason: Reason::new(WaitKind::Condvar, site),
            deadline,
            leave: pass_on,
        };
        let say_so = |_: &mut Queue| {
            // ORDERING: Relaxed; the mutex that is released next publishes it to those who take
            // it before they notify.
            self.waiters.store(SOMEBODY, Ordering::Relaxed);
            Some(0)
        };
        address::wait_in_queue(&request, say_so, release)
    }

    #[inline]
    fn notify_one(&self) {
        // ORDERING: Relaxed; see `wait`.
        if self.waiters.load(Ordering::Relaxed) != NOBODY {
            self.notify_first();
        }
    }

    #[cold]
    fn notify_first(&self) {
        let mut queue = Queue::at(ptr::from_ref(self).cast());
        let first = queue.grant_first(0, |_| true);
        if queue.is_empty() {
            // ORDERING: Relaxed; under the bucket's lock.
            self.waiters.store(NOBODY, Ordering::Relaxed);
        }
        drop(queue);
        if let Some(first) = first {
            first.schedule();
        }
    }

    fn notify_all(&self) {
        // ORDERING: Relaxed; see `wait`. The word stays as it is: the next notification that finds
        // nobody clears it.
        if self.waiters.load(Ordering::Relaxed) != NOBODY {
            address::wake(ptr::from_ref(self).cast(), usize::MAX);
        }
    }
}

/// [`address::Leave`] of a condition variable.
///
/// # Safety
/// S1: `object` is a [`RawCondvar`].
unsafe fn pass_on(object: *const (), _want: usize, granted: Option<u32>) {
    if granted.is_some() {
        // SAFETY: S1; the thread that waits for it borrows it.
        unsafe { &*object.cast::<RawCondvar>() }.notify_one();
    }
}
