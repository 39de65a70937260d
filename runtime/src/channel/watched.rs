//! Something that changes, and those who wait for it to change: what `broadcast` and `watch` stand
//! on.
//!
//! Whoever waits looks under the lock for what it wants, and if it is not there enters a list under
//! the same lock; whoever changes something wakes all of that list, and each looks again. So no
//! change is missed, and nothing is handed over that could be lost.
//!
//! The functions that look and change run under the lock: they must not clone, drop or call what is
//! a user's.

#[cfg(all(loom, test))]
mod models;

use std::cell::Cell;
use std::ptr;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::channel::shared::wake_in_batches;
use crate::channel::waiter::{Kind, List, Phase, Waiter};
use crate::clock;
use crate::sched::{door, linger};
use crate::short_lock::ShortLock;
use crate::task::{Cause, Reason, Unlink};

pub(super) struct Watched<S>(ShortLock<Inner<S>>);

struct Inner<S> {
    state: S,
    watching: List,
}

// SAFETY: CHANNEL-LOCK: the waiters are reached by whoever holds the lock.
unsafe impl<S: Send> Send for Inner<S> {}

impl<S> Watched<S> {
    pub(super) fn new(state: S) -> Watched<S> {
        Watched(ShortLock::new(Inner { state, watching: List::new() }))
    }

    /// Looks at the state, or changes what nobody waits for.
    pub(super) fn look<R>(&self, look: impl FnOnce(&mut S) -> R) -> R {
        look(&mut self.0.lock().state)
    }

    /// Changes the state, and lets all who wait look again.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        let mut inner = self.0.lock();
        let result = change(&mut inner.state);
        let (until, is_watched) = (inner.watching.next_ticket(), !inner.watching.is_empty());
        drop(inner);
        if is_watched {
            wake_in_batches(|batch| self.0.lock().watching.wake_before(until, batch));
        }
        result
    }

    /// Waits until `look` finds something. `None`: it has not in time.
    // SUSPENDS
    pub(super) fn wait<R>(
        &self,
        reason: Reason,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut S) -> Option<R>,
    ) -> Option<R> {
        door::switch_point();
        let watcher = Watcher::new(self);
        loop {
            let mut inner = self.0.lock();
            if let Some(found) = look(&mut inner.state) {
                return Some(found);
            }
            if deadline.is_some_and(|deadline| deadline <= clock::now()) {
                return None;
            }
            let pending = door::begin_in_call();
            watcher.waiter.set_thread(pending.header(), pending.sequence());
            // SAFETY: S1: it stays in this frame. S2: it is new, or was taken out.
            unsafe { watcher.enter(&mut inner) };
            drop(inner);
            let unlink = Unlink { waiter: ptr::from_ref(&watcher).cast(), call: leave_leaked::<S> };
            let reason = Reason { object: ptr::from_ref(self).addr(), ..reason };
            linger::linger(&pending);
            if pending.wait_in_queue(reason, deadline, Some(unlink)) == Cause::Woken {
                watcher.entered.set(false);
            } else {
                watcher.leave();
                if cfg!(loom) {
                    return None;
                }
            }
            // Before the thread may be cut off: what it was woken for, it gets.
            if let Some(found) = look(&mut self.0.lock().state) {
                return Some(found);
            }
            door::switch_point();
        }
    }
}

/// One who waits for a change: a thread in its frame, or a task in a future. Its drop leaves.
pub(super) struct Watcher<'a, S> {
    watched: &'a Watched<S>,
    waiter: Waiter,
    /// Whether others may know of it. Its own thread's alone.
    entered: Cell<bool>,
}

impl<'a, S> Watcher<'a, S> {
    pub(super) fn new(watched: &'a Watched<S>) -> Watcher<'a, S> {
        Watcher { watched, waiter: Waiter::new(Kind::Watching), entered: Cell::new(false) }
    }

    /// # Safety
    /// S1: it does not move any more until it is dropped.
    /// S2: it stands in no list.
    unsafe fn enter(&self, inner: &mut Inner<S>) {
        self.entered.set(true);
        // SAFETY: S1, S2: ours; its drop takes it out unless it was taken out before.
        unsafe { inner.watching.enter(&self.waiter, false) };
    }

    fn leave(&self) {
        if self.entered.replace(false) {
            let mut inner = self.watched.0.lock();
            if let Phase::Queued = self.waiter.phase() {
                inner.watching.remove(&self.waiter);
            }
        }
    }

    /// Looks as the task whose waker this is, and waits if there is nothing.
    ///
    /// # Safety
    /// S1: it does not move any more until it is dropped.
    pub(super) unsafe fn poll<R>(
        &self,
        waker: Waker,
        look: impl FnOnce(&mut S) -> Option<R>,
    ) -> Poll<R> {
        // Before the lock, so that it is dropped after it.
        let _old_waker;
        let mut inner = self.watched.0.lock();
        _old_waker = self.waiter.set_waker(waker);
        let is_in = matches!(self.waiter.phase(), Phase::Queued);
        if let Some(found) = look(&mut inner.state) {
            if is_in {
                inner.watching.remove(&self.waiter);
            }
            self.entered.set(false);
            return Poll::Ready(found);
        }
        if !is_in {
            // SAFETY: S1: ours. S2: it is not in.
            unsafe { self.enter(&mut inner) };
        }
        Poll::Pending
    }
}

impl<S> Drop for Watcher<'_, S> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// [`Unlink`] for a watcher.
///
/// # Safety
/// S1: `watcher` is a [`Watcher`] of `S` on the stack of a thread that is leaked in its wait.
unsafe fn leave_leaked<S>(watcher: *const ()) {
    // SAFETY: S1: it lives, and its thread never goes on.
    let watcher = unsafe { &*watcher.cast::<Watcher<'_, S>>() };
    watcher.leave();
}
