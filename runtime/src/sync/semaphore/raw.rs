//! The semaphore without its permits: one word, and a queue elsewhere.
//!
//! Unlike the locks it is first come, first served, also for those who are running: one that wants
//! many permits would never find them together else. So nobody takes permits from the word while
//! somebody waits; they are granted to the front of the queue, as soon as there are enough for it.
//!
//! # The protocol
//!
//! - *Taker*: if `WAITERS` is not set and there are enough takes them by compare-and-swap. Else it
//!   locks the bucket, looks again, sets `WAITERS` and enters.
//! - *Giver*: if `WAITERS` is not set adds by compare-and-swap. Else it locks the bucket and
//!   serves: as long as there are enough for the first in the queue, in its hand or in the word, it
//!   grants them. What is left in its hand goes into the word.
//! - *Whoever leaves the queue* without a grant serves too, for it may have stood in the way of one
//!   who wants less; one that is leaked with a grant gives back.
//!
//! `WAITERS` changes under the bucket's lock only. If there is a queue it is set; if it is set
//! without a queue somebody is about to serve.

use std::panic::Location;
use std::ptr;
use std::time::Instant;

use crate::primitives::{AtomicUsize, Ordering, const_fn};
use crate::sched::door;
use crate::sched::woken::Woken;
use crate::sync::address::{self, Ended, Queue, Request};
use crate::task::{Reason, WaitKind};

/// The permits that are there, above [`WAITERS`].
#[repr(C)]
pub(super) struct RawSemaphore {
    state: AtomicUsize,
}

const WAITERS: usize = 1;
const ONE_PERMIT: usize = 2;

/// How many permits there can be: as in tokio, whose programs come here.
pub(super) const PERMITS_MAX: usize = usize::MAX >> 3;

/// How many permits are there.
fn permits(state: usize) -> usize {
    state / ONE_PERMIT
}

/// What is left of `state` when `count` permits are taken. `None`: they cannot be.
#[inline]
fn without(state: usize, count: usize) -> Option<usize> {
    let may = state & WAITERS == 0 && permits(state) >= count;
    may.then(|| state - count * ONE_PERMIT)
}

/// `state` with `count` permits more, but no more than there can be.
#[inline]
fn with(state: usize, count: usize) -> usize {
    let sum = permits(state).saturating_add(count).min(PERMITS_MAX);
    (sum * ONE_PERMIT) | (state & WAITERS)
}

impl RawSemaphore {
    const_fn! {
        /// `count` is at most [`PERMITS_MAX`].
        pub(super) const fn new(count: usize) -> RawSemaphore {
            RawSemaphore { state: AtomicUsize::new(count * ONE_PERMIT) }
        }
    }

    pub(super) fn permits(&self) -> usize {
        // ORDERING: Relaxed; a look.
        permits(self.state.load(Ordering::Relaxed))
    }

    /// Takes `count` permits if they are there and nobody waits.
    #[inline]
    pub(super) fn try_take(&self, count: usize) -> bool {
        // ORDERING: Acquire; pairs with the Release of those who gave them. Relaxed; a failure
        // changes nothing.
        self.state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| without(state, count))
            .is_ok()
    }

    /// Takes `count` permits, unless it takes longer than until `deadline`; `None`: there is none.
    // SUSPENDS
    #[inline]
    pub(super) fn take_until(
        &self,
        count: usize,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> bool {
        door::switch_point();
        self.try_take(count) || self.take_in_turn(count, deadline, site)
    }

    /// Gives `count` permits, to those who wait first. Those that would be too many are forgotten:
    /// that others were added while they were away is nothing to panic for in a drop.
    #[inline]
    pub(super) fn give(&self, count: usize) {
        let added = |state| (state & WAITERS == 0).then(|| with(state, count));
        // ORDERING: Release; pairs with the Acquire of those who take them. Relaxed; a failure
        // changes nothing.
        if self.state.fetch_update(Ordering::Release, Ordering::Relaxed, added).is_err() {
            self.serve(count);
        }
    }

    /// The same, unless there are more than [`PERMITS_MAX`] then. `Err`: how many there are.
    pub(super) fn give_new(&self, count: usize) -> Result<(), usize> {
        let there = self.permits();
        if there.checked_add(count).is_none_or(|sum| sum > PERMITS_MAX) {
            return Err(there);
        }
        // What others give at the same time may still make it too many.
        self.give(count);
        Ok(())
    }

    /// Takes up to `count` of the permits that are there, whoever waits for more. Returns how many.
    pub(super) fn take_away(&self, count: usize) -> usize {
        let mut taken = 0;
        // ORDERING: Relaxed; nobody gets them.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            taken = permits(state).min(count);
            Some(state - taken * ONE_PERMIT)
        });
        taken
    }

    // SUSPENDS
    #[cold]
    fn take_in_turn(
        &self,
        count: usize,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> bool {
        loop {
            let request = Request {
                object: self.object(),
                in_front: false,
                reason: Reason::new(WaitKind::Semaphore, site),
                deadline,
                leave: leave_queue,
            };
            let must_wait = |_: &mut Queue| (!self.try_take_or_announce(count)).then_some(count);
            match address::wait_in_queue(&request, must_wait, || ()) {
                Ended::NotQueued | Ended::Granted(_) => return true,
                Ended::TimedOut => return false,
                Ended::ForNothing => (),
            }
        }
    }

    /// Takes `count` permits, or says that somebody waits for them. The bucket is locked.
    fn try_take_or_announce(&self, count: usize) -> bool {
        // ORDERING: Relaxed, here and below, unless it says otherwise; `WAITERS` changes under the
        // bucket's lock.
        let mut state = self.state.load(Ordering::Relaxed);
        while state & WAITERS == 0 {
            let rest = without(state, count);
            let new = rest.unwrap_or(state | WAITERS);
            // ORDERING: Acquire; as in `try_take`, if they are there.
            match self.state.compare_exchange(state, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return rest.is_some(),
                Err(now) => state = now,
            }
        }
        false
    }

    /// Grants `count` permits, and what is there besides, to those who wait, in their order; what
    /// is left goes into the word.
    #[cold]
    fn serve(&self, count: usize) {
        let mut in_hand = count;
        let mut is_done = false;
        while !is_done {
            let mut queue = Queue::at(self.object());
            let mut woken = Woken::batch();
            for place in &mut woken {
                *place = self.serve_first(&mut queue, &mut in_hand);
                is_done = place.is_none();
                if is_done {
                    break;
                }
            }
            if is_done && in_hand > 0 {
                let more = |state| Some(with(state, in_hand));
                // ORDERING: Release; as in `give`. Relaxed; it does not fail.
                let _ = self.state.fetch_update(Ordering::Release, Ordering::Relaxed, more);
            }
            if queue.is_empty() {
                // ORDERING: Relaxed; under the bucket's lock.
                self.state.fetch_and(!WAITERS, Ordering::Relaxed);
            }
            drop(queue);
            Woken::schedule_all(&mut woken);
        }
    }

    /// Grants the first in the queue what it wants, if so many are in hand or in the word.
    fn serve_first(&self, queue: &mut Queue, in_hand: &mut usize) -> Option<Woken> {
        loop {
            let want = queue.front_want()?;
            let missing = want.saturating_sub(*in_hand);
            if missing > 0 {
                let rest =
                    |state| (permits(state) >= missing).then(|| state - missing * ONE_PERMIT);
                // ORDERING: Acquire; pairs with the Release of those who gave them, and the wake
                // hands that on. Relaxed; a failure changes nothing.
                self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, rest).ok()?;
                *in_hand += missing;
            }
            let woken = queue.grant_first(0, |other| other == want);
            if woken.is_some() {
                *in_hand -= want;
                return woken;
            }
        }
    }

    /// Whether it has `count` permits and nobody waits.
    #[cfg(all(loom, test))]
    pub(super) fn is_untouched(&self, count: usize) -> bool {
        self.state.load(Ordering::Relaxed) == count * ONE_PERMIT
    }

    fn object(&self) -> *const () {
        ptr::from_ref(self).cast()
    }
}

/// [`address::Leave`] of a semaphore.
///
/// # Safety
/// S1: `object` is a [`RawSemaphore`].
unsafe fn leave_queue(object: *const (), want: usize, granted: Option<u32>) {
    // SAFETY: S1; the thread that waits for it borrows it.
    let semaphore = unsafe { &*object.cast::<RawSemaphore>() };
    // Without a grant it gives nothing, but has stood in the way.
    semaphore.serve(if granted.is_some() { want } else { 0 });
}
