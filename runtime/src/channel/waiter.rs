//! Those who wait at a channel, and the lists in which they stand.
//!
//! A waiter lies on the stack of the thread that waits, or in the future that does, so nothing is
//! allocated. It stands in the lists of a channel, which it enters and leaves under the channel's
//! lock, and so does whoever ends its wait: *under the lock* the message is written into its place
//! or read from it, the outcome left, and the wait ended by its number in the thread's state word.
//! That change decides. Where it succeeds the waiter may be gone from then on. Where it fails the
//! wait has ended otherwise, by a deadline, a cancellation or another arm of the same select; the
//! thread has still to come through this lock, so the waiter is alive, the message stays where it
//! was, and the next waiter has its turn. So a message is with exactly one side at any time.
//!
//! CHANNEL-LOCK: a waiter's fields are touched by others only under the lock of the channel in
//! whose lists, or promises, it stands. Its own thread reads outcome and place without the lock
//! only after its wait was ended by a wake.

use std::marker::PhantomPinned;
use std::ptr;
use std::task::Waker;

use crate::channel::select::Token;
use crate::os;
use crate::primitives::Cell;
use crate::sched::woken::Woken;
use crate::task::{Header, HeaderRef, Kind as ThreadKind, Sequence};

/// What a waiter waits for.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// To send or receive one message, whose place this is. The channel knows its type.
    Holding(*mut ()),
    /// To be chosen; the message comes later.
    Selecting,
    /// To hear that it need not wait any more.
    Watching,
}

/// How a wait has ended.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// The message has changed sides.
    Done,
    /// The other side has gone.
    Disconnected,
    /// The operation to send was chosen, and room is kept for it.
    Reserved,
    /// The operation was chosen, and has to be completed by the promise of this number.
    Promised(usize),
    /// The promise was not kept: it has to try again.
    Again,
    /// There is something to be had, perhaps.
    Ready,
}

impl Outcome {
    /// What a select has chosen by that, if it has.
    pub(super) fn token(self) -> Option<Token> {
        match self {
            Outcome::Disconnected => Some(Token::Disconnected),
            Outcome::Reserved => Some(Token::Reserved),
            Outcome::Promised(number) => Some(Token::Promise(number)),
            Outcome::Done | Outcome::Again | Outcome::Ready => None,
        }
    }
}

/// Where a waiter stands.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    /// Nowhere: not entered yet, or taken out while its wait ended otherwise.
    Outside,
    /// In a list.
    Queued,
    /// In the promise of this number.
    Promised(usize),
    /// Taken out by the one who has ended its wait.
    Ended(Outcome),
}

/// What whoever ends the wait looks at fills one line of the cache, for it is in another
/// processor's, or in none.
#[repr(C, align(64))]
pub(super) struct Waiter {
    next: Link,
    previous: Link,
    /// The thread and the number of its wait; null for a task, which has a waker instead.
    thread: Cell<*const Header>,
    sequence: Cell<Sequence>,
    kind: Cell<Kind>,
    phase: Cell<Phase>,
    waker: Cell<Option<Waker>>,
    /// Keeps a kernel thread's header until the waiter has left: that of a thread whose
    /// thread-locals are gone lives no longer than its call.
    kept: Cell<Option<HeaderRef>>,
    /// When it entered its list, counted there.
    ticket: Cell<u64>,
    /// Others point to it, so an exclusive reference to what contains it must not mean to the
    /// compiler that they do not.
    _pinned: PhantomPinned,
}

type Link = Cell<*const Waiter>;

impl Waiter {
    #[inline]
    pub(super) fn new(kind: Kind) -> Waiter {
        Waiter {
            thread: Cell::new(ptr::null()),
            sequence: Cell::new(Sequence::from_bits(0)),
            waker: Cell::new(None),
            kept: Cell::new(None),
            kind: Cell::new(kind),
            phase: Cell::new(Phase::Outside),
            ticket: Cell::new(0),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            _pinned: PhantomPinned,
        }
    }

    /// Says which wait it stands for. Its own thread calls it, while it stands nowhere, or under
    /// the lock.
    #[inline]
    pub(super) fn set_thread(&self, thread: &Header, sequence: Sequence) {
        if thread.kind == ThreadKind::Kernel {
            self.kept.set(Some(HeaderRef::new(thread)));
        }
        self.thread.set(thread);
        self.sequence.set(sequence);
    }

    /// Says which task it stands for, and gives the waker that it had, to be dropped when the lock
    /// is not held any more.
    pub(super) fn set_waker(&self, waker: Waker) -> Option<Waker> {
        self.waker.replace(Some(waker))
    }

    #[inline]
    pub(super) fn set_kind(&self, kind: Kind) {
        self.kind.set(kind);
    }

    #[inline]
    pub(super) fn kind(&self) -> Kind {
        self.kind.get()
    }

    #[inline]
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// How the wait has ended, if it has; it stands outside then.
    #[inline]
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let Phase::Ended(outcome) = self.phase.get() else { return None };
        self.phase.set(Phase::Outside);
        Some(outcome)
    }

    #[inline]
    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Whether `thread` is the one that waits.
    pub(super) fn is_of(&self, thread: *const Header) -> bool {
        !thread.is_null() && ptr::eq(self.thread.get(), thread)
    }

    /// Ends the wait with `outcome`; the caller has taken it out, and schedules it when it holds no
    /// lock any more. `None`: it has ended otherwise, and the waiter stands outside. Else it may be
    /// gone by now.
    #[inline]
    pub(super) fn end(&self, outcome: Outcome) -> Option<Woken> {
        self.phase.set(Phase::Ended(outcome));
        // SAFETY: CHANNEL-LOCK: the waiter is alive, and its thread is in the call that waits.
        let Some(thread) = (unsafe { self.thread.get().as_ref() }) else {
            return self.waker.take().map(Woken::task);
        };
        let woken = Woken::wake(thread, self.sequence.get());
        if woken.is_none() {
            self.phase.set(Phase::Outside);
        }
        woken
    }
}

/// Waiters in the order of their arrival.
pub(super) struct List {
    first: *const Waiter,
    last: *const Waiter,
    /// The ticket of the next one to enter.
    tickets: u64,
}

impl List {
    pub(super) const fn new() -> List {
        List { first: ptr::null(), last: ptr::null(), tickets: 0 }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Those who stand here, for whoever holds the lock.
    #[inline]
    pub(super) fn iter<'a>(&self) -> impl Iterator<Item = &'a Waiter> + use<'a> {
        let mut place = self.first;
        std::iter::from_fn(move || {
            // SAFETY: CHANNEL-LOCK: linked, so alive; callers do not keep it beyond its wait.
            let waiter = unsafe { place.as_ref() }?;
            place = waiter.next.get();
            Some(waiter)
        })
    }

    /// Takes the first one out. With many, each is at a place that was not looked at for long, so
    /// those who come next are fetched meanwhile.
    #[inline]
    pub(super) fn pop<'a>(&mut self) -> Option<&'a Waiter> {
        let first = self.iter().next()?;
        self.remove(first);
        // SAFETY: CHANNEL-LOCK: linked, so alive.
        if let Some(second) = unsafe { self.first.as_ref() } {
            os::prefetch(second.thread.get().cast());
            let third = second.next.get().cast::<u8>();
            os::prefetch(third);
            os::prefetch(third.wrapping_add(64));
        }
        Some(first)
    }

    /// The ticket of the next one to enter, who comes after all who are here.
    pub(super) fn next_ticket(&self) -> u64 {
        self.tickets
    }

    /// Wakes some of those who came before the one with the ticket `until`, in a list in front of
    /// which nobody enters. False: nobody is left.
    pub(super) fn wake_before(&mut self, until: u64, batch: &mut [Option<Woken>]) -> bool {
        for place in batch {
            while place.is_none() {
                let Some(first) = self.iter().next() else { return false };
                if first.ticket.get() >= until {
                    return false;
                }
                self.remove(first);
                *place = first.end(Outcome::Ready);
            }
        }
        true
    }

    /// Enters `waiter` at the end, or in front of all.
    ///
    /// # Safety
    /// S1: `waiter` stays where it is until it was taken out, by whomever.
    /// S2: it stands in no list.
    pub(super) unsafe fn enter(&mut self, waiter: &Waiter, in_front: bool) {
        let (previous, next) = match in_front {
            true => (ptr::null(), self.first),
            false => (self.last, ptr::null()),
        };
        waiter.phase.set(Phase::Queued);
        waiter.ticket.set(self.tickets);
        self.tickets += 1;
        waiter.previous.set(previous);
        waiter.next.set(next);
        self.link(previous, next, waiter, waiter);
    }

    /// Takes `waiter`, which stands here, out.
    pub(super) fn remove(&mut self, waiter: &Waiter) {
        let (previous, next) = (waiter.previous.get(), waiter.next.get());
        waiter.phase.set(Phase::Outside);
        self.link(previous, next, next, previous);
    }

    /// Has `previous` be followed by `after`, and `next` be preceded by `before`.
    #[inline]
    fn link(
        &mut self,
        previous: *const Waiter,
        next: *const Waiter,
        after: *const Waiter,
        before: *const Waiter,
    ) {
        // SAFETY: CHANNEL-LOCK: linked, so alive.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(after),
            None => self.first = after,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(before),
            None => self.last = before,
        }
    }
}
