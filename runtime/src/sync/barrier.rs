//! `Barrier`: std's, for green threads and kernel threads.
//!
//! Arrivals are counted under the lock of the bucket in which they then wait, so an arrival is one
//! lock. The barrier is used again and again: each use is a *generation*, and a waiter knows its
//! own. The last one to arrive begins the next generation and wakes those of the last, who stand in
//! front of all that arrive meanwhile.

#[cfg(all(loom, test))]
mod models;

use std::fmt;
use std::panic::Location;
use std::ptr;

use crate::primitives::{AtomicUsize, Ordering, const_fn};
use crate::sched::door;
use crate::sync::address::{self, Ended, Queue, Request};
use crate::task::{Reason, WaitKind};

/// Lets a number of threads wait until all of them have come.
///
/// std's, for threads of any kind. It can be used again as soon as it has let them go.
///
/// # Examples
///
/// ```
/// use sylvan::sync::Barrier;
/// use sylvan::thread;
///
/// let barrier = Barrier::new(3);
/// thread::scope(|scope| {
///     for _ in 0..3 {
///         scope.spawn(|| {
///             // Something that all have to have done before anybody goes on, and then:
///             barrier.wait();
///         });
///     }
/// });
/// ```
pub struct Barrier {
    raw: RawBarrier,
}

/// What [`Barrier::wait`] tells a thread of itself.
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Returns whether the thread is the one of its generation that came last.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    const_fn! {
        /// Returns a barrier for `n` threads; with 0 as with 1 nobody ever waits.
        #[must_use]
        #[inline]
        pub const fn new(n: usize) -> Barrier {
            Barrier { raw: RawBarrier::new(n) }
        }
    }

    /// Waits until so many threads as the barrier is for have come. One of them, the last, is told
    /// that it is the leader.
    ///
    /// # Blocking
    ///
    /// Waits until the others have come. A cancellation ends the wait, and then the thread has not
    /// come, unless the last one has already. A kernel thread blocks.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        door::switch_point();
        BarrierWaitResult(self.raw.wait(Location::caller()))
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.is_leader()).finish()
    }
}

/// The counts; they change under the bucket's lock only.
#[repr(C)]
struct RawBarrier {
    arrived: AtomicUsize,
    generation: AtomicUsize,
    needed: usize,
}

impl RawBarrier {
    const_fn! {
        const fn new(needed: usize) -> RawBarrier {
            let (arrived, generation) = (AtomicUsize::new(0), AtomicUsize::new(0));
            RawBarrier { arrived, generation, needed }
        }
    }

    fn object(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// True: as the last one.
    // SUSPENDS
    fn wait(&self, site: &'static Location<'static>) -> bool {
        let request = Request {
            object: self.object(),
            in_front: false,
            reason: Reason::new(WaitKind::Barrier, site),
            deadline: None,
            leave: take_back,
        };
        loop {
            let mut opened = None;
            let must_wait = |_: &mut Queue| {
                // ORDERING: Relaxed, here and below; under the bucket's lock, which also publishes
                // what each has done before to the last one.
                let generation = self.generation.load(Ordering::Relaxed);
                let arrived = self.arrived.load(Ordering::Relaxed) + 1;
                if arrived < self.needed {
                    self.arrived.store(arrived, Ordering::Relaxed);
                    return Some(generation);
                }
                self.arrived.store(0, Ordering::Relaxed);
                self.generation.store(generation.wrapping_add(1), Ordering::Relaxed);
                opened = Some(generation);
                None
            };
            let ended = address::wait_in_queue(&request, must_wait, || ());
            match (ended, opened) {
                (_, Some(generation)) => {
                    // Also those of earlier ones, whose leader has not come that far: they stand in
                    // front. Those who are woken may let the barrier go; only its address is used.
                    let is_over = |other: usize| generation.wrapping_sub(other) <= usize::MAX / 2;
                    Queue::at(request.object).wake(usize::MAX, 0, is_over);
                    return true;
                }
                (Ended::Granted(_), None) => return false,
                // There is no deadline, and such a wait is never ended for nothing.
                (Ended::NotQueued | Ended::ForNothing | Ended::TimedOut, None) => (),
            }
        }
    }
}

/// [`address::Leave`] of a barrier: an arrival that did not become a part of a whole is taken back.
///
/// # Safety
/// S1: `object` is a [`RawBarrier`].
unsafe fn take_back(object: *const (), generation: usize, granted: Option<u32>) {
    // SAFETY: S1; the thread that waits at it borrows it.
    let barrier = unsafe { &*object.cast::<RawBarrier>() };
    let _queue = Queue::at(object);
    // ORDERING: Relaxed; under the bucket's lock.
    if granted.is_none() && barrier.generation.load(Ordering::Relaxed) == generation {
        barrier.arrived.fetch_sub(1, Ordering::Relaxed);
    }
}
