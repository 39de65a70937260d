//! The read-write lock without its data: four bytes of state, and a queue elsewhere.
//!
//! Who gets the lock when it is free is told in `barging`. Beyond that:
//!
//! - Readers join readers only if nobody waits; else a stream of them would keep a writer out.
//!   Those who were woken join in any case, for they were there first.
//! - When the first in the queue is a reader all readers up to the next writer are woken.
//!
//! # The protocol
//!
//! - *Whoever waits* locks the bucket, sets `WAITERS` (and `HANDOVER`) while it may not go in, and
//!   enters. So if there is a queue `WAITERS` is set, and if it is set without a queue, somebody
//!   whose wait ended otherwise is about to leave and will clear it.
//! - *Whoever leaves the lock* takes itself out of the word by compare-and-swap, if nobody waits or
//!   other readers stay. Else it locks the bucket first, and if it is still the last one, changes
//!   the word to free, with `WAITERS` as it will be, and wakes the front of the queue to try again.
//! - *With `HANDOVER`* it changes the word to what the front wants, and grants that. To a group of
//!   readers it does so as one of them: each is counted before it is granted, so that the lock is
//!   never free in between, and then the unlocker leaves as readers do.
//! - *Whoever leaves the queue* without a wake looks whether those who now stand in front can go
//!   in, and wakes them.
//!
//! After the change that takes the last holder out of the word it does not touch the lock any more.

use std::panic::Location;
use std::ptr;
use std::time::Instant;

use crate::primitives::{AtomicU32, Ordering, const_fn};
use crate::sched::door;
use crate::sched::woken::Woken;
use crate::sync::address::{self, Ended, Queue, Request};
use crate::sync::barging::{self, HANDED_OVER, LOSSES_MAX, TRY_AGAIN};
use crate::sync::holder::Holder;
use crate::task::{Reason, WaitKind};

/// The lock.
///
/// | bits | name | meaning |
/// |---|---|---|
/// | 0 | `WRITER` | a writer holds it, or is being handed it |
/// | 1 | `WAITERS` | somebody waits; changes under the bucket's lock only |
/// | 2 | `HANDOVER` | the next unlock hands the lock over; changes under that lock only |
/// | 3..32 | readers | how many readers hold it, unless `WRITER` is set |
/// | 8..32 | holder | the token of the writer's kernel thread, if it is |
#[repr(C)]
pub(in crate::sync) struct RawRwLock {
    state: AtomicU32,
    holder: Holder,
}

const WRITER: u32 = 1;
const WAITERS: u32 = 1 << 1;
const HANDOVER: u32 = 1 << 2;
const READERS_SHIFT: u32 = 3;
const ONE_READER: u32 = 1 << READERS_SHIFT;
const READERS_MAX: u32 = u32::MAX >> READERS_SHIFT;

/// What a waiter wants.
const READ: usize = 0;
const WRITE: usize = 1;

/// How many readers hold a lock that no writer does.
fn readers(state: u32) -> u32 {
    state >> READERS_SHIFT
}

/// Whether nobody holds the lock.
fn is_free(state: u32) -> bool {
    state & !(WAITERS | HANDOVER) == 0
}

/// Whether a reader may go in; `was_woken`: one who has waited.
fn may_join(state: u32, was_woken: bool) -> bool {
    state & WRITER == 0 && (was_woken || state & WAITERS == 0 || readers(state) == 0)
}

/// The bits of a lock that the current thread holds as a writer.
#[inline]
fn held() -> u32 {
    WRITER | barging::token()
}

impl RawRwLock {
    const_fn! {
        pub(in crate::sync) const fn new() -> RawRwLock {
            RawRwLock { state: AtomicU32::new(0), holder: Holder::new() }
        }
    }

    /// Takes the lock as a reader, unless it takes longer than until `deadline`; `None`: there is
    /// none.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn read_until(&self, deadline: Option<Instant>) -> bool {
        door::switch_point();
        let site = Location::caller();
        let got = self.try_read_free() || self.wait_for(READ, site, deadline);
        if got {
            self.holder.enter(site);
        }
        got
    }

    /// The same as a writer.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn write_until(&self, deadline: Option<Instant>) -> bool {
        door::switch_point();
        let site = Location::caller();
        let got = self.try_write_free() || self.wait_for(WRITE, site, deadline);
        if got {
            self.holder.enter(site);
        }
        got
    }

    /// Takes the lock as a reader if it can be had at once.
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn try_read(&self) -> bool {
        let got = self.try_read_free() || self.try_join(false);
        if got {
            self.holder.enter(Location::caller());
        }
        got
    }

    /// Takes the lock as a writer if it is free.
    #[inline]
    #[track_caller]
    pub(in crate::sync) fn try_write(&self) -> bool {
        let got = self.try_write_free() || self.try_write_barging();
        if got {
            self.holder.enter(Location::caller());
        }
        got
    }

    /// Releases the lock.
    ///
    /// # Safety
    /// S1: the caller holds it as a reader.
    #[inline]
    pub(in crate::sync) unsafe fn unlock_read(&self) {
        self.holder.leave();
        // ORDERING: Relaxed; a first look.
        let mut state = self.state.load(Ordering::Relaxed);
        while readers(state) > 1 || state & WAITERS == 0 {
            // ORDERING: Release; pairs with the Acquire of the next writer, for which the section
            // has to be over. Relaxed; a failure changes nothing.
            match self.state.compare_exchange_weak(
                state,
                state - ONE_READER,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
        self.release();
    }

    /// Releases the lock.
    ///
    /// # Safety
    /// S1: the caller holds it as a writer.
    #[inline]
    pub(in crate::sync) unsafe fn unlock_write(&self) {
        self.holder.leave();
        // ORDERING: Relaxed; a first look, at what is the caller's own.
        let state = self.state.load(Ordering::Relaxed);
        if state & WAITERS != 0 || !self.change(state, 0) {
            self.release();
        }
    }

    /// Makes the writer a reader, and wakes the readers that wait in front.
    ///
    /// # Safety
    /// S1: the caller holds the lock as a writer.
    #[track_caller]
    pub(in crate::sync) unsafe fn downgrade(&self) {
        self.holder.leave();
        self.holder.enter(Location::caller());
        // ORDERING: Relaxed; a first look, at what is the caller's own.
        let state = self.state.load(Ordering::Relaxed);
        if state & WAITERS != 0 || !self.change(state, ONE_READER) {
            let queue = Queue::at(self.object());
            // ORDERING: Relaxed; while a writer holds it the word changes under this lock only.
            let waiters = self.state.load(Ordering::Relaxed) & (WAITERS | HANDOVER);
            // ORDERING: Release; pairs with the Acquire of the readers that join.
            self.state.store(ONE_READER | waiters, Ordering::Release);
            self.serve_front(queue);
        }
    }

    /// Whether somebody holds the lock.
    #[cfg(feature = "lock_api")]
    pub(in crate::sync) fn is_locked(&self) -> bool {
        // ORDERING: Relaxed; a look.
        !is_free(self.state.load(Ordering::Relaxed))
    }

    /// Whether a writer holds the lock.
    #[cfg(feature = "lock_api")]
    pub(in crate::sync) fn is_locked_by_writer(&self) -> bool {
        // ORDERING: Relaxed; a look.
        self.state.load(Ordering::Relaxed) & WRITER != 0
    }

    /// Whether nobody holds it or waits for it.
    #[cfg(all(loom, test))]
    pub(in crate::sync) fn is_untouched(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 0
    }

    fn object(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// Changes the word from `state` to `new`; what the caller did in its section is published,
    /// and what others did before they left it is seen.
    #[inline]
    fn change(&self, state: u32, new: u32) -> bool {
        // ORDERING: AcqRel; pairs with the next holder's Acquire and the last ones' Release, for
        // whoever hands the lock on hands on all of these. Relaxed; a failure changes nothing.
        self.state.compare_exchange(state, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes a lock as a reader, for which nobody waits and which no writer holds.
    #[inline]
    fn try_read_free(&self) -> bool {
        // ORDERING: Relaxed; a first look.
        let state = self.state.load(Ordering::Relaxed);
        // ORDERING: Acquire; pairs with the Release of the last writer.
        state & (WRITER | WAITERS) == 0
            && readers(state) < READERS_MAX
            && self
                .state
                .compare_exchange(state, state + ONE_READER, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Takes a lock that nobody holds or waits for.
    #[inline]
    fn try_write_free(&self) -> bool {
        // ORDERING: Acquire; pairs with the Release of the last holders.
        self.state.compare_exchange(0, held(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Goes in as a reader, if it may.
    fn try_join(&self, was_woken: bool) -> bool {
        let joined = |state| {
            may_join(state, was_woken).then(|| {
                let others = readers(state);
                assert!(
                    others < READERS_MAX,
                    "a RwLock has {others} readers, and can have no more"
                );
                state + ONE_READER
            })
        };
        // ORDERING: Acquire; as in `try_read_free`. Relaxed; a failure changes nothing.
        self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, joined).is_ok()
    }

    /// Takes a lock that is free, whoever waits for it.
    fn try_write_barging(&self) -> bool {
        let taken = |state| is_free(state).then_some(state | held());
        // ORDERING: Acquire; as in `try_write_free`. Relaxed; a failure changes nothing.
        self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, taken).is_ok()
    }

    // SUSPENDS
    #[cold]
    fn wait_for(
        &self,
        want: usize,
        site: &'static Location<'static>,
        deadline: Option<Instant>,
    ) -> bool {
        let mut losses = 0;
        loop {
            barging::back_off(|| {
                // ORDERING: Relaxed; a look.
                let state = self.state.load(Ordering::Relaxed);
                state & (WRITER | WAITERS) == WRITER && barging::is_elsewhere(state)
            });
            let was_woken = losses > 0;
            let got = match want {
                READ => self.try_join(was_woken),
                _ => self.try_write_barging(),
            };
            if got {
                return true;
            }
            if deadline.is_none() {
                self.holder.refuse_recursion("a rwlock that it holds", site);
            }
            let kind = if want == READ { WaitKind::Read } else { WaitKind::Write };
            let mut reason = Reason::new(kind, site);
            reason.owner = self.holder.thread();
            let request = Request {
                object: self.object(),
                in_front: was_woken,
                reason,
                deadline,
                leave: leave_queue,
            };
            let wanted = if losses < LOSSES_MAX { WAITERS } else { WAITERS | HANDOVER };
            let must_wait = |_: &mut Queue| {
                let must_wait = |state| match want {
                    READ => !may_join(state, was_woken),
                    _ => !is_free(state),
                };
                barging::announce(&self.state, wanted, must_wait).then_some(want)
            };
            match address::wait_in_queue(&request, must_wait, || ()) {
                Ended::Granted(HANDED_OVER) => {
                    if want == WRITE {
                        // ORDERING: Relaxed; the wake has published the sections before.
                        self.state.fetch_or(held(), Ordering::Relaxed);
                    }
                    return true;
                }
                Ended::Granted(_) => losses += 1,
                Ended::NotQueued | Ended::ForNothing => (),
                Ended::TimedOut => return false,
            }
        }
    }

    /// Takes the caller out of a lock that it holds and for which somebody waits.
    #[cold]
    fn release(&self) {
        let mut queue = Queue::at(self.object());
        loop {
            // ORDERING: Relaxed; `change` decides.
            let state = self.state.load(Ordering::Relaxed);
            if state & WRITER == 0 && readers(state) > 1 {
                if self.change(state, state - ONE_READER) {
                    return;
                }
                continue;
            }
            // The caller is alone in it; but readers that were woken may still join.
            let rest = rest_behind_front(&queue);
            match (queue.front_want(), state & HANDOVER != 0) {
                (None, _) => {
                    if self.change(state, 0) {
                        return;
                    }
                }
                (Some(want), false) => {
                    if self.change(state, rest) {
                        return wake_front(queue, want);
                    }
                }
                (Some(WRITE), true) => {
                    if self.change(state, WRITER | rest)
                        && let Some(next) = queue.grant_first(HANDED_OVER, |want| want == WRITE)
                    {
                        drop(queue);
                        return next.schedule();
                    }
                }
                (Some(_), true) => {
                    if self.change(state, ONE_READER | WAITERS) {
                        queue = self.hand_over_to_readers(queue);
                    }
                }
            }
        }
    }

    /// Grants the lock to the readers in front; the caller is a reader.
    fn hand_over_to_readers(&self, mut queue: Queue) -> Queue {
        let mut is_done = false;
        while !is_done {
            let mut woken = Woken::batch();
            for place in &mut woken {
                // ORDERING: Relaxed; the wake publishes what the caller has seen.
                self.state.fetch_add(ONE_READER, Ordering::Relaxed);
                *place = queue.grant_first(HANDED_OVER, |want| want == READ);
                if place.is_none() {
                    // ORDERING: Relaxed; nobody has had it.
                    self.state.fetch_sub(ONE_READER, Ordering::Relaxed);
                    is_done = true;
                    break;
                }
            }
            drop(queue);
            Woken::schedule_all(&mut woken);
            queue = Queue::at(self.object());
        }
        if queue.is_empty() {
            // ORDERING: Relaxed; under the bucket's lock.
            self.state.fetch_and(!(WAITERS | HANDOVER), Ordering::Relaxed);
        }
        queue
    }

    /// Wakes the front of the queue if it can go in, for somebody who has left the queue or holds
    /// the lock.
    #[cold]
    fn serve_front(&self, queue: Queue) {
        let wakes = |state: u32| match queue.front_want() {
            Some(READ) => state & WRITER == 0,
            Some(_) => is_free(state),
            None => true,
        };
        let rest = rest_behind_front(&queue);
        let asked = if rest == 0 { 0 } else { HANDOVER };
        // ORDERING: Relaxed; nobody's section is published, for nobody leaves the lock.
        let served = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            wakes(state).then_some(state & !(WAITERS | HANDOVER) | rest | state & asked)
        });
        if let (Ok(_), Some(want)) = (served, queue.front_want()) {
            wake_front(queue, want);
        }
    }
}

/// `WAITERS` if anybody is left in the queue when its front has gone in.
fn rest_behind_front(queue: &Queue) -> u32 {
    let is_all = match queue.front_want() {
        Some(WRITE) => !queue.has_several(),
        _ => queue.all_want(READ),
    };
    if is_all { 0 } else { WAITERS }
}

/// Wakes the front, which wants `want`, to try again.
fn wake_front(queue: Queue, want: usize) {
    let count = if want == WRITE { 1 } else { usize::MAX };
    queue.wake(count, TRY_AGAIN, |other| other == want);
}

/// [`address::Leave`] of the lock.
///
/// # Safety
/// S1: `object` is a [`RawRwLock`].
unsafe fn leave_queue(object: *const (), want: usize, granted: Option<u32>) {
    // SAFETY: S1; the thread that waits for it borrows it.
    let lock = unsafe { &*object.cast::<RawRwLock>() };
    match (granted, want) {
        // SAFETY: S1: got on behalf of a thread that will never know.
        (Some(HANDED_OVER), READ) => unsafe { lock.unlock_read() },
        // SAFETY: S1: as above.
        (Some(HANDED_OVER), _) => unsafe { lock.unlock_write() },
        // Those who stand in front now have not been looked at, or it was to try for them.
        _ => lock.serve_front(Queue::at(object)),
    }
}
