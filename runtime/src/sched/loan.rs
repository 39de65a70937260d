//! A join that need not wait: the joiner lends its turn to the thread that it joins.
//!
//! A thread that joins one which nobody has started would wait for it, and most such threads run to
//! their end without a wait of their own. For these the wait is all ceremony: opened, announced to
//! the other, committed, ended by its last act. So the joiner only leaves its stack, with a note on
//! it, and the thread starts on a fiber at rest; when it ends, the fiber goes back to the joiner,
//! whose state has never changed.
//!
//! ```text
//!   joiner            its thread
//!   lends ───────────▶ starts ─── ends ──▶ joiner goes on          (repaid)
//!                           └──── leaves its stack: the joiner's wait is made good,
//!                                 as if it had waited from the beginning (called in)
//! ```
//!
//! A thread under a loan may join in the same way: the loans of a worker form a chain, the youngest
//! first. Whoever leaves a stack otherwise, in order to wait or to yield, calls in the whole chain
//! before. So while there is a loan, the thread that runs is the one for which the youngest was
//! given, or one that runs in place on its stack; and the loop, which may be asked to cancel or to
//! describe what waits here, never meets any.
//!
//! The joiner stays cancellable: what comes meanwhile is found by the commit when the loan is
//! called in, and else by its next switch point; in between, its worker is busy with the other
//! thread.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use crate::sched::cut;
use crate::sched::job::Job;
use crate::sched::life;
use crate::sched::turn::HEIRS_PER_LOOK;
use crate::sched::worker::Core;
use crate::task::{Accepts, Cause, Header, HeaderRef, Reason, WaitRecord};

/// A turn that was lent. It lies on the joiner's stack.
pub(super) struct Loan {
    joiner: NonNull<Header>,
    /// The thread that got the turn. It lives: the joiner holds its handle.
    thread: NonNull<Header>,
    /// What may end the wait, should it come to one.
    accepts: Accepts,
    /// The next older loan of the worker.
    older: *const Loan,
    reason: Reason,
    /// Whether it has become a wait, and that wait's record; before, nothing lies there.
    called_in: Cell<bool>,
    record: UnsafeCell<MaybeUninit<WaitRecord>>,
}

impl Core {
    /// Lends the turn of `me`, the current thread, to `thread`, which it joins: if that lies on top
    /// of the deque, and nothing else is due. Gives how the wait ended, which was none, most
    /// likely; `None`: nothing was done.
    // SUSPENDS
    #[inline]
    pub(super) fn lend(&self, me: &Header, thread: &Header, reason: Reason) -> Option<Cause> {
        if !self.may_lend(thread) {
            return None;
        }
        // Nearly always the one that was spawned last is the one that is joined.
        let job = self.deque.pop()?;
        let same = job == Job::thread(NonNull::from(thread));
        let Some(fiber) = same.then(|| self.take_resting()).flatten() else {
            // What we put back may have been looked for meanwhile: it counts as new work.
            self.offer(job);
            return None;
        };
        me.fiber.set(self.fiber.get());
        let loan = Loan {
            joiner: NonNull::from(me),
            thread: NonNull::from(thread),
            accepts: cut::accepts(me, false),
            older: self.loans.get(),
            reason,
            called_in: Cell::new(false),
            record: UnsafeCell::new(MaybeUninit::uninit()),
        };
        self.loans.set(&loan);
        // Whoever leaves its stack under a loan has to call it in.
        let short_until = self.forbid_short_turns();
        self.fresh.set(Some(NonNull::from(thread)));
        self.switch_to_resting(fiber);
        if !loan.called_in.get() {
            self.allow_short_turns(short_until);
            return Some(Cause::Woken);
        }
        me.wait.set(ptr::null());
        Some(me.state.cause())
    }

    /// Whether a loan to `thread` is worth a look at the deque.
    #[inline]
    fn may_lend(&self, thread: &Header) -> bool {
        if !self.switches_directly.get()
            || self.deque.is_empty()
            || thread.class != self.shared.class
            || self.next_up.get().is_some()
            || self.order_is_strict()
            || self.over_share.get()
            || self.stopped.get()
            || self.leaking()
            || std::thread::panicking()
        {
            return false;
        }
        // Two heirs: the thread, and the joiner after it.
        let heirs = self.heirs.get() + 2;
        if heirs % HEIRS_PER_LOOK < 2 && self.slice_is_used_up() {
            // The next heir finds that, too, and ends the slice.
            self.heirs.set(heirs.next_multiple_of(HEIRS_PER_LOOK) - 1);
            return false;
        }
        self.heirs.set(heirs);
        true
    }

    /// The joiner to which a fiber goes back whose thread has just ended, if that had its turn by a
    /// loan.
    #[inline]
    pub(super) fn repay(&self, ended: NonNull<Header>) -> Option<NonNull<Header>> {
        // SAFETY: the joiner is suspended in `lend`, so its loan lies on its stack.
        let loan = unsafe { self.loans.get().as_ref() }?;
        debug_assert_eq!(loan.thread, ended, "the youngest loan is of the thread that runs");
        self.loans.set(loan.older);
        Some(loan.joiner)
    }

    /// Makes good the waits of all joiners that have lent their turns here.
    #[inline]
    pub(super) fn call_in_loans(&self) {
        if !self.loans.get().is_null() {
            self.call_in_all();
        }
    }

    #[cold]
    #[inline(never)]
    fn call_in_all(&self) {
        let mut next = self.loans.replace(ptr::null());
        // SAFETY: as in `repay`; a joiner that is made ready here runs only after this thread has
        // left its stack.
        while let Some(loan) = unsafe { next.as_ref() } {
            next = loan.older;
            self.call_in(loan);
        }
    }

    fn call_in(&self, loan: &Loan) {
        // SAFETY: suspended in `lend`, so alive.
        let joiner = unsafe { loan.joiner.as_ref() };
        // SAFETY: its handle is the joiner's.
        let thread = unsafe { loan.thread.as_ref() };
        let sequence = joiner.state.begin_wait(loan.accepts);
        // SAFETY: called in once, and nobody looks there before.
        let place = unsafe { &mut *loan.record.get() };
        joiner.wait.set(place.write(WaitRecord {
            reason: loan.reason,
            since_ns: self.coarse_now_ns(),
            timer: Cell::new(None),
            sequence,
            unannounced: None,
            unlink: None,
        }));
        loan.called_in.set(true);
        self.register_suspended(joiner);
        let registered = life::register_joiner(thread, HeaderRef::new(joiner), sequence);
        debug_assert!(registered, "a thread under a loan has not ended");
        // It has left its stack already.
        let _ = self.commit(joiner);
    }
}
