//! A channel's memory: its state, and how many ends it has.
//!
//! Senders and receivers are counted apart, for the last of either side disconnects the channel;
//! the side that goes last frees it. An `Arc` would have to count both once more.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use crate::channel::buffer::Buffer;
use crate::channel::state::{State, Wakes};
use crate::primitives::{AtomicBool, AtomicUsize, Ordering};
use crate::sched::woken::Woken;
use crate::short_lock::{ShortGuard, ShortLock};
use crate::task::packet;

pub(super) struct Shared<T> {
    state: ShortLock<State<T>>,
    /// `None` if there is no bound. Never changes.
    capacity: Option<usize>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    /// Whether one of the two sides has gone.
    is_half_gone: AtomicBool,
}

pub(super) type Guard<'a, T> = ShortGuard<'a, State<T>>;

impl<T> Shared<T> {
    /// Makes a channel with one sender and one receiver.
    pub(super) fn make(capacity: Option<usize>) -> (SenderRef<T>, ReceiverRef<T>) {
        let shared = Box::new(Shared {
            state: ShortLock::new(State::new(capacity.unwrap_or(usize::MAX))),
            capacity,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            is_half_gone: AtomicBool::new(false),
        });
        let shared = Box::into_raw(shared);
        (SenderRef(shared), ReceiverRef(shared))
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    /// What tells this channel from others.
    pub(super) fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// How many messages lie in it.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.len() >= capacity)
    }

    #[inline]
    pub(super) fn lock(&self) -> Guard<'_, T> {
        self.state.lock()
    }

    /// Unlocks the state and does what its step owes.
    #[inline]
    pub(super) fn unlock(&self, state: Guard<'_, T>, wakes: &mut Wakes) {
        drop(state);
        wakes.schedule();
        if wakes.is_watched {
            self.wake_watchers();
        }
    }

    /// Wakes those who watch; all of them, for they take nothing from each other.
    #[cold]
    pub(super) fn wake_watchers(&self) {
        let state = self.lock();
        let until = state.receivers.watching.next_ticket();
        let until_of_senders = state.senders.watching.next_ticket();
        drop(state);
        wake_in_batches(|batch| self.lock().receivers.watching.wake_before(until, batch));
        wake_in_batches(|batch| self.lock().senders.watching.wake_before(until_of_senders, batch));
    }

    /// Wakes everybody, for the channel has just been disconnected.
    fn wake_all(&self) {
        wake_in_batches(|batch| self.lock().wake_disconnected(batch));
        self.wake_watchers();
    }

    /// Frees the channel if the other side has gone before.
    ///
    /// # Safety
    /// S1: the last reference of one side goes with this call.
    unsafe fn release(shared: *mut Shared<T>) {
        // SAFETY: S1: the other side frees it only after this swap.
        let half = unsafe { &(*shared).is_half_gone };
        // ORDERING: AcqRel; what either side did to the channel happens before it is freed.
        if half.swap(true, Ordering::AcqRel) {
            // SAFETY: made by `Box::into_raw`; both sides have gone.
            drop(unsafe { Box::from_raw(shared) });
        }
    }
}

/// Wakes as many as `fill` finds, which says whether there may be more. No lock is held meanwhile.
pub(super) fn wake_in_batches(fill: impl Fn(&mut [Option<Woken>]) -> bool) {
    let mut may_be_more = true;
    while may_be_more {
        let mut batch = Woken::batch();
        may_be_more = fill(&mut batch);
        Woken::schedule_all(&mut batch);
    }
}

/// The most references that a side may have, as of `Arc`: beyond it the count might wrap.
const ENDS_MAX: usize = isize::MAX as usize;

fn count_one_more(ends: &AtomicUsize) {
    // ORDERING: Relaxed; whoever makes a reference has one.
    if ends.fetch_add(1, Ordering::Relaxed) > ENDS_MAX {
        std::process::abort();
    }
}

/// A counted reference of the sending side.
pub(super) struct SenderRef<T>(*mut Shared<T>);

/// A counted reference of the receiving side.
pub(super) struct ReceiverRef<T>(*mut Shared<T>);

// SAFETY: what lies in a channel may be sent, and everything in it is guarded by its lock.
unsafe impl<T: Send> Send for SenderRef<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SenderRef<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for ReceiverRef<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for ReceiverRef<T> {}

impl<T> Deref for SenderRef<T> {
    type Target = Shared<T>;

    #[inline]
    fn deref(&self) -> &Shared<T> {
        // SAFETY: counted.
        unsafe { &*self.0 }
    }
}

impl<T> Deref for ReceiverRef<T> {
    type Target = Shared<T>;

    #[inline]
    fn deref(&self) -> &Shared<T> {
        // SAFETY: counted.
        unsafe { &*self.0 }
    }
}

impl<T> Clone for SenderRef<T> {
    fn clone(&self) -> SenderRef<T> {
        count_one_more(&self.senders);
        SenderRef(self.0)
    }
}

impl<T> Clone for ReceiverRef<T> {
    fn clone(&self) -> ReceiverRef<T> {
        count_one_more(&self.receivers);
        ReceiverRef(self.0)
    }
}

impl<T> Drop for SenderRef<T> {
    fn drop(&mut self) {
        // ORDERING: AcqRel; Release: what each sender did happens before the disconnection, which
        // Acquire makes the last one see.
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            let half = Half(self.0);
            self.lock().end_sending();
            self.wake_all();
            drop(half);
        }
    }
}

impl<T> Drop for ReceiverRef<T> {
    fn drop(&mut self) {
        // ORDERING: AcqRel; as above.
        if self.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let half = Half(self.0);
            let messages = self.lock().end_receiving();
            // Senders go on whatever the destructors of the messages do.
            self.wake_all();
            drop_each(messages);
            drop(half);
        }
    }
}

/// Drops the messages, first to last, and none is left because the destructor of another panics.
/// The first panic goes on afterwards, unless the thread unwinds already.
fn drop_each<T>(mut messages: Buffer<T>) {
    let mut first = None;
    while let Some(message) = messages.pop_front() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(message))) {
            match first {
                None => first = Some(panic),
                Some(_) => packet::drop_quietly(panic),
            }
        }
    }
    match first {
        Some(panic) if std::thread::panicking() => packet::drop_quietly(panic),
        Some(panic) => resume_unwind(panic),
        None => (),
    }
}

/// Gives a side up when it is dropped, also if a waker or a message panics before.
struct Half<T>(*mut Shared<T>);

impl<T> Drop for Half<T> {
    fn drop(&mut self) {
        // SAFETY: S1: made by the last reference of a side, once.
        unsafe { Shared::release(self.0) };
    }
}
