//! `Event`: something that has happened or not, for which threads wait.
//!
//! # The protocol
//!
//! - *Whoever waits* looks whether the word is `SET`; if not, it locks the bucket, changes the word
//!   to `WAITERS` unless it is `SET` now, and enters the queue.
//! - *Whoever sets* changes the word to `SET` by compare-and-swap if it is not `WAITERS`. Else it
//!   locks the bucket first, and then changes the word and wakes those who stand in the queue.
//! - *Whoever resets* changes `SET` to zero.
//!
//! That the word is changed from `WAITERS` under the bucket's lock is not for those who wait
//! already, but for those who come: were it changed before, a third thread might reset the event
//! and wait for it anew before the setter has the lock, and be woken by what it has reset itself.
//! So whoever is woken was waiting when the event was set, and need not look at the word again,
//! which may have been reset since.
//!
//! `WAITERS` without a queue is what waiters leave behind whose time was over; the next setter
//! takes the lock for nothing then. After its change the setter does not touch the event any more.
#![forbid(unsafe_code)]

#[cfg(all(loom, test))]
mod models;

use std::fmt;
use std::panic::Location;
use std::ptr;
use std::time::{Duration, Instant};

use crate::clock;
use crate::primitives::{AtomicU32, Ordering, const_fn};
use crate::sched::door;
use crate::sync::address::{self, Ended, Queue, Request};
use crate::sync::barging;
use crate::task::{Reason, WaitKind};

/// Lets threads wait until it is set, and stays set until it is reset. Not in std.
///
/// For a condition that is a mere yes or no it takes the place of a mutex with a
/// [`Condvar`](crate::sync::Condvar). It may be used by green threads of any runtime and by kernel
/// threads, and takes four bytes.
///
/// What a thread did before it set the event is seen by those whose wait has ended by that. Setting
/// never switches to another thread.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sylvan::sync::Event;
/// use sylvan::thread;
///
/// let ready = Event::new();
/// assert!(!ready.wait_timeout(Duration::ZERO));
/// thread::scope(|scope| {
///     for _ in 0..3 {
///         scope.spawn(|| ready.wait());
///     }
///     ready.set();
/// });
/// assert!(ready.is_set());
/// ```
pub struct Event {
    raw: RawEvent,
}

impl Event {
    const_fn! {
        /// Returns an event that is not set.
        #[must_use]
        #[inline]
        pub const fn new() -> Event {
            Event { raw: RawEvent::new() }
        }
    }

    /// Sets the event: all who wait for it go on, and nobody waits until it is reset. It does not
    /// wait itself.
    #[inline]
    pub fn set(&self) {
        self.raw.set();
    }

    /// Resets the event: those who come wait again. Those who were waiting when it was set go on
    /// all the same.
    #[inline]
    pub fn reset(&self) {
        self.raw.reset();
    }

    /// Returns whether the event is set. Another thread may change that at any time.
    #[must_use]
    #[inline]
    pub fn is_set(&self) -> bool {
        self.raw.is_set()
    }

    /// Waits until the event is set.
    ///
    /// # Blocking
    ///
    /// Waits until another thread sets the event; a cancellation ends the wait, and is delivered
    /// here also if the event is set. Other threads may have their turns in any case. A kernel
    /// thread blocks.
    #[inline]
    #[track_caller]
    pub fn wait(&self) {
        self.raw.wait_until(WaitKind::Event, None);
    }

    /// Waits until the event is set, for no longer than `timeout`. True: it was set, and may have
    /// been reset since. False: the time was over, and it is not set.
    ///
    /// # Blocking
    ///
    /// As [`Event::wait`], and no longer than `timeout`.
    ///
    /// # Units
    ///
    /// False never comes before `timeout`, and to some 16 µs after it plus what the kernel adds.
    /// With zero it is told whether the event is set; a timeout that no clock will ever show is
    /// none.
    #[must_use]
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.raw.wait_until(WaitKind::Event, clock::deadline_in(timeout))
    }

    /// The same as [`Event::wait_timeout`] with an instant.
    ///
    /// # Blocking
    ///
    /// As [`Event::wait`], and no longer than until `deadline`.
    #[must_use]
    #[track_caller]
    pub fn wait_until(&self, deadline: Instant) -> bool {
        self.raw.wait_until(WaitKind::Event, Some(deadline))
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish()
    }
}

/// The event, for whatever reason it is waited for.
#[repr(C)]
pub(super) struct RawEvent {
    /// Zero, [`SET`], or [`WAITERS`]: not set, and somebody may be in the queue. `WAITERS` comes
    /// and goes under the bucket's lock.
    state: AtomicU32,
}

const SET: u32 = 1;
const WAITERS: u32 = 1 << 1;

impl RawEvent {
    const_fn! {
        pub(super) const fn new() -> RawEvent {
            RawEvent { state: AtomicU32::new(0) }
        }
    }

    #[inline]
    pub(super) fn set(&self) {
        // ORDERING: Release; pairs with the Acquire of those who find it set, and publishes what
        // the caller did. A change of `SET` to `SET` does so too. Relaxed; a failure changes
        // nothing.
        let set = self.state.fetch_update(Ordering::Release, Ordering::Relaxed, |state| {
            (state != WAITERS).then_some(SET)
        });
        if set.is_err() {
            self.set_and_wake();
        }
    }

    #[cold]
    fn set_and_wake(&self) {
        let queue = Queue::at(ptr::from_ref(self).cast());
        // ORDERING: Release; as in `set`. A store would hide what earlier setters have published.
        self.state.swap(SET, Ordering::Release);
        queue.wake(usize::MAX, 0, |_| true);
    }

    #[inline]
    fn reset(&self) {
        // ORDERING: Acquire; pairs with the Release of those who have set it, whose news the caller
        // will not be told again. Relaxed; a failure changes nothing.
        let _ = self.state.compare_exchange(SET, 0, Ordering::Acquire, Ordering::Relaxed);
    }

    #[inline]
    fn is_set(&self) -> bool {
        // ORDERING: Acquire; pairs with the Release of whoever has set it.
        self.state.load(Ordering::Acquire) == SET
    }

    /// Waits until it is set, and no longer than until `deadline`; `None`: there is none. False: it
    /// is not set.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(super) fn wait_until(&self, kind: WaitKind, deadline: Option<Instant>) -> bool {
        door::switch_point();
        self.is_set() || self.wait_in_queue(Reason::new(kind, Location::caller()), deadline)
    }

    // SUSPENDS
    #[cold]
    fn wait_in_queue(&self, reason: Reason, deadline: Option<Instant>) -> bool {
        let request = Request {
            object: ptr::from_ref(self).cast(),
            in_front: false,
            reason,
            deadline,
            leave: owe_nothing,
        };
        let must_wait = |_: &mut Queue| {
            barging::announce(&self.state, WAITERS, |state| state != SET).then_some(0)
        };
        loop {
            match address::wait_in_queue(&request, must_wait, || ()) {
                Ended::Granted(_) => return true,
                Ended::TimedOut => return self.is_set(),
                // It may have been reset after that look, and is waited for again.
                Ended::NotQueued | Ended::ForNothing if self.is_set() => return true,
                Ended::NotQueued | Ended::ForNothing => (),
            }
        }
    }
}

/// [`address::Leave`] of an event: all who wait are woken, so nobody relies on the one who goes.
fn owe_nothing(_object: *const (), _want: usize, _granted: Option<u32>) {}
