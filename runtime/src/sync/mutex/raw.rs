//! The mutex without its data: four bytes of state, and a queue elsewhere when somebody waits.
//!
//! How a free mutex finds its next holder is told in `barging`.
//!
//! # The protocol
//!
//! - *Locker*: sets `LOCKED` of a free word by compare-and-swap, whatever the other bits.
//! - *Waiter*: locks the bucket; sets `WAITERS` (and `HANDOVER`) while `LOCKED` is set; enters.
//! - *Unlocker*: without `WAITERS` and `HANDOVER` clears the word by compare-and-swap; if a waiter
//!   has set a bit meanwhile, that fails. Else it locks the bucket, clears all but `WAITERS`, and
//!   that too if at most one waits, takes the first out and wakes it. With `HANDOVER` it leaves
//!   `LOCKED` set; if all waits had ended otherwise the mutex is still its own, and it frees it.
//!
//! After the change that frees the word the unlocker does not touch the mutex any more.

use std::panic::Location;
use std::ptr;
use std::time::Instant;

use crate::primitives::{AtomicU32, Ordering, const_fn};
use crate::sched::door;
use crate::sync::address::{self, Ended, Queue, Request};
use crate::sync::barging::{self, HANDED_OVER, LOSSES_MAX, TRY_AGAIN};
use crate::sync::holder::Holder;
use crate::task::{Reason, WaitKind};

/// The mutex.
///
/// | bits | name | meaning |
/// |---|---|---|
/// | 0 | `LOCKED` | somebody holds it, or is being handed it |
/// | 1 | `WAITERS` | somebody waits; changes under the bucket's lock only |
/// | 2 | `HANDOVER` | the next unlock hands the mutex over; changes under that lock only |
/// | 8..32 | holder | the token of the holder's kernel thread; 0 for a moment after a hand-over |
#[repr(C)]
pub(in crate::sync) struct RawMutex {
    state: AtomicU32,
    holder: Holder,
}

const LOCKED: u32 = 1;
const WAITERS: u32 = 1 << 1;
const HANDOVER: u32 = 1 << 2;

impl RawMutex {
    const_fn! {
        pub(in crate::sync) const fn new() -> RawMutex {
            RawMutex { state: AtomicU32::new(0), holder: Holder::new() }
        }
    }

    /// Takes the mutex unless it takes longer than until `deadline`; `None`: there is none.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn lock_until(&self, deadline: Option<Instant>) -> bool {
        door::switch_point();
        self.lock_without_switch_point(deadline)
    }

    /// The same after a wait, which was a switch point already.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn lock_without_switch_point(&self, deadline: Option<Instant>) -> bool {
        let site = Location::caller();
        let locked = self.try_lock_free() || self.lock_contended(site, deadline);
        if locked {
            self.holder.enter(site);
        }
        locked
    }

    /// Takes the mutex if it is free.
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn try_lock(&self) -> bool {
        let locked = self.try_lock_free() || self.try_lock_barging();
        if locked {
            self.holder.enter(Location::caller());
        }
        locked
    }

    /// Releases the mutex.
    ///
    /// # Safety
    /// S1: the caller holds it.
    #[inline]
    pub(in crate::sync) unsafe fn unlock(&self) {
        self.holder.leave();
        // Nobody waits if the word is what the caller has made of it: no look at it is needed.
        // ORDERING: Release; pairs with the Acquire of the next locker; publishes the section.
        if self.state.compare_exchange(held(), 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.unlock_contended();
        }
    }

    /// Whether somebody holds the mutex.
    #[cfg(feature = "lock_api")]
    pub(in crate::sync) fn is_locked(&self) -> bool {
        // ORDERING: Relaxed; a look.
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }

    /// Takes a mutex for which nobody waits.
    #[inline]
    fn try_lock_free(&self) -> bool {
        // ORDERING: Acquire; pairs with the Release of the last unlock.
        self.state.compare_exchange(0, held(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes a mutex that is free, whoever waits for it.
    fn try_lock_barging(&self) -> bool {
        let taken = |state| (state & LOCKED == 0).then_some(state | held());
        // ORDERING: Acquire; as above. Relaxed; a failure changes nothing.
        self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, taken).is_ok()
    }

    // SUSPENDS
    #[cold]
    fn lock_contended(&self, site: &'static Location<'static>, deadline: Option<Instant>) -> bool {
        let mut losses = 0;
        loop {
            // Those who wait already have spun enough for everybody.
            barging::back_off(|| {
                // ORDERING: Relaxed; a look.
                let state = self.state.load(Ordering::Relaxed);
                state & (LOCKED | WAITERS) == LOCKED && barging::is_elsewhere(state)
            });
            if self.try_lock_barging() {
                return true;
            }
            if deadline.is_none() {
                self.holder.refuse_recursion("a mutex that it holds", site);
            }
            let mut reason = Reason::new(WaitKind::Mutex, site);
            reason.owner = self.holder.thread();
            let request = Request {
                object: ptr::from_ref(self).cast(),
                in_front: losses > 0,
                reason,
                deadline,
                leave: leave_queue,
            };
            let wanted = if losses < LOSSES_MAX { WAITERS } else { WAITERS | HANDOVER };
            let must_wait = |_: &mut Queue| {
                barging::announce(&self.state, wanted, |state| state & LOCKED != 0).then_some(0)
            };
            match address::wait_in_queue(&request, must_wait, || ()) {
                Ended::Granted(HANDED_OVER) => {
                    // ORDERING: Relaxed; the wake has published the section before.
                    self.state.fetch_or(held(), Ordering::Relaxed);
                    return true;
                }
                Ended::Granted(_) => losses += 1,
                Ended::NotQueued | Ended::ForNothing => (),
                Ended::TimedOut => return false,
            }
        }
    }

    /// Releases a mutex for which somebody waits.
    #[cold]
    fn unlock_contended(&self) {
        let mut queue = Queue::at(ptr::from_ref(self).cast());
        let rest_of = |queue: &Queue| if queue.has_several() { WAITERS } else { 0 };
        // ORDERING: Relaxed; set while the caller holds the mutex, and cleared by the caller alone.
        if self.state.load(Ordering::Relaxed) & HANDOVER != 0 && !queue.is_empty() {
            // ORDERING: Relaxed; the mutex stays locked, and the wake publishes the section.
            self.state.fetch_and(LOCKED | rest_of(&queue), Ordering::Relaxed);
            if let Some(next) = queue.grant_first(HANDED_OVER, |_| true) {
                drop(queue);
                return next.schedule();
            }
        }
        // ORDERING: Release; pairs with the Acquire of the next locker; publishes the section.
        self.state.fetch_and(rest_of(&queue), Ordering::Release);
        let next = queue.grant_first(TRY_AGAIN, |_| true);
        drop(queue);
        if let Some(next) = next {
            next.schedule();
        }
    }
}

/// The bits of a mutex that the current thread holds.
#[inline]
fn held() -> u32 {
    LOCKED | barging::token()
}

/// [`address::Leave`] of a mutex. Who goes without a grant owes nothing: if it had asked for a
/// hand-over, the first of those behind it gets it.
///
/// # Safety
/// S1: `object` is a [`RawMutex`].
unsafe fn leave_queue(object: *const (), _want: usize, granted: Option<u32>) {
    // SAFETY: S1; the thread that waits for it borrows it.
    let mutex = unsafe { &*object.cast::<RawMutex>() };
    let holds = match granted {
        None => false,
        Some(HANDED_OVER) => true,
        // It was to try, and others rely on that.
        Some(_) => mutex.try_lock(),
    };
    if holds {
        // SAFETY: S1: got on behalf of a thread that will never know.
        unsafe { mutex.unlock() };
    }
}
