//! The ready queue: a worker's started threads that can run, oldest first.
//!
//! A ring rather than a list, because the next turns' threads are loaded ahead, and a list would
//! have to be walked for that, one cache miss after the other. At 100,000 runnable threads this
//! made switching 8 times faster. A ring of our own rather than `VecDeque`, because a yield is
//! little more than one entry in and one out: with a power of two for its length, and as one step,
//! that is five instructions instead of thirty. Only the worker touches it.

use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};

use crate::fiber::Fiber;
use crate::task::Header;
use crate::task::header::HOT_BYTES;

/// See the file's comment.
pub(crate) struct Ready(UnsafeCell<Ring>);

struct Ring {
    /// A power of two long. Those `len` from `head` on, round the end, are in the queue.
    entries: Box<[Entry]>,
    /// Counts on without end; its low bits are the place.
    head: usize,
    len: usize,
}

/// A thread in the queue, and its fiber, so that both can be loaded ahead without reading one for
/// the other; null for one that has not started.
#[derive(Clone, Copy)]
struct Entry {
    thread: NonNull<Header>,
    fiber: *const Fiber,
}

/// A thread that has started, taken out of the queue.
#[derive(Clone, Copy)]
pub(crate) struct Started {
    pub(crate) thread: NonNull<Header>,
    pub(crate) fiber: NonNull<Fiber>,
}

impl Started {
    /// A thread that is known to have started.
    #[inline]
    pub(crate) fn of(thread: NonNull<Header>) -> Started {
        // SAFETY: the caller owns the duty to run it, so it lives.
        let fiber = unsafe { thread.as_ref() }.fiber.get();
        let fiber = NonNull::new(fiber.cast_mut()).expect("a started thread has a fiber");
        Started { thread, fiber }
    }
}

/// So many turns apart, headers and fibers of as many threads are loaded ahead, and the stacks of
/// those whose fibers were loaded the time before. Together, for a load of a page whose address the
/// processor must translate anew holds up what follows it: one by one they made a turn among
/// 100,000 cost 310 ns, together 175.
const BATCH: usize = 4;
/// How long a ring is at first, and what one that once was long keeps: 2048 * 16 bytes = 32 KiB.
const FIRST_CAPACITY: usize = 64;
const KEPT_CAPACITY: usize = 2048;

impl Ready {
    pub(crate) fn new() -> Ready {
        Ready(UnsafeCell::new(Ring::with_capacity(FIRST_CAPACITY)))
    }

    #[expect(clippy::mut_from_ref, reason = "private; each use below ends before the next begins")]
    #[inline(always)]
    fn ring(&self) -> &mut Ring {
        // SAFETY: not `Sync`, and no method calls anything that could come back here.
        unsafe { &mut *self.0.get() }
    }

    #[inline]
    pub(crate) fn push(&self, thread: NonNull<Header>) {
        self.ring().push(Entry::of(thread));
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<Header>> {
        self.ring().pop().map(|entry| entry.thread)
    }

    /// Takes the oldest thread, if it has started.
    #[inline(always)]
    pub(crate) fn pop_started(&self) -> Option<Started> {
        let ring = self.ring();
        let started = ring.first()?.started()?;
        ring.pop();
        Some(started)
    }

    /// Takes the oldest thread, if it has started, and puts `thread` behind all others.
    #[inline(always)]
    pub(crate) fn take_turns(&self, thread: NonNull<Header>) -> Option<Started> {
        let ring = self.ring();
        let started = ring.first()?.started()?;
        ring.rotate(Entry::of(thread));
        Some(started)
    }

    /// Takes the thread at `index`, counted from the oldest; for choices that are not by age.
    pub(crate) fn remove(&self, index: usize) -> Option<NonNull<Header>> {
        let ring = self.ring();
        if index >= ring.len {
            return None;
        }
        let taken = ring.at(index).thread;
        for later in index + 1..ring.len {
            *ring.at(later - 1) = *ring.at(later);
        }
        ring.len -= 1;
        Some(taken)
    }

    /// The number of the thread at `index`, counted from the oldest.
    pub(crate) fn number_at(&self, index: usize) -> Option<u64> {
        let ring = self.ring();
        // SAFETY: a thread in the queue is alive.
        (index < ring.len).then(|| unsafe { ring.at(index).thread.as_ref() }.number())
    }

    /// Puts the threads into a random order (Fisher and Yates); `below` draws a number below its
    /// argument.
    pub(crate) fn shuffle(&self, below: impl Fn(usize) -> usize) {
        let ring = self.ring();
        for last in (1..ring.len).rev() {
            let (other, entry) = (below(last + 1), *ring.at(last));
            *ring.at(last) = *ring.at(other);
            *ring.at(other) = entry;
        }
    }

    /// All threads in the queue, oldest first, as they are now.
    pub(crate) fn snapshot(&self) -> Vec<NonNull<Header>> {
        let ring = self.ring();
        (0..ring.len).map(|index| ring.at(index).thread).collect()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ring().len
    }

    /// Gives memory back; for a worker that has nothing to do.
    pub(crate) fn shrink(&self) {
        let ring = self.ring();
        if ring.len == 0 && ring.entries.len() > KEPT_CAPACITY {
            *ring = Ring::with_capacity(KEPT_CAPACITY);
        }
    }
}

impl Entry {
    const NONE: Entry = Entry { thread: NonNull::dangling(), fiber: ptr::null() };

    #[inline(always)]
    fn of(thread: NonNull<Header>) -> Entry {
        // SAFETY: whoever puts it into the queue keeps it alive until it has run.
        Entry { thread, fiber: unsafe { thread.as_ref() }.fiber.get() }
    }

    #[inline(always)]
    fn started(self) -> Option<Started> {
        let fiber = NonNull::new(self.fiber.cast_mut())?;
        Some(Started { thread: self.thread, fiber })
    }
}

impl Ring {
    fn with_capacity(capacity: usize) -> Ring {
        Ring { entries: vec![Entry::NONE; capacity].into_boxed_slice(), head: 0, len: 0 }
    }

    /// The place of the entry at `index`, counted from the oldest.
    #[inline(always)]
    fn at(&mut self, index: usize) -> &mut Entry {
        let place = self.head.wrapping_add(index) & (self.entries.len() - 1);
        // SAFETY: the length is a power of two, so the mask keeps the place below it.
        unsafe { self.entries.get_unchecked_mut(place) }
    }

    #[inline(always)]
    fn first(&mut self) -> Option<Entry> {
        (self.len > 0).then(|| *self.at(0))
    }

    #[inline]
    fn push(&mut self, entry: Entry) {
        if self.len == self.entries.len() {
            self.grow();
        }
        *self.at(self.len) = entry;
        self.len += 1;
    }

    #[inline]
    fn pop(&mut self) -> Option<Entry> {
        let first = self.first()?;
        self.head = self.head.wrapping_add(1);
        self.len -= 1;
        self.load_ahead();
        Some(first)
    }

    /// Takes the first of a queue that is not empty, and puts `entry` behind the last.
    #[inline(always)]
    fn rotate(&mut self, entry: Entry) {
        // In a full ring this is the place of the first, which the caller has read.
        *self.at(self.len) = entry;
        self.head = self.head.wrapping_add(1);
        self.load_ahead();
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let mut longer = Ring::with_capacity(2 * self.entries.len());
        for index in 0..self.len {
            *longer.at(index) = *self.at(index);
        }
        longer.len = self.len;
        *self = longer;
    }

    /// Starts to load what later turns will touch.
    #[inline(always)]
    fn load_ahead(&mut self) {
        if self.len >= 2 * BATCH && self.head.is_multiple_of(BATCH) {
            self.load_batch();
        }
    }

    #[cold]
    #[inline(never)]
    fn load_batch(&mut self) {
        for index in BATCH..2 * BATCH {
            let entry = *self.at(index);
            crate::os::prefetch(entry.fiber.cast());
            let header: *const u8 = entry.thread.as_ptr().cast_const().cast();
            crate::os::prefetch(header);
            crate::os::prefetch(header.wrapping_add(HOT_BYTES - 1));
        }
        for index in 0..BATCH {
            // SAFETY: WAITING-OWNS-FIBER; null only for threads that have not started.
            if let Some(fiber) = unsafe { self.at(index).fiber.as_ref() } {
                fiber.prefetch();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(number: usize) -> NonNull<Header> {
        NonNull::without_provenance(std::num::NonZeroUsize::new(number * 16).expect("not zero"))
    }

    /// Against a `VecDeque`, through growth and round the end of the ring.
    #[test]
    fn a_ring_is_a_queue() {
        let (mut ring, mut model) = (Ring::with_capacity(4), std::collections::VecDeque::new());
        let entry = |number| Entry { thread: thread(number), fiber: ptr::null() };
        for number in 1..2000 {
            match number % 7 {
                0 | 3 => assert_eq!(ring.pop().map(|entry| entry.thread), model.pop_front()),
                5 if !model.is_empty() => {
                    let first = ring.first().map(|entry| entry.thread);
                    ring.rotate(entry(number));
                    assert_eq!(first, model.pop_front());
                    model.push_back(thread(number));
                }
                _ => {
                    ring.push(entry(number));
                    model.push_back(thread(number));
                }
            }
            assert_eq!(ring.len, model.len());
        }
        assert!(ring.len > 500, "it has grown: {}", ring.len);
        while let Some(entry) = ring.pop() {
            assert_eq!(Some(entry.thread), model.pop_front());
        }
        assert!(model.is_empty());
    }
}
