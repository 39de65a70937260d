//! The buckets, and the lists of waiters in them.
//!
//! The table is of a fixed size and never grows, so that nothing need move. It has so many buckets
//! that a million threads which all wait at addresses of their own are sixteen to a bucket; as long
//! as nobody uses them its pages are not there. Within a bucket each address has a queue of its
//! own: ten thousand who wait for one lock are one step to those who look for another. The queue
//! that was there first, nearly always the only one, has its ends in the bucket itself, for each
//! waiter that one has to look at is in another processor's cache.
//!
//! ```text
//! bucket ──▶ object A, first, last       others ──▶ first of B ◀──▶ first of C
//!                        │      │                      │ ▲             │
//!                        ▼      ▼                      ▼ │             ▼
//!                     A's 1st ◀▶ A's 2nd            last of B       (nobody else)
//!
//! next, previous: in a queue      next_queue, previous_queue: in `others`, of firsts
//! last: of a first in `others`
//! ```
//!
//! BUCKET-LOCK: a node's fields, but for what never changes, are touched only while the bucket's
//! lock is held; save the grant, which the waiter itself reads after its wait was ended by a wake.

use std::ptr;

use crate::primitives::{Cell, const_fn};
use crate::sched::woken::Woken;
use crate::short_lock::{ShortGuard, ShortLock};
use crate::sync::address::{Leave, Request};
use crate::task::{Header, Sequence};

/// One who waits: lies on the stack of the thread that does. What others write lies in lines of its
/// own, so that they do not take the thread's other variables from its processor.
#[repr(align(64))]
pub(super) struct Waiter {
    object: *const (),
    thread: *const Header,
    sequence: Sequence,
    want: Cell<usize>,
    on_leave: Leave,
    /// What the waiter was granted, as the waker leaves it.
    grant: Cell<Option<u32>>,
    /// Whether it stands in its queue.
    queued: Cell<bool>,
    /// When it came, counted in its bucket.
    ticket: Cell<u64>,
    next: Link,
    previous: Link,
    /// Of a first in `others`: the last one of its queue, and the other firsts.
    last: Link,
    next_queue: Link,
    previous_queue: Link,
}

type Link = Cell<*const Waiter>;

fn no_link() -> Link {
    Cell::new(ptr::null())
}

impl Waiter {
    pub(super) fn new(request: &Request, thread: &Header, sequence: Sequence) -> Waiter {
        Waiter {
            object: request.object,
            thread,
            sequence,
            want: Cell::new(0),
            on_leave: request.leave,
            grant: Cell::new(None),
            queued: Cell::new(false),
            ticket: Cell::new(0),
            next: no_link(),
            previous: no_link(),
            last: no_link(),
            next_queue: no_link(),
            previous_queue: no_link(),
        }
    }

    pub(super) fn object(&self) -> *const () {
        self.object
    }

    pub(super) fn want(&self) -> usize {
        self.want.get()
    }

    pub(super) fn on_leave(&self) -> Leave {
        self.on_leave
    }

    /// What the waker that has ended the wait has granted.
    pub(super) fn granted(&self) -> Option<u32> {
        self.grant.get()
    }
}

/// What a bucket's lock guards.
struct Bucket {
    /// Those who wait for `object`, if anybody does.
    object: *const (),
    first: *const Waiter,
    last: *const Waiter,
    /// The first of the first further queue.
    others: *const Waiter,
    tickets: u64,
}

// SAFETY: BUCKET-LOCK: the nodes are reached by whoever holds the bucket's lock.
unsafe impl Send for Bucket {}

impl Bucket {
    const fn new() -> Bucket {
        Bucket {
            object: ptr::null(),
            first: ptr::null(),
            last: ptr::null(),
            others: ptr::null(),
            tickets: 0,
        }
    }
}

/// A bucket with its lock, in one line of the cache.
#[repr(align(64))]
struct Entry(ShortLock<Bucket>);

impl Entry {
    const_fn! {
        const fn new() -> Entry {
            Entry(ShortLock::new(Bucket::new()))
        }
    }
}

#[cfg(not(loom))]
const TABLE_BITS: u32 = 16;

#[cfg(not(loom))]
static TABLE: [Entry; 1 << TABLE_BITS] = [const { Entry::new() }; 1 << TABLE_BITS];

#[cfg(not(loom))]
fn entry_of(object: *const ()) -> &'static Entry {
    // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): neighbours fall far apart.
    let hash = (object.addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - TABLE_BITS);
    &TABLE[hash as usize]
}

// In models all addresses meet in one bucket.
#[cfg(loom)]
loom::lazy_static! {
    static ref TABLE: Entry = Entry::new();
}

#[cfg(loom)]
fn entry_of(_object: *const ()) -> &'static Entry {
    &TABLE
}

/// The queue of one address, locked.
pub(in crate::sync) struct Queue {
    bucket: ShortGuard<'static, Bucket>,
    object: *const (),
}

impl Queue {
    /// Locks the queue of those who wait for `object`.
    pub(in crate::sync) fn at(object: *const ()) -> Queue {
        Queue { bucket: entry_of(object).0.lock(), object }
    }

    pub(super) fn object(&self) -> *const () {
        self.object
    }

    /// What the first waiter wants.
    pub(in crate::sync) fn front_want(&self) -> Option<usize> {
        Some(self.first()?.want())
    }

    /// Whether nobody waits.
    pub(in crate::sync) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// Whether more than one waits.
    pub(in crate::sync) fn has_several(&self) -> bool {
        self.first().is_some_and(|first| !first.next.get().is_null())
    }

    /// Whether all who wait want `want`.
    pub(in crate::sync) fn all_want(&self, want: usize) -> bool {
        let mut place = self.first();
        while let Some(waiter) = place {
            if waiter.want() != want {
                return false;
            }
            // SAFETY: BUCKET-LOCK: linked, so alive.
            place = unsafe { waiter.next.get().as_ref() };
        }
        true
    }

    /// The ticket of the next waiter to come.
    pub(super) fn next_ticket(&self) -> u64 {
        self.bucket.tickets
    }

    /// Whether there is a first waiter, and it came before the one with `ticket`.
    pub(super) fn front_came_before(&self, ticket: u64) -> bool {
        self.first().is_some_and(|first| first.ticket.get() < ticket)
    }

    /// Takes the first waiter out whose wait can still be ended, grants it `grant`, and ends its
    /// wait, unless that waiter does not want what `is_meant` says. The caller schedules it when it
    /// holds no lock any more. `None`: there was none, and the queue is empty, or begins with one
    /// who is not meant.
    pub(in crate::sync) fn grant_first(
        &mut self,
        grant: u32,
        is_meant: impl Fn(usize) -> bool,
    ) -> Option<Woken> {
        loop {
            let first = self.first()?;
            if !is_meant(first.want()) {
                return None;
            }
            let (thread, sequence) = (first.thread, first.sequence);
            self.remove(first);
            let first: *const Waiter = first;
            // SAFETY: its wait is open, or it has to come through this lock first: it is alive.
            unsafe { &*first }.grant.set(Some(grant));
            // SAFETY: as above; and a thread in a wait is alive.
            let thread = unsafe { &*thread };
            if let Some(woken) = Woken::wake(thread, sequence) {
                return Some(woken);
            }
            // SAFETY: the wait ended otherwise, so its node has to leave by this lock.
            unsafe { &*first }.grant.set(None);
        }
    }

    /// Enters `waiter`, which wants `want`.
    ///
    /// # Safety
    /// S1: `waiter` stays where it is until it was granted something or has left.
    /// S2: it stands in no queue.
    pub(super) unsafe fn enter(&mut self, waiter: &Waiter, want: usize, in_front: bool) {
        waiter.want.set(want);
        waiter.ticket.set(self.bucket.tickets);
        self.bucket.tickets += 1;
        waiter.queued.set(true);
        match self.first() {
            None => self.begin_with(waiter),
            Some(first) if in_front => {
                waiter.next.set(first);
                first.previous.set(waiter);
                self.replace_first(first, waiter);
            }
            Some(first) => {
                // SAFETY: BUCKET-LOCK: linked, so alive.
                let last = unsafe { &*self.last(first) };
                last.next.set(waiter);
                waiter.previous.set(last);
                self.set_last(first, waiter);
            }
        }
    }

    /// Takes `waiter` out, if it stands here.
    pub(super) fn leave(&mut self, waiter: &Waiter) {
        if waiter.queued.get() {
            self.remove(waiter);
        }
    }

    /// Whether the queue has its ends in the bucket.
    fn is_in_bucket(&self) -> bool {
        self.bucket.object == self.object
    }

    fn first<'a>(&self) -> Option<&'a Waiter> {
        if self.is_in_bucket() {
            // SAFETY: BUCKET-LOCK: linked, so alive; callers do not keep it beyond its wait.
            return unsafe { self.bucket.first.as_ref() };
        }
        let mut place = self.bucket.others;
        loop {
            // SAFETY: as above.
            let first = unsafe { place.as_ref() }?;
            if first.object == self.object {
                return Some(first);
            }
            place = first.next_queue.get();
        }
    }

    fn last(&self, first: &Waiter) -> *const Waiter {
        if self.is_in_bucket() { self.bucket.last } else { first.last.get() }
    }

    fn set_last(&mut self, first: &Waiter, last: *const Waiter) {
        if self.is_in_bucket() {
            self.bucket.last = last;
        } else {
            first.last.set(last);
        }
    }

    /// Makes a queue of `waiter` alone.
    fn begin_with(&mut self, waiter: &Waiter) {
        if self.bucket.first.is_null() {
            self.bucket.object = self.object;
            self.bucket.first = waiter;
            self.bucket.last = waiter;
            return;
        }
        let head = self.bucket.others;
        waiter.last.set(waiter);
        waiter.next_queue.set(head);
        waiter.previous_queue.set(ptr::null());
        // SAFETY: BUCKET-LOCK: linked, so alive.
        if let Some(head) = unsafe { head.as_ref() } {
            head.previous_queue.set(waiter);
        }
        self.bucket.others = waiter;
    }

    /// Puts `new` in the place of `old`, as the first.
    fn replace_first(&mut self, old: &Waiter, new: &Waiter) {
        if self.is_in_bucket() {
            self.bucket.first = new;
            return;
        }
        new.last.set(old.last.get());
        new.next_queue.set(old.next_queue.get());
        new.previous_queue.set(old.previous_queue.get());
        self.link_neighbours(new, new);
    }

    /// Ends the queue of `only`.
    fn end(&mut self, only: &Waiter) {
        if self.is_in_bucket() {
            self.bucket.object = ptr::null();
            self.bucket.first = ptr::null();
            self.bucket.last = ptr::null();
        } else {
            self.link_neighbours(only, ptr::null());
        }
    }

    /// Has the neighbours of `first` in `others` point to `instead`.
    fn link_neighbours(&mut self, first: &Waiter, instead: *const Waiter) {
        let (next, previous) = (first.next_queue.get(), first.previous_queue.get());
        // SAFETY: BUCKET-LOCK: linked, so alive.
        if let Some(neighbour) = unsafe { next.as_ref() } {
            let link = if instead.is_null() { previous } else { instead };
            neighbour.previous_queue.set(link);
        }
        let link = if instead.is_null() { next } else { instead };
        // SAFETY: as above.
        match unsafe { previous.as_ref() } {
            Some(neighbour) => neighbour.next_queue.set(link),
            None => self.bucket.others = link,
        }
    }

    /// Takes `waiter`, which stands here, out.
    fn remove(&mut self, waiter: &Waiter) {
        waiter.queued.set(false);
        // SAFETY: BUCKET-LOCK: linked, so alive.
        let next = unsafe { waiter.next.get().as_ref() };
        // SAFETY: as above.
        match (unsafe { waiter.previous.get().as_ref() }, next) {
            (None, None) => self.end(waiter),
            (None, Some(next)) => {
                next.previous.set(ptr::null());
                self.replace_first(waiter, next);
            }
            (Some(previous), next) => {
                previous.next.set(waiter.next.get());
                match next {
                    Some(next) => next.previous.set(previous),
                    None => {
                        if let Some(first) = self.first() {
                            self.set_last(first, previous);
                        }
                    }
                }
            }
        }
    }
}
