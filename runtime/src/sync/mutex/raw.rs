//! The mutex without its data: four bytes of state, and a queue elsewhere when somebody waits.
//!
//! *Barging.* A mutex that is free goes to whoever asks first, also before those that were woken
//! for it: a lock that is handed to a sleeper lies idle until that one runs, and the faster ones
//! queue up behind it. So unlocking frees the word first and then wakes the first waiter, which has
//! to try again. If it comes too late it goes back to the *front* of the queue.
//!
//! *The valve.* A waiter that has come too late [`LOSSES_MAX`] times asks for a hand-over: it sets
//! `HANDOVER`, and the next unlock leaves the mutex locked and gives it to the first in the queue.
//! Each waiter has a bounded number of others before it, each of these loses a bounded number of
//! times, and each loss is a wake for it, so everybody gets the mutex after a bounded number of
//! unlocks.
//!
//! *Spinning.* Who finds the mutex held by a thread on another kernel thread looks a few more
//! times: a short section will end sooner than a wait would. If the holder belongs to the same
//! kernel thread, it cannot go on before the waiter has left.
//!
//! # The protocol
//!
//! - *Locker*: sets `LOCKED` of a free word by compare-and-swap, whatever the other bits.
//! - *Waiter*: sets `WAITERS` (and `HANDOVER`) while `LOCKED` is set; locks the bucket; looks
//!   whether all of these bits are still set; enters. Whoever clears one of them does so under the
//!   bucket's lock, so it either sees the waiter or is seen by this look.
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
use crate::sync::holder::Holder;
use crate::task::{Reason, WaitKind, current};

/// The mutex.
///
/// | bits | name | meaning |
/// |---|---|---|
/// | 0 | `LOCKED` | somebody holds it, or is being handed it |
/// | 1 | `WAITERS` | somebody waits, or is about to; changes to 0 under the bucket's lock only |
/// | 2 | `HANDOVER` | the next unlock hands the mutex over; changes to 0 under that lock only |
/// | 8..32 | holder | the token of the holder's kernel thread; 0 for a moment after a hand-over |
#[repr(C)]
pub(in crate::sync) struct RawMutex {
    state: AtomicU32,
    holder: Holder,
}

const LOCKED: u32 = 1;
const WAITERS: u32 = 1 << 1;
const HANDOVER: u32 = 1 << 2;
const TOKEN_SHIFT: u32 = 32 - current::TOKEN_BITS;

/// What a waiter is granted: to try again, or the mutex.
const TRY_AGAIN: u32 = 0;
const HANDED_OVER: u32 = 1;

/// How often a waiter may come too late. A hand-over costs the others some turns of idle lock, so
/// it is for those who have seen several.
const LOSSES_MAX: u32 = if cfg!(loom) { 1 } else { 4 };
/// How often a holder elsewhere is looked at before one waits: a microsecond or two, which is what
/// a wait and a wake across workers take.
const SPINS: u32 = if cfg!(loom) { 0 } else { 60 };

impl RawMutex {
    const_fn! {
        pub(in crate::sync) const fn new() -> RawMutex {
            RawMutex { state: AtomicU32::new(0), holder: Holder::new() }
        }
    }

    /// Takes the mutex.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn lock(&self) {
        door::switch_point();
        self.lock_without_switch_point();
    }

    /// The same after a wait, which was a switch point already.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn lock_without_switch_point(&self) {
        let site = Location::caller();
        if !self.try_lock_free() {
            self.lock_contended(site, None);
        }
        self.holder.enter(site);
    }

    /// Takes the mutex unless it takes longer than until `deadline`; `None`: there is none.
    // SUSPENDS
    #[track_caller]
    pub(in crate::sync) fn lock_until(&self, deadline: Option<Instant>) -> bool {
        door::switch_point();
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
        // ORDERING: Relaxed; a first look, at what is the caller's own.
        let state = self.state.load(Ordering::Relaxed);
        let alone = state & (WAITERS | HANDOVER) == 0;
        // ORDERING: Release; pairs with the Acquire of the next locker; publishes the section.
        let free = || self.state.compare_exchange(state, 0, Ordering::Release, Ordering::Relaxed);
        if !alone || free().is_err() {
            self.unlock_contended();
        }
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
            if self.spin() && self.try_lock_barging() {
                return true;
            }
            let wanted = if losses < LOSSES_MAX { WAITERS } else { WAITERS | HANDOVER };
            if !self.announce(wanted) {
                continue;
            }
            self.holder.refuse_recursion("mutex", site);
            let mut reason = Reason::new(WaitKind::Mutex, site);
            reason.owner = self.holder.thread();
            let request = Request {
                object: ptr::from_ref(self).cast(),
                want: 0,
                in_front: losses > 0,
                reason,
                deadline,
                leave: leave_queue,
            };
            // ORDERING: Relaxed; under the bucket's lock, as are the changes that matter.
            let must_wait = |_: &mut Queue| {
                let state = self.state.load(Ordering::Relaxed);
                state & (LOCKED | wanted) == LOCKED | wanted
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

    /// Looks at a mutex until it is free, for as long as that may pay. True: it is free.
    fn spin(&self) -> bool {
        for spins in 0.. {
            // ORDERING: Relaxed; a look.
            let state = self.state.load(Ordering::Relaxed);
            if state & LOCKED == 0 {
                return true;
            }
            let elsewhere = state >> TOKEN_SHIFT != current::token();
            if spins == SPINS || !elsewhere || state & WAITERS != 0 {
                return false;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// Sets the bits `wanted` of a mutex that is locked. False: it is free.
    fn announce(&self, wanted: u32) -> bool {
        // ORDERING: Relaxed; the compare-and-swap decides.
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED != 0 {
            if state & wanted == wanted {
                return true;
            }
            // ORDERING: Relaxed; who enters looks again under the bucket's lock.
            match self.state.compare_exchange_weak(
                state,
                state | wanted,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
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
    LOCKED | current::token() << TOKEN_SHIFT
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
