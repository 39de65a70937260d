//! `Event`: a flag that threads wait for.
//!
//! Its word says whether it is set and whether anybody waits, so that setting it without waiters is
//! one swap. Who is woken was let go, also if the event is reset before it runs.
#[cfg(all(loom, test))]
mod models;

use std::fmt;
use std::ptr;
use std::time::{Duration, Instant};

use crate::clock;
use crate::primitives::{AtomicU32, Ordering, const_fn};
use crate::sched::door;
use crate::sync::address::{self, Ended};
use crate::task::{Reason, WaitKind};

/// Something that happens, and that threads wait for: a flag that is set for all of them.
///
/// Not in std. It stays set until it is reset, and whoever comes meanwhile does not wait.
///
/// # Examples
///
/// ```
/// use sylvan::sync::Event;
/// use sylvan::thread;
///
/// let ready = Event::new();
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

    /// Sets the event, and wakes all who wait. It does not wait itself.
    ///
    /// What was done before is seen by those whose wait it ends.
    pub fn set(&self) {
        self.raw.set();
    }

    /// Takes the event back, for those who come from now on.
    pub fn reset(&self) {
        // ORDERING: Relaxed; it lets nobody go. If the event is not set there is nothing to do.
        let _ = self.raw.state.compare_exchange(SET, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Returns whether the event is set. Another thread may change that at any time.
    #[inline]
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.raw.is_set()
    }

    /// Waits until the event is set.
    ///
    /// # Blocking
    ///
    /// Waits until it is set; a cancellation ends the wait, and is delivered here also if the event
    /// is set. Other threads may have their turns in any case. A kernel thread blocks.
    #[track_caller]
    pub fn wait(&self) {
        let reason = door::reason(WaitKind::Event);
        door::switch_point();
        self.raw.wait(reason, None);
    }

    /// The same for no longer than `timeout`. Returns whether the event was set.
    ///
    /// # Blocking
    ///
    /// As [`Event::wait`], and no longer than `timeout`.
    ///
    /// # Units
    ///
    /// Never shorter than `timeout` if the event is not set, and exact to some 16 µs plus what the
    /// kernel adds. With zero it does not wait; a timeout that no clock will ever show is none.
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let reason = door::reason(WaitKind::Event);
        door::switch_point();
        self.raw.wait(reason, clock::deadline_in(timeout))
    }

    /// The same until `deadline`. Returns whether the event was set.
    ///
    /// # Blocking
    ///
    /// As [`Event::wait`], and no longer than until `deadline`.
    #[track_caller]
    pub fn wait_until(&self, deadline: Instant) -> bool {
        let reason = door::reason(WaitKind::Event);
        door::switch_point();
        self.raw.wait(reason, Some(deadline))
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish()
    }
}

/// The event for those who wait for something of their own.
pub(super) struct RawEvent {
    /// 0, [`WAITERS`] or [`SET`].
    state: AtomicU32,
}

const SET: u32 = 1;
/// It is not set, and somebody waits or is about to.
const WAITERS: u32 = 2;

impl RawEvent {
    const_fn! {
        pub(super) const fn new() -> RawEvent {
            RawEvent { state: AtomicU32::new(0) }
        }
    }

    pub(super) fn set(&self) {
        let object = ptr::from_ref(&self.state).cast();
        // ORDERING: Release; pairs with the Acquire of those who find it set.
        if self.state.swap(SET, Ordering::Release) == WAITERS {
            // From here on the event may be gone.
            address::wake(object, usize::MAX);
        }
    }

    #[inline]
    pub(super) fn is_set(&self) -> bool {
        // ORDERING: Acquire; pairs with the Release of `set`.
        self.state.load(Ordering::Acquire) == SET
    }

    /// False: it was not set in time.
    // SUSPENDS
    pub(super) fn wait(&self, reason: Reason, deadline: Option<Instant>) -> bool {
        loop {
            // ORDERING: Relaxed and Acquire; to find it set pairs with the Release of `set`.
            let found =
                self.state.compare_exchange(0, WAITERS, Ordering::Relaxed, Ordering::Acquire);
            if found == Err(SET) {
                return true;
            }
            match address::wait(&self.state, WAITERS, reason, deadline) {
                Ended::Granted(_) => return true,
                Ended::TimedOut => return false,
                Ended::NotQueued | Ended::ForNothing => (),
            }
        }
    }
}
