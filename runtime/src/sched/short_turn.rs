//! Short turns: whoever leaves a stack goes straight to the next one.
//!
//! The loop in `turn` stands on the worker's own stack, and most turns that go through it only take
//! the oldest ready thread. Where that is all that the next turn would do, the thread that leaves
//! does it itself and switches to the other's stack: one switch instead of two, and half of the
//! instructions. Nothing that the loop owes is put off by this. What is due at a certain turn is
//! known beforehand, and `short_until` ends before it; what may come at any time either sets that
//! to zero or is looked for here. In the same way a thread that waits passes the rest of its slice
//! on, to a joiner or to a thread that starts on a fiber at rest.
//!
//! *Commit after switch* holds: a thread that leaves in order to wait is named in `leaving`, and
//! whoever goes on marks it waiting first of all, on its own stack.
//!
//! Only production's choices have short turns, and only where a fiber can be left for another one.

use std::ptr::{self, NonNull};

use crate::fiber::{Fiber, Resume, Suspended};
use crate::record::{self, Event};
use crate::sched::door;
use crate::sched::ready::Started;
use crate::sched::turn::HEIRS_PER_LOOK;
use crate::sched::worker::{Core, Next};
use crate::task::{Commit, Header, current};

/// Lets the next thread run by a short turn. False: nothing was done, for this takes more.
// SUSPENDS
#[inline(always)]
pub(crate) fn try_yield() -> bool {
    let Some(core) = Core::current() else { return false };
    let Some(me) = current::running() else { return false };
    if !core.turn_is_short() || door::has_more_to_do(me) {
        return false;
    }
    me.fiber.set(core.fiber.get());
    if core.ready.len() > 0 {
        let Some(next) = core.ready.take_turns(NonNull::from(me)) else { return false };
        core.begin_short_turn();
        core.slice_is_left.set(false);
        core.switch_to(next);
    } else {
        // The next turn is this thread's own.
        core.begin_short_turn();
    }
    record::event(Event::Yield);
    true
}

impl Core {
    /// Leaves the current thread's fiber; the thread stays runnable.
    // SUSPENDS
    pub(crate) fn suspend_yielding(&self, me: &Header) {
        record::event(Event::Yield);
        self.call_in_loans();
        me.fiber.set(self.fiber.get());
        self.leave(Suspended::Yielding);
    }

    /// Leaves the current thread's fiber in order to wait.
    // SUSPENDS
    #[inline(always)]
    pub(crate) fn suspend_waiting(&self, me: &Header) {
        debug_assert!(ptr::eq(current::green(), me));
        record::event(Event::Wait);
        if self.turn_is_short()
            && let Some(next) = self.ready.pop_started()
        {
            self.begin_short_turn();
            self.note_leaving(me);
            return self.switch_to(next);
        }
        self.suspend_waiting_in_full(me);
    }

    /// The same where the next turn is no short one, or nobody is ready.
    // SUSPENDS
    #[inline(never)]
    fn suspend_waiting_in_full(&self, me: &Header) {
        self.call_in_loans();
        if self.slice_goes_straight_on() {
            match self.pass_slice_on() {
                Some(Next::Started(thread)) => {
                    self.note_leaving(me);
                    return self.switch_to(Started::of(thread));
                }
                Some(Next::Fresh(thread)) => match self.resting_for(thread) {
                    Some(fiber) => {
                        self.note_leaving(me);
                        self.fresh.set(Some(thread));
                        return self.switch_to_resting(fiber);
                    }
                    None => self.handoff.set(Some(Next::Fresh(thread))),
                },
                None => (),
            }
        }
        self.leave(Suspended::Waiting);
    }

    /// Says who leaves in order to wait: whoever goes on marks it, and its slice is left.
    #[inline(always)]
    fn note_leaving(&self, me: &Header) {
        self.slice_is_left.set(true);
        self.leaving.set(me);
    }

    /// Whether the thread that waits now may pass its slice on itself: there may be somebody to
    /// pass it on to, and no look at the clock, at messages or at others is due.
    #[inline]
    fn slice_goes_straight_on(&self) -> bool {
        self.switches_directly.get()
            && (self.next_up.get().is_some() || !self.deque.is_empty())
            && !(self.heirs.get() + 1).is_multiple_of(HEIRS_PER_LOOK)
            && !self.order_is_strict()
            && !self.stopped.get()
            && !self.leaking()
    }

    /// A fiber that rests, for a thread that starts, if one of them will do.
    #[inline]
    fn resting_for(&self, thread: NonNull<Header>) -> Option<NonNull<Fiber>> {
        // SAFETY: an unstarted thread lives until it has run.
        let class = unsafe { thread.as_ref() }.class;
        if class == self.shared.class { self.take_resting() } else { None }
    }

    /// Allows short turns before turn number `until`, and before the timers are looked at.
    #[inline]
    pub(super) fn allow_short_turns(&self, until: u64) {
        let until = until.min(self.timers_at.get());
        let in_full = self.cancelling.get() || self.stopped.get() || self.next_up.get().is_some();
        self.short_until.set(if in_full { 0 } else { until });
    }

    /// Has the next turn taken by the loop. Gives until when they were allowed.
    #[inline]
    pub(super) fn forbid_short_turns(&self) -> u64 {
        self.short_until.replace(0)
    }

    /// Whether the next turn can only take the oldest ready thread.
    #[inline(always)]
    fn turn_is_short(&self) -> bool {
        self.turns.get() + 1 < self.short_until.get()
            && self.mailbox().is_empty()
            && self.deque.is_empty()
    }

    /// What a turn begins with.
    #[inline(always)]
    fn begin_short_turn(&self) {
        self.turns.set(self.turns.get() + 1);
        self.heirs.set(0);
        self.refill_budget();
    }

    // SUSPENDS
    #[inline(always)]
    fn switch_to(&self, next: Started) {
        let _ = self.go_to(next);
        self.arrive();
    }

    /// Leaves this fiber for one that rests, and finds in `fresh` what it shall run.
    // SUSPENDS
    #[inline(always)]
    pub(super) fn switch_to_resting(&self, fiber: NonNull<Fiber>) {
        let _ = self.go_to_fiber(ptr::null(), fiber);
        self.arrive();
    }

    /// Leaves this fiber for that of a started thread.
    // SUSPENDS
    #[inline(always)]
    pub(super) fn go_to(&self, next: Started) -> Resume {
        self.go_to_fiber(next.thread.as_ptr(), next.fiber)
    }

    /// Leaves this fiber for another one, on which `thread` runs then; null: none yet.
    // SUSPENDS
    #[inline(always)]
    fn go_to_fiber(&self, thread: *const Header, fiber: NonNull<Fiber>) -> Resume {
        // SAFETY: set before this fiber was entered, and it is the one on which we run.
        let mine = unsafe { &*self.fiber.get() };
        self.fiber.set(fiber.as_ptr());
        current::set_green(thread);
        // SAFETY: WAITING-OWNS-FIBER, or at rest: suspended, so alive.
        let other = unsafe { fiber.as_ref() };
        // SAFETY: S1: the caller runs on `mine`. S2: this is the home of both, and nobody is
        // inside of a fiber that is suspended.
        unsafe { mine.switch_to(other) }
    }

    /// Leaves the current fiber for the worker's loop.
    // SUSPENDS
    fn leave(&self, why: Suspended) {
        // SAFETY: set by the loop before it entered the fiber on which we run.
        let fiber = unsafe { &*self.fiber.get() };
        // SAFETY: S1: the caller is the green thread that runs on it.
        let _ = unsafe { fiber.suspend(why) };
        self.arrive();
    }

    /// Marks the thread waiting that has switched to this one. A thread comes back to the worker
    /// that it left, so `self` is still right.
    #[inline(always)]
    pub(super) fn arrive(&self) {
        let left = self.leaving.get();
        // SAFETY: it has just left its stack, and nobody has run it since.
        if let Some(left) = unsafe { left.as_ref() } {
            self.leaving.set(ptr::null());
            let _ = self.commit(left);
        }
    }

    /// Marks a thread waiting that has left its stack, or, if its wait is over, ready.
    #[inline]
    pub(super) fn commit(&self, thread: &Header) -> Commit {
        // SAFETY: in force while the thread waits, which has just left the frame in which it lies.
        let record = unsafe { &*thread.wait.get() };
        let commit = match record.unannounced {
            Some(accepts) => thread.state.commit_unannounced(accepts),
            None => thread.state.commit_wait(),
        };
        if commit == Commit::Ready {
            self.ready.push(NonNull::from(thread));
        }
        commit
    }
}
