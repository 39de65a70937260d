//! The ready queue: a worker's started threads that can run, oldest first.
//!
//! A ring rather than a list, because the loop loads ahead what the next turns will touch, and a
//! list would have to be walked for that, one cache miss after the other. At 100,000 runnable
//! threads this made switching 8 times faster. Only the worker touches it.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr::NonNull;

use crate::task::Header;

/// See the file's comment.
pub(crate) struct Ready(UnsafeCell<VecDeque<NonNull<Header>>>);

/// How far ahead headers are loaded, then the fibers that they name, then the stacks that those
/// name: each step reads what the one before has loaded meanwhile.
const HEADER_AHEAD: usize = 16;
const FIBER_AHEAD: usize = 10;
const STACK_AHEAD: usize = 5;
/// A ring that once was long gives its memory back when it is empty: 4096 * 8 bytes = 32 KiB.
const KEPT_CAPACITY: usize = 4096;

impl Ready {
    pub(crate) fn new() -> Ready {
        Ready(UnsafeCell::new(VecDeque::new()))
    }

    #[expect(clippy::mut_from_ref, reason = "private; each use below ends before the next begins")]
    fn ring(&self) -> &mut VecDeque<NonNull<Header>> {
        // SAFETY: not `Sync`, and no method calls anything that could come back here.
        unsafe { &mut *self.0.get() }
    }

    #[inline]
    pub(crate) fn push(&self, header: NonNull<Header>) {
        self.ring().push_back(header);
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<Header>> {
        let ring = self.ring();
        let first = ring.pop_front()?;
        if let Some(ahead) = ring.get(HEADER_AHEAD) {
            crate::os::prefetch(ahead.as_ptr().cast_const().cast());
        }
        if let Some(ahead) = ring.get(FIBER_AHEAD) {
            // SAFETY: a thread in the queue is alive.
            let fiber = unsafe { ahead.as_ref() }.fiber.get();
            crate::os::prefetch(fiber.cast());
        }
        if let Some(ahead) = ring.get(STACK_AHEAD) {
            // SAFETY: as above.
            let fiber = unsafe { ahead.as_ref() }.fiber.get();
            // SAFETY: WAITING-OWNS-FIBER; null only for threads that have not started.
            if let Some(fiber) = unsafe { fiber.as_ref() } {
                fiber.prefetch();
            }
        }
        Some(first)
    }

    /// Takes the thread at `index`, counted from the oldest; for choices that are not by age.
    pub(crate) fn remove(&self, index: usize) -> Option<NonNull<Header>> {
        self.ring().remove(index)
    }

    /// The number of the thread at `index`, counted from the oldest.
    pub(crate) fn number_at(&self, index: usize) -> Option<u64> {
        // SAFETY: a thread in the queue is alive.
        self.ring().get(index).map(|thread| unsafe { thread.as_ref() }.number())
    }

    /// Puts the threads into a random order (Fisher and Yates); `below` draws a number below its
    /// argument.
    pub(crate) fn shuffle(&self, below: impl Fn(usize) -> usize) {
        let ring = self.ring();
        for last in (1..ring.len()).rev() {
            ring.swap(last, below(last + 1));
        }
    }

    /// All threads in the queue, oldest first, as they are now.
    pub(crate) fn snapshot(&self) -> Vec<NonNull<Header>> {
        self.ring().iter().copied().collect()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ring().len()
    }

    /// Gives memory back; for a worker that has nothing to do.
    pub(crate) fn shrink(&self) {
        let ring = self.ring();
        if ring.is_empty() && ring.capacity() > KEPT_CAPACITY {
            ring.shrink_to(KEPT_CAPACITY);
        }
    }
}
