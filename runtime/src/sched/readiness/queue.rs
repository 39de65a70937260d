//! Those who wait for a descriptor: where a waiter stands, and who takes it out of its queue.
//!
//! A waiter lies on the stack of its thread. Whoever takes it out of the queue writes where it
//! stands now *before* it ends the thread's wait, and does not touch it after: then the thread may
//! have gone on, and its frame be another's. Only if the wait had ended otherwise it writes once
//! more, under the lock that such a thread needs for leaving.
//!
//! Nothing here locks; the queues are `readiness`'s, behind its lock.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::poller::Poller;
use crate::primitives::{AtomicU8, Ordering};
use crate::sched::readiness::{Interest, Readiness};
use crate::sched::woken::Woken;
use crate::task::{Header, Sequence};

/// The waiters of one direction, oldest first.
pub(super) struct Queue {
    first: *const Waiter,
    last: *const Waiter,
}

// SAFETY: the waiters lie on stacks of threads that wait until they are taken out, and are touched
// under the lock of the queues only.
unsafe impl Send for Queue {}

/// One who waits. It lies on the stack of its thread, and stays there until it has left the queue.
pub(crate) struct Waiter {
    pub(super) readiness: *const Readiness,
    pub(super) interest: Interest,
    /// Alive as long as the waiter stands in the queue, for its thread waits.
    thread: NonNull<Header>,
    sequence: Sequence,
    /// The poller by which the waiter is to be told; null for a kernel thread.
    pub(super) poller: *const Poller,
    prev: Cell<*const Waiter>,
    next: Cell<*const Waiter>,
    /// Written under the lock of the queues.
    place: AtomicU8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Place {
    Outside,
    Queued,
    /// Taken out by an event, which has woken this one alone.
    Chosen,
    /// Taken out by an event that concerns everybody.
    Called,
}

impl Waiter {
    pub(crate) fn new(
        readiness: &Readiness,
        interest: Interest,
        thread: &Header,
        sequence: Sequence,
        poller: *const Poller,
    ) -> Waiter {
        Waiter {
            readiness,
            interest,
            thread: NonNull::from(thread),
            sequence,
            poller,
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            place: AtomicU8::new(Place::Outside as u8),
        }
    }
}

impl Waiter {
    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }

    pub(super) fn place(&self) -> Place {
        // ORDERING: Relaxed; the lock orders it, or the wake that was given after it.
        match self.place.load(Ordering::Relaxed) {
            place if place == Place::Queued as u8 => Place::Queued,
            place if place == Place::Chosen as u8 => Place::Chosen,
            place if place == Place::Called as u8 => Place::Called,
            _ => Place::Outside,
        }
    }

    pub(super) fn put(&self, place: Place) {
        // ORDERING: Relaxed; as above.
        self.place.store(place as u8, Ordering::Relaxed);
    }
}

impl Queue {
    pub(super) const fn new() -> Queue {
        Queue { first: ptr::null(), last: ptr::null() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    pub(super) fn push(&mut self, waiter: &Waiter) {
        waiter.prev.set(self.last);
        waiter.next.set(ptr::null());
        // SAFETY: what stands in the queue lives until it has left.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.next.set(waiter),
            None => self.first = waiter,
        }
        self.last = waiter;
    }

    /// # Safety
    /// S1: `waiter` stands in this queue.
    pub(super) unsafe fn remove(&mut self, waiter: &Waiter) {
        let (prev, next) = (waiter.prev.get(), waiter.next.get());
        // SAFETY: neighbours in the queue live until they have left.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.set(next),
            None => self.first = next,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.prev.set(prev),
            None => self.last = prev,
        }
    }

    /// Takes out and wakes the oldest of those whom `poller` is to tell, or else the oldest: one
    /// whose worker computes would keep what has come from the others.
    pub(super) fn wake_first(&mut self, place: Place, poller: *const Poller) -> Option<Woken> {
        loop {
            let own = self.iter().find(|waiter| waiter.poller == poller && !poller.is_null());
            // SAFETY: what stands in the queue lives until it has left.
            let waiter = unsafe { own.map_or(self.first, ptr::from_ref).as_ref() }?;
            // SAFETY: S1: it stands in this queue.
            unsafe { self.remove(waiter) };
            // SAFETY: its thread waits, or is about to leave, for which it needs the lock that the
            // caller holds; so both live.
            let thread = unsafe { waiter.thread.as_ref() };
            waiter.put(place);
            match Woken::wake(thread, waiter.sequence) {
                Some(woken) => return Some(woken),
                None => waiter.put(Place::Outside),
            }
        }
    }

    pub(super) fn iter<'a>(&self) -> impl Iterator<Item = &'a Waiter> {
        let mut at = self.first;
        std::iter::from_fn(move || {
            // SAFETY: as above; the caller uses it while the lock is held.
            let waiter = unsafe { at.as_ref() }?;
            at = waiter.next.get();
            Some(waiter)
        })
    }

    pub(super) fn has_waiter_of(&self, poller: *const Poller) -> bool {
        self.iter().any(|waiter| waiter.poller == poller)
    }
}
