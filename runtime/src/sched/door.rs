//! The door: the one place where a thread waits, for whatever reason, green or kernel.
//!
//! Every wait in the crate is `begin`, then the caller tells whoever shall wake it, then `wait`.
//! Here, and nowhere else, the reason is recorded, the deadline armed, cancellation delivered,
//! and a green thread leaves its stack. A kernel thread takes the same path and sleeps on its
//! state word instead; that is what makes locks, joins and scopes work for both.
//!
//! *Commit after switch.* A green thread that waits is marked `WAITING` by its worker, after it
//! has left its stack: whoever wakes it before that only clears `IN_WAIT`, and the commit then
//! finds the wait over. So no wake is lost, and none runs a stack that is still in use.
//!
//! Nothing may hold a kernel lock, a borrow of a thread-local or a pointer into another thread's
//! stack across the door. User code never runs here, apart from what an unwinding runs.
#![forbid(unsafe_code)]

#[cfg(all(loom, test))]
pub(crate) mod models;

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::panic::Location;
use std::time::Instant;

use crate::clock;
use crate::os;
use crate::sched::ballast;
use crate::sched::cut;
use crate::sched::short_turn;
use crate::sched::worker::Core;
use crate::task::current::{self, Me};
use crate::task::scope::ScopeData;
use crate::task::{
    Accepts, CancelReason, Cause, Commit, Duty, Header, HeaderRef, Kind, Reason, Sequence, Unlink,
    WaitKind, WaitRecord, family,
};

/// A wait that has begun: the wakers may be told its number.
#[must_use]
pub(crate) struct Pending {
    me: Me,
    sequence: Sequence,
    accepts: Accepts,
    /// Whether somebody may know the number; if not, the commit opens the wait.
    announced: bool,
}

/// Opens a wait of the current thread. Unless a shield is up or the thread unwinds already, what
/// cuts it off ends the wait by unwinding, and what has come before does so here.
pub(crate) fn begin(permit: bool) -> Pending {
    let me = current::me();
    let accepts = cut::accepts(&me, permit);
    if !accepts.by_interrupt() {
        cut::enter_family(&me);
    } else if cut::verdict(&me).is_some() {
        cut::cut_off_here(&me);
    }
    let sequence = me.state.begin_wait(accepts);
    Pending { me, sequence, accepts, announced: true }
}

/// The same for a call that has just passed a [`switch_point`], and may hold a short lock by now:
/// never unwinds. What has cut it off since then ends the wait at its commit.
#[inline]
pub(crate) fn begin_in_call() -> Pending {
    let me = current::me();
    let accepts = cut::accepts(&me, false);
    let sequence = me.state.begin_wait(accepts);
    Pending { me, sequence, accepts, announced: true }
}

/// Charges a call that never switches to the current thread's budget: it leaves a debt to the next
/// one that may.
#[inline]
pub(crate) fn charge() {
    if let Some(core) = Core::current() {
        core.charge();
    }
}

/// Waits for the permit, the deadline, or a cancellation: for nothing that needs the number of the
/// wait. The caller has just passed a [`switch_point`], so a cancellation that has come before was
/// delivered.
// SUSPENDS
#[inline(always)]
pub(crate) fn wait_unannounced(permit: bool, reason: Reason, deadline: Option<Instant>) -> Cause {
    if let (Some(me), None) = (current::running(), deadline)
        && !me.limits.is_bounded()
    {
        let accepts = cut::accepts(me, permit);
        let sequence = me.state.next_sequence();
        let cause = wait_green(me, sequence, Some(accepts), reason, None, None);
        if cause == Cause::Cancelled {
            cut::cut_off(me, Some(reason));
        }
        return cause;
    }
    let me = current::me();
    let accepts = cut::accepts(&me, permit);
    let sequence = me.state.next_sequence();
    Pending { me, sequence, accepts, announced: false }.wait(reason, deadline)
}

impl Pending {
    /// The number under which wakers find this wait.
    pub(crate) fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// A counted reference to the waiting thread, for those who will wake it.
    pub(crate) fn thread(&self) -> HeaderRef {
        HeaderRef::new(&self.me)
    }

    /// Ends the wait without waiting. True: a wake had already ended it.
    pub(crate) fn abandon(self) -> bool {
        self.me.state.abandon_wait()
    }

    /// The waiting thread itself, for a queue that lies on its stack.
    pub(crate) fn header(&self) -> &Header {
        &self.me
    }

    /// Waits. Never gives [`Cause::Cancelled`]: that unwinds from here.
    // SUSPENDS
    pub(crate) fn wait(self, reason: Reason, deadline: Option<Instant>) -> Cause {
        self.wait_in_queue(reason, deadline, None)
    }

    /// The same for one who stands in a queue, which `unlink` leaves if the thread is leaked. The
    /// caller keeps it until the queue is left: a kernel thread's header may live no longer.
    // SUSPENDS
    #[inline]
    pub(crate) fn wait_in_queue(
        &self,
        reason: Reason,
        deadline: Option<Instant>,
        unlink: Option<Unlink>,
    ) -> Cause {
        self.wait_for(reason, deadline, unlink, None)
    }

    /// The same for a kernel thread, whose wait also ends when `descriptor` is ready.
    // SUSPENDS
    pub(crate) fn wait_for_descriptor(
        &self,
        descriptor: Descriptor<'_>,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Cause {
        debug_assert_eq!(self.me.kind, Kind::Kernel);
        self.wait_for(reason, deadline, None, Some(descriptor))
    }

    // SUSPENDS
    #[inline]
    fn wait_for(
        &self,
        reason: Reason,
        deadline: Option<Instant>,
        unlink: Option<Unlink>,
        descriptor: Option<Descriptor<'_>>,
    ) -> Cause {
        if let Some(deadline) = deadline
            && deadline <= clock::now()
        {
            return self.give_up_at_once();
        }
        let bound = self.bound();
        let until = match (deadline, bound) {
            (Some(own), Some(bound)) => Some(own.min(bound)),
            (own, bound) => own.or(bound),
        };
        let cause = match self.me.kind {
            Kind::Green => {
                let unannounced = (!self.announced).then_some(self.accepts);
                wait_green(&self.me, self.sequence, unannounced, reason, until, unlink)
            }
            Kind::Kernel => wait_kernel(self, until, descriptor),
        };
        let cut_off = match cause {
            Cause::Cancelled => true,
            // A wait may be ended for nothing before its time; then the caller looks again.
            Cause::TimedOut => bound.is_some_and(|bound| {
                deadline.is_none_or(|own| bound <= own) && bound <= clock::now()
            }),
            Cause::Woken | Cause::Permit => false,
        };
        if cut_off {
            cut::cut_off(&self.me, Some(reason));
        }
        cause
    }

    /// The deadline around the wait, if it may be unwound.
    fn bound(&self) -> Option<Instant> {
        if self.accepts.by_interrupt() { cut::nearest(&self.me)?.deadline() } else { None }
    }

    /// The deadline has passed before the wait began.
    fn give_up_at_once(&self) -> Cause {
        let permit = self.accepts.by_permit();
        if self.announced && self.me.state.abandon_wait() {
            Cause::Woken
        } else if permit && self.me.state.try_take_permit() {
            Cause::Permit
        } else {
            Cause::TimedOut
        }
    }
}

/// Joins `thread` by lending the turn to it, if it can start at once. False: nothing was done. The
/// caller has just passed a [`switch_point`].
// SUSPENDS
#[inline]
pub(crate) fn join_by_loan(thread: &Header, site: &'static Location<'static>) -> bool {
    let (Some(core), Some(me)) = (Core::current(), current::running()) else { return false };
    if me.limits.is_bounded() {
        // A loan has no timer.
        return false;
    }
    let mut reason = Reason::new(WaitKind::Join, site);
    reason.owner = Some(thread.id);
    match core.lend(me, thread, reason) {
        None => false,
        Some(Cause::Cancelled) => cut::cut_off(me, Some(reason)),
        Some(_) => true,
    }
}

/// Ends the wait `sequence` of `thread`. False: it has ended otherwise, and the wake can be given
/// to somebody else.
pub(crate) fn wake(thread: &Header, sequence: Sequence) -> bool {
    match thread.state.wake(sequence) {
        Duty::Nothing => false,
        Duty::Noted => true,
        Duty::Schedule => {
            schedule(thread);
            true
        }
    }
}

/// The same, by the thread whose end the wait is for: the joiner goes on next.
pub(crate) fn wake_joiner(thread: &Header, sequence: Sequence) {
    if thread.state.wake(sequence) == Duty::Schedule {
        match thread.kind {
            Kind::Kernel => schedule(thread),
            Kind::Green => Core::schedule_next(thread),
        }
    }
}

/// Gives `thread` its permit.
pub(crate) fn unpark(thread: &Header) {
    if thread.state.unpark() == Duty::Schedule {
        schedule(thread);
    }
}

/// Cancels `thread` and everybody below it.
pub(crate) fn cancel(thread: &Header, reason: &CancelReason) {
    family::cancel_tree(thread, reason, schedule);
}

/// Cancels the children of `scope`, and everybody below them.
pub(crate) fn cancel_scope(scope: &ScopeData, reason: &CancelReason) {
    family::cancel_scope(scope, reason, schedule);
}

/// Cancels the region in which `scope` was opened. False: it was cancelled before.
pub(crate) fn cancel_region(scope: &ScopeData, reason: &CancelReason) -> bool {
    family::cancel_region(scope, reason, schedule)
}

/// Carries out the duty to schedule a thread that has just become ready.
pub(crate) fn schedule(thread: &Header) {
    match thread.kind {
        #[cfg(loom)]
        Kind::Kernel => thread.bell.ring(),
        #[cfg(not(loom))]
        Kind::Kernel => match thread.doorbell_in_use() {
            Some(doorbell) => doorbell.ring(),
            None => {
                os::futex_wake(std::ptr::from_ref(thread.state.futex().0), 1);
            }
        },
        Kind::Green => Core::schedule(thread),
    }
}

/// Whether the current thread is being unwound, and not by a cancellation of its own.
#[inline]
pub(crate) fn is_panicking() -> bool {
    std::thread::panicking() && !current::me().may_be_unwound_by_a_cut()
}

// SUSPENDS
#[inline(always)]
fn wait_green(
    me: &Header,
    sequence: Sequence,
    unannounced: Option<Accepts>,
    reason: Reason,
    deadline: Option<Instant>,
    unlink: Option<Unlink>,
) -> Cause {
    let core = Core::current().expect("a green thread runs on a worker");
    let record = WaitRecord {
        reason,
        since_ns: core.coarse_now_ns(),
        timer: Cell::new(None),
        sequence,
        unannounced,
        unlink,
    };
    me.wait.set(&record);
    core.register(me);
    if let Some(deadline) = deadline {
        let owner = std::ptr::from_ref(me).cast();
        let timer = core.wheel().arm(core.timer_ns(deadline), owner, sequence.to_bits());
        record.timer.set(Some(timer));
    }
    ballast::keep_apart(|| core.suspend_waiting(me));
    if let Some(timer) = record.timer.get() {
        // A thread comes back where it left, on its home worker.
        core.wheel().disarm(timer);
    }
    me.wait.set(std::ptr::null());
    me.state.cause()
}

/// What a kernel thread waits for besides a wake.
pub(crate) struct Descriptor<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) to_write: bool,
    /// The thread's own, by which it is woken meanwhile.
    pub(crate) doorbell: &'a os::Doorbell,
}

/// A kernel thread sleeps on its own state word, or in `poll` until its doorbell is rung: it says
/// which before it marks itself waiting, and whoever has to schedule it looks after that.
fn wait_kernel(
    pending: &Pending,
    deadline: Option<Instant>,
    descriptor: Option<Descriptor<'_>>,
) -> Cause {
    let me: &Header = &pending.me;
    if descriptor.is_some() {
        me.use_doorbell(true);
    }
    let commit = match pending.announced {
        true => me.state.commit_wait(),
        false => me.state.commit_unannounced(pending.accepts),
    };
    // In a model a deadline comes when it likes. A wake that comes first rings.
    #[cfg(loom)]
    if commit == Commit::Waiting
        && (deadline.is_none() || me.state.time_out(pending.sequence) == Duty::Nothing)
    {
        me.bell.wait();
    }
    #[cfg(not(loom))]
    if commit == Commit::Waiting {
        while let (word, Some(waiting)) = me.state.futex() {
            let left = deadline.map(|at| at.saturating_duration_since(clock::now()));
            if left.is_some_and(|left| left.is_zero()) {
                // Whether the deadline or a wake has ended the wait, the word says so; the duty
                // to schedule is this thread's own and done by going on.
                let _ = me.state.time_out(pending.sequence);
                continue;
            }
            match &descriptor {
                None => {
                    os::futex_wait(word, waiting, left);
                }
                Some(on) => {
                    if os::poll(on.fd, on.to_write, on.doorbell, left) == os::Polled::Ready {
                        // Or a wake has ended the wait, and the duty is done as above.
                        let _ = me.state.wake(pending.sequence);
                    }
                }
            }
        }
    }
    if descriptor.is_some() {
        me.use_doorbell(false);
    }
    me.state.cause()
}

/// A wait's reason at the caller's place.
#[track_caller]
pub(crate) fn reason(kind: crate::task::WaitKind) -> Reason {
    Reason::new(kind, Location::caller())
}

/// Begins a call that may wait: yields if the thread has had more than its slice, and delivers a
/// cancellation.
// SUSPENDS
#[inline]
pub(crate) fn switch_point() {
    if let (Some(core), Some(me)) = (Core::current(), current::running())
        && pass_switch_point(core, me)
    {
        return;
    }
    switch_point_in_full();
}

// SUSPENDS
#[cold]
#[inline(never)]
fn switch_point_in_full() {
    if let Some(core) = Core::current()
        && core.charge()
    {
        yield_for_fairness();
    }
    cut::cut_off_if_called(&current::me());
}

/// Takes the current thread's permit, if it has one.
#[inline]
pub(crate) fn try_take_permit() -> bool {
    match current::running() {
        Some(me) => me.state.try_take_permit(),
        None => current::me().state.try_take_permit(),
    }
}

/// Passes a switch point of `me`, the green thread that runs on `core`, if it only needs to be
/// charged. False: nothing was done, and the caller goes through [`switch_point`].
#[inline(always)]
pub(crate) fn pass_switch_point(core: &Core, me: &Header) -> bool {
    cut::is_in_family(me)
        && me.limits.are_none()
        && !me.state.is_called_off()
        && !core.cancelling.get()
        && core.charge_within_budget()
}

// SUSPENDS
#[cold]
fn yield_for_fairness() {
    if !current::green().is_null() && !std::thread::panicking() {
        if let Some(run) = Core::current().and_then(|core| core.seeded.as_ref()) {
            run.note_drawn_yield();
        }
        yield_now();
    }
}

/// Lets other threads run.
// SUSPENDS
#[inline]
pub(crate) fn yield_now() {
    if !short_turn::try_yield() {
        yield_in_full();
    }
}

/// Whether a switch point of the current thread has to do more than to switch: the thread may be
/// cut off, is not entered in its family yet, or unwinds.
#[inline(always)]
pub(crate) fn has_more_to_do(me: &Header) -> bool {
    !me.limits.are_none()
        || me.state.is_called_off()
        || !cut::is_in_family(me)
        || std::thread::panicking()
}

// SUSPENDS
#[inline(never)]
fn yield_in_full() {
    let me = current::me();
    cut::cut_off_if_called(&me);
    match me.kind {
        Kind::Kernel => std::thread::yield_now(),
        Kind::Green => {
            let core = Core::current().expect("a green thread runs on a worker");
            ballast::keep_apart(|| core.suspend_yielding(&me));
        }
    }
}
