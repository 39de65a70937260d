//! Waiting for somebody in particular, made of `park` and `unpark`.
//!
//! sylvan has no semaphores yet and std none at all, so rows that need one build it here of what
//! both have. A flag goes with the permit: std may return from `park` without one, and a permit
//! that was left over would end a later wait. The lock of the semaphore is std's; nobody waits
//! while holding it, so it never blocks for longer than a few instructions take.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::peers::threads::Threads;

/// The calling thread, for others to wake it.
pub(crate) struct Waiter<P: Threads> {
    thread: P::Thread,
    woken: Arc<AtomicBool>,
}

impl<P: Threads> Clone for Waiter<P> {
    fn clone(&self) -> Waiter<P> {
        Waiter { thread: self.thread.clone(), woken: self.woken.clone() }
    }
}

impl<P: Threads> Waiter<P> {
    /// Of the calling thread.
    pub(crate) fn new() -> Waiter<P> {
        Waiter { thread: P::current(), woken: Arc::new(AtomicBool::new(false)) }
    }

    /// Waits for one call of `wake`, which may have come already.
    #[inline]
    pub(crate) fn wait(&self) {
        // ORDERING: Acquire; pairs with the Release in `wake`.
        while !self.woken.swap(false, Ordering::Acquire) {
            P::park();
        }
    }

    #[inline]
    pub(crate) fn wake(&self) {
        // ORDERING: Release; pairs with the Acquire in `wait`; what the waker did is seen.
        self.woken.store(true, Ordering::Release);
        P::unpark(&self.thread);
    }
}

/// A counting semaphore that is first come, first served.
pub(crate) struct Semaphore<P: Threads>(Mutex<Inside<P>>);

struct Inside<P: Threads> {
    permits: usize,
    queue: VecDeque<Waiter<P>>,
}

impl<P: Threads> Semaphore<P> {
    pub(crate) fn new(permits: usize) -> Semaphore<P> {
        Semaphore(Mutex::new(Inside { permits, queue: VecDeque::new() }))
    }

    pub(crate) fn release(&self) {
        let mut inside = self.0.lock().expect("nobody panics inside");
        let Some(next) = inside.queue.pop_front() else {
            inside.permits += 1;
            return;
        };
        drop(inside);
        next.wake();
    }

    pub(crate) fn acquire(&self, me: &Waiter<P>) {
        let mut inside = self.0.lock().expect("nobody panics inside");
        if inside.permits > 0 {
            inside.permits -= 1;
            return;
        }
        inside.queue.push_back(me.clone());
        drop(inside);
        me.wait();
    }
}
