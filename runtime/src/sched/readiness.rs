//! What is known of a descriptor, and who waits for it to become ready.
//!
//! Whoever wants to read tries the system call first and waits only if it would block. Events are
//! edges: they say that something has changed, once, to whoever listens. Between the attempt and
//! the wait an edge may come, so each direction has a word that both sides change:
//!
//! ```text
//!   who attempts                              a worker that collects an event
//!   1  seen := word                           1  word := next tick, not DRY        (locked)
//!   2  attempt: would block                   2  takes a waiter out of the queue   (locked)
//!   3  word: seen → seen | DRY, or nothing    3  wakes it
//!   4  word is DRY: enters the queue (locked), else begins again
//! ```
//!
//! *Why no edge is lost.* Step 3 fails if an event was collected since step 1, for that has moved
//! the tick. One that is collected between 3 and 4 clears DRY, and 4 begins again; one that comes
//! after 4 finds the waiter, for 4 and the collection lock the same queue. An edge that came before
//! the descriptor was registered is no edge to anybody, but a descriptor that is ready when it is
//! registered gives an event at once, and whoever waits has registered it before. Where it moves
//! to another worker it is registered there before it is taken back here.
//!
//! *One is woken, not all*: whoever was woken and leaves the direction not DRY hands the wake on to
//! the next, and so does whoever leaves without trying. An end or an error concerns everybody, and
//! then all are woken. Where threads of several workers wait, each worker's event wakes its own
//! first.
//!
//! *A descriptor follows those who wait*, so that a worker that computes delays the input of its
//! own threads only: a thread that waits has the descriptor registered with its own worker, and
//! where nobody waits any more it is taken back. If threads of two workers wait at the same time
//! (one reads, one writes), it stays with both. Each event wakes whoever waits, wherever: that is
//! one wake too many at worst, and the woken one tries again. A worker that collects an event of a
//! descriptor that others have registered later, and none of its own threads waits for, forgets it.
//!
//! *It is registered nowhere when it is closed or given away*: a duplicate would keep the
//! registration alive, and the key would name somebody else's socket.
//!
//! What this file must never do: run user code, or hold its locks over a system call that waits.

#[cfg(all(loom, test))]
mod models;
mod queue;
#[cfg(all(not(loom), test))]
mod tests;

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::os::Ready;
use crate::poller::{Key, Poller};
use crate::primitives::{AtomicPtr, AtomicU32, Ordering};
use crate::sched::start;
use crate::sched::woken::Woken;
use crate::short_lock::ShortLock;

pub(crate) use queue::Waiter;
use queue::{Place, Queue};

/// One of the two directions in which a descriptor can be ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interest {
    Read = 0,
    Write = 1,
}

/// An attempt would block, as far as anybody knows.
const DRY: u32 = 1;
/// An end, an error, or urgent data was told of: a short read need not have emptied the descriptor.
const ENDS: u32 = 2;
/// One event.
const TICK: u32 = 4;

/// The word of a direction, as it was before an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen(u32);

impl Seen {
    /// Whether an attempt would block: then it can be left out.
    pub(crate) fn is_dry(self) -> bool {
        self.0 & DRY != 0
    }
}

/// See the file's comment. It is pinned: pollers know its address until it leaves them.
pub(crate) struct Readiness {
    fd: RawFd,
    words: [AtomicU32; 2],
    queues: ShortLock<[Queue; 2]>,
    /// The poller in which it was registered last: a hint for those who register it.
    latest: AtomicPtr<Poller>,
    homes: ShortLock<Homes>,
}

/// Where a descriptor is registered. Nearly always with one worker at most.
struct Homes {
    first: Option<Home>,
    more: Vec<Home>,
}

struct Home {
    poller: Arc<Poller>,
    key: Key,
}

/// What became of the wish to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entered {
    /// It stands in the queue.
    Queued,
    /// Something has changed: an attempt may succeed.
    TryAgain,
    /// The descriptor was taken elsewhere meanwhile; it has to be registered again.
    Moved,
}

/// What comes of an event.
#[must_use]
pub(crate) struct Delivered {
    /// Who reads and who writes next.
    pub(crate) woken: [Option<Woken>; 2],
    pub(crate) then: Then,
}

/// What the poller has to do besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    Nothing,
    /// The event concerns everybody: [`Readiness::call_some`] has to be called until nobody waits.
    CallAll,
    /// This poller need not watch the descriptor any more: who waits is at home elsewhere.
    Unwatch,
}

impl Readiness {
    /// The readiness of `fd`, about which nothing is known.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Readiness {
        Readiness {
            fd: fd.as_raw_fd(),
            words: [AtomicU32::new(0), AtomicU32::new(0)],
            queues: ShortLock::new([Queue::new(), Queue::new()]),
            latest: AtomicPtr::new(ptr::null_mut()),
            homes: ShortLock::new(Homes { first: None, more: Vec::new() }),
        }
    }

    /// The number of the descriptor.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    /// The word before an attempt.
    #[inline]
    pub(crate) fn look(&self, interest: Interest) -> Seen {
        // ORDERING: Acquire; pairs with `deliver`. The attempt that follows must not come before
        // it.
        Seen(self.words[interest as usize].load(Ordering::Acquire))
    }

    /// Notes that an attempt after `seen` would have blocked.
    #[inline]
    pub(crate) fn note_dry(&self, interest: Interest, seen: Seen) {
        let word = &self.words[interest as usize];
        // ORDERING: Relaxed; a failure means that there is news, and news is told by the kernel.
        let _ = word.compare_exchange(seen.0, seen.0 | DRY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Notes that a read after `seen` has emptied a stream: it gave less than there was room for.
    /// Only where an event will tell of more, and not where an end may stand behind what was read.
    #[inline]
    pub(crate) fn note_emptied(&self, seen: Seen) {
        // ORDERING: Relaxed; where it is registered once, it is, or will be by whoever waits next.
        let is_registered = !self.latest.load(Ordering::Relaxed).is_null();
        if crate::poller::TELLS_ENDS && is_registered && seen.0 & ENDS == 0 {
            self.note_dry(Interest::Read, seen);
        }
    }

    /// Puts `waiter` into the queue of its direction, unless there is news.
    pub(crate) fn enter(&self, waiter: &Waiter) -> Entered {
        let mut queues = self.queues.lock();
        if !self.look(waiter.interest).is_dry() {
            return Entered::TryAgain;
        }
        // ORDERING: Relaxed; who takes the descriptor elsewhere changes it, then locks the queues.
        if self.latest.load(Ordering::Relaxed).cast_const() != waiter.poller {
            return Entered::Moved;
        }
        queues[waiter.interest as usize].push(waiter);
        waiter.put(Place::Queued);
        Entered::Queued
    }

    /// Puts the waiter of a kernel thread into the queue, unless there was news since `seen`. That
    /// thread asks the kernel itself; here it learns what the kernel does not tell.
    pub(crate) fn enter_kernel(&self, waiter: &Waiter, seen: Seen) -> Entered {
        let mut queues = self.queues.lock();
        if self.look(waiter.interest).0 & !DRY != seen.0 & !DRY {
            return Entered::TryAgain;
        }
        queues[waiter.interest as usize].push(waiter);
        waiter.put(Place::Queued);
        Entered::Queued
    }

    /// Takes `waiter` out, if it stands in the queue still. True: it was chosen, and owes it to the
    /// others to try, or to hand the wake on. `was_woken`: its wait was ended by a wake that nobody
    /// gives but who has taken it out of the queue.
    #[inline]
    pub(crate) fn leave(&self, waiter: &Waiter, was_woken: bool) -> bool {
        // A wake is given to who has been taken out, and whoever gives it does not touch the waiter
        // after: then there is nothing to do.
        match waiter.place() {
            Place::Chosen if was_woken => true,
            Place::Called if was_woken => false,
            _ => self.leave_locked(waiter),
        }
    }

    #[cold]
    fn leave_locked(&self, waiter: &Waiter) -> bool {
        let mut queues = self.queues.lock();
        let place = waiter.place();
        if place == Place::Queued {
            // SAFETY: S1: it stands in this queue.
            unsafe { queues[waiter.interest as usize].remove(waiter) };
        }
        waiter.put(Place::Outside);
        place == Place::Chosen
    }

    /// Hands a wake on: whoever got it has left the direction as it was, or not dry.
    #[inline]
    pub(crate) fn hand_on(&self, interest: Interest) {
        // If it is dry, the next event will find the others.
        if !self.look(interest).is_dry() {
            self.wake_next(interest);
        }
    }

    fn wake_next(&self, interest: Interest) {
        let woken = self.queues.lock()[interest as usize].wake_first(Place::Chosen, ptr::null());
        if let Some(woken) = woken {
            woken.schedule();
        }
    }

    /// Takes in an event of `poller`, whose table is locked. What is woken is to be scheduled.
    #[inline]
    pub(crate) fn deliver(&self, ready: Ready, poller: *const Poller) -> Delivered {
        let mut queues = self.queues.lock();
        let mut woken = [None, None];
        for (interest, told) in [(Interest::Read, ready.read), (Interest::Write, ready.write)] {
            if !told {
                continue;
            }
            let word = &self.words[interest as usize];
            // ORDERING: Relaxed; nobody but us changes the tick, for the lock is held, and a DRY
            // that is noted between the two is over.
            let old = word.load(Ordering::Relaxed);
            let next = (old.wrapping_add(TICK) & !DRY) | if ready.read_ends { ENDS } else { 0 };
            // ORDERING: Release; who sees the tick must see what the event is about. The kernel
            // looks at some sockets without a lock, which would order the two. Pairs with `look`.
            #[cfg(not(loom))]
            word.store(next, Ordering::Release);
            // No store, for loom lets an exchange miss one.
            #[cfg(loom)]
            word.swap(next, Ordering::Release);
            if !ready.read_ends {
                woken[interest as usize] =
                    queues[interest as usize].wake_first(Place::Chosen, poller);
            }
        }
        // ORDERING: Relaxed; whoever registers it here writes that before it locks the table.
        let is_latest = self.latest.load(Ordering::Relaxed).cast_const() == poller;
        let then = if ready.read_ends {
            Then::CallAll
        } else if is_latest || queues.iter().any(|queue| queue.has_waiter_of(poller)) {
            Then::Nothing
        } else {
            Then::Unwatch
        };
        Delivered { woken, then }
    }

    /// Wakes more of those whom an end concerns. False: there are no more.
    #[cold]
    pub(crate) fn call_some(&self, ready: Ready, batch: &mut [Option<Woken>]) -> bool {
        let mut queues = self.queues.lock();
        let mut filled = 0;
        for (interest, told) in [(Interest::Read, ready.read), (Interest::Write, ready.write)] {
            let queue = &mut queues[interest as usize];
            while told && !queue.is_empty() {
                let Some(place) = batch.get_mut(filled) else { return true };
                // What stands behind an empty place is not scheduled.
                *place = queue.wake_first(Place::Called, ptr::null());
                filled += usize::from(place.is_some());
            }
        }
        false
    }

    /// Takes in an end that the kernel tells no poller of: wakes all whom it concerns.
    #[cold]
    pub(crate) fn call_all(&self, ready: Ready) {
        // ORDERING: Relaxed; it is compared only, with itself.
        let _ = self.deliver(ready, self.latest.load(Ordering::Relaxed).cast_const());
        let mut more = true;
        while more {
            let mut batch = Woken::batch();
            more = self.call_some(ready, &mut batch);
            Woken::schedule_all(&mut batch);
        }
    }

    /// Sees to it that the descriptor is registered with `poller`, the current worker's, and no
    /// longer with workers none of whose threads waits.
    ///
    /// # Safety
    /// S1: this stays where it is until it is dropped, and the descriptor open as long.
    #[inline]
    pub(crate) unsafe fn follow(&self, poller: &Arc<Poller>) -> std::io::Result<()> {
        // ORDERING: Relaxed; `enter` looks again, under the lock.
        if ptr::eq(self.latest.load(Ordering::Relaxed), Arc::as_ptr(poller)) {
            return Ok(());
        }
        // SAFETY: S1: the caller's.
        unsafe { self.follow_in_full(poller) }
    }

    /// # Safety
    /// S1: as for `follow`.
    #[cold]
    unsafe fn follow_in_full(&self, poller: &Arc<Poller>) -> std::io::Result<()> {
        // SAFETY: open as long as this lives (S1).
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        let mut homes = self.homes.lock();
        // Before the looks at the table, which this poller may just be leaving, and at those who
        // wait elsewhere.
        //
        // ORDERING: Relaxed; each of these looks takes a lock.
        self.latest.store(Arc::as_ptr(poller).cast_mut(), Ordering::Relaxed);
        let is_here = |home: &Home| Arc::ptr_eq(&home.poller, poller) && poller.knows(home.key);
        if !homes.iter().any(is_here) {
            let added = poller.add(fd, NonNull::from(self).cast());
            let key = added.inspect_err(|_| {
                // ORDERING: Relaxed; as above.
                self.latest.store(ptr::null_mut(), Ordering::Relaxed);
            })?;
            homes.retain(|home| !Arc::ptr_eq(&home.poller, poller));
            homes.push(Home { poller: poller.clone(), key });
        }
        homes.retain(|home| {
            let there = Arc::as_ptr(&home.poller);
            let stays = there == Arc::as_ptr(poller) || self.is_awaited_by(there);
            if !stays {
                home.poller.remove(fd, home.key);
            }
            stays
        });
        Ok(())
    }

    /// Whether a thread waits.
    #[cfg(test)]
    pub(crate) fn is_awaited(&self, interest: Interest) -> bool {
        !self.queues.lock()[interest as usize].is_empty()
    }

    /// Whether a thread waits that is to be told by `poller`.
    fn is_awaited_by(&self, poller: *const Poller) -> bool {
        self.queues.lock().iter().any(|queue| queue.has_waiter_of(poller))
    }
}

/// Takes the descriptor out of all pollers: it is about to be closed or given away. Nobody can wait
/// any more, for whoever does borrows the socket, and who was leaked has left the queue.
impl Drop for Readiness {
    fn drop(&mut self) {
        debug_assert!(self.queues.lock().iter().all(Queue::is_empty), "dropped during a wait");
        let homes = self.homes.lock();
        if start::is_forked_child() {
            // The pollers are the parent's still.
            return;
        }
        for home in homes.iter() {
            // SAFETY: it was registered, so S1 of `follow` holds.
            let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
            home.poller.remove(fd, home.key);
        }
    }
}

impl Homes {
    fn iter(&self) -> impl Iterator<Item = &Home> {
        self.first.iter().chain(&self.more)
    }

    fn push(&mut self, home: Home) {
        match self.first {
            None => self.first = Some(home),
            Some(_) => self.more.push(home),
        }
    }

    fn retain(&mut self, mut stays: impl FnMut(&Home) -> bool) {
        self.more.retain(&mut stays);
        if self.first.as_ref().is_some_and(|first| !stays(first)) {
            self.first = self.more.pop();
        }
    }
}

/// Takes the waiter of a thread that is leaked out of its queue, and hands its wake on. For
/// [`Unlink`](crate::task::Unlink).
///
/// # Safety
/// S1: `waiter` is a [`Waiter`] that lives, and its readiness does.
pub(crate) unsafe fn leave_leaked(waiter: *const ()) {
    // SAFETY: alive (S1).
    let waiter = unsafe { &*waiter.cast::<Waiter>() };
    // SAFETY: whoever waits borrows the socket (S1).
    let readiness = unsafe { &*waiter.readiness };
    if readiness.leave(waiter, false) {
        readiness.hand_on(waiter.interest);
    }
}
