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

use std::cell::Cell;
use std::panic::Location;
use std::time::Instant;

use crate::clock;
use crate::sched::ballast;
use crate::sched::short_turn;
use crate::sched::worker::Core;
use crate::task::current::{self, Me};
use crate::task::packet::Cancelled;
use crate::task::{
    Accepts, Cause, Commit, Duty, Header, HeaderRef, Kind, Reason, Sequence, Unlink, WaitKind,
    WaitRecord, family,
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

/// Keeps cancellations from being delivered to the current thread as long as it lives: for waits
/// whose end the thread has to see. They still reach those that the wait is for.
pub(crate) struct Shield(Me);

impl Shield {
    pub(crate) fn raise() -> Shield {
        let me = current::me();
        me.shield.set(me.shield.get() + 1);
        Shield(me)
    }
}

impl Drop for Shield {
    fn drop(&mut self) {
        self.0.shield.set(self.0.shield.get() - 1);
    }
}

/// Opens a wait of the current thread. Unless a shield is up or the thread unwinds already, a
/// cancellation ends the wait by unwinding, and one that has come before is delivered here.
pub(crate) fn begin(permit: bool) -> Pending {
    let me = current::me();
    let cancel = deliverable(&me);
    if cancel {
        if wants_end(&me) {
            deliver_here(&me);
        }
    } else {
        enter_family(&me);
    }
    let accepts = Accepts { permit, cancel };
    let sequence = me.state.begin_wait(accepts);
    Pending { me, sequence, accepts, announced: true }
}

/// The same for a call that has just passed a [`switch_point`], and may hold a short lock by now:
/// never unwinds. A cancellation that has come since then ends the wait at its commit.
#[inline]
pub(crate) fn begin_in_call() -> Pending {
    let me = current::me();
    let accepts = Accepts { permit: false, cancel: deliverable(&me) };
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
    if let (Some(me), None) = (current::running(), deadline) {
        let accepts = Accepts { permit, cancel: deliverable(me) };
        let sequence = me.state.next_sequence();
        let cause = wait_green(me, sequence, Some(accepts), reason, None, None);
        if cause == Cause::Cancelled {
            deliver();
        }
        return cause;
    }
    let me = current::me();
    let accepts = Accepts { permit, cancel: deliverable(&me) };
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
        if let Some(deadline) = deadline
            && deadline <= clock::now()
        {
            return self.give_up_at_once();
        }
        let cause = match self.me.kind {
            Kind::Green => {
                let unannounced = (!self.announced).then_some(self.accepts);
                wait_green(&self.me, self.sequence, unannounced, reason, deadline, unlink)
            }
            Kind::Kernel => wait_kernel(self, deadline),
        };
        if cause == Cause::Cancelled {
            deliver();
        }
        cause
    }

    /// The deadline has passed before the wait began.
    fn give_up_at_once(&self) -> Cause {
        let permit = self.accepts.permit;
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
    let mut reason = Reason::new(WaitKind::Join, site);
    reason.owner = Some(thread.id);
    match core.lend(me, thread, reason) {
        None => false,
        Some(Cause::Cancelled) => deliver(),
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
pub(crate) fn cancel(thread: &Header) {
    family::cancel_tree(thread, |thread| schedule(&thread));
}

/// Carries out the duty to schedule a thread that has just become ready.
pub(crate) fn schedule(thread: &Header) {
    match thread.kind {
        #[cfg(loom)]
        Kind::Kernel => thread.bell.ring(),
        #[cfg(not(loom))]
        Kind::Kernel => {
            crate::os::futex_wake(std::ptr::from_ref(thread.state.futex().0), 1);
        }
        Kind::Green => Core::schedule(thread),
    }
}

/// Whether the current thread was cancelled, delivered or not.
pub(crate) fn is_cancelled() -> bool {
    wants_end(&current::me())
}

/// Whether a cancellation of `me` may unwind from here.
#[inline(always)]
pub(super) fn deliverable(me: &Header) -> bool {
    cfg!(panic = "unwind") && me.shield.get() == 0 && !std::thread::panicking()
}

#[inline(always)]
fn deliver_if_cancelled(me: &Header) {
    if wants_end(me) && deliverable(me) {
        deliver_here(me);
    }
}

/// Whether the current thread was cancelled, by name or with its runtime.
#[inline(always)]
fn wants_end(me: &Header) -> bool {
    enter_family(me);
    me.state.is_cancelled() || Core::current().is_some_and(|core| core.cancels_all(me))
}

#[cold]
fn deliver_here(me: &Header) -> ! {
    if !me.state.is_cancelled() {
        cancel(me);
    }
    // A thread that catches each delivery and goes on comes here again and again; without a turn
    // for the others it would keep its worker from them, and from its orders.
    if let Some(core) = Core::current().filter(|_| me.kind == Kind::Green) {
        core.suspend_yielding(me);
    }
    deliver()
}

/// Whether cancellations from above find `me`: it is no scope's child, or was entered as one.
#[inline(always)]
fn is_in_family(me: &Header) -> bool {
    // ORDERING: Relaxed; a thread that was entered stays so, and this is the thread itself.
    me.scope.get().is_null() || me.linked.load(std::sync::atomic::Ordering::Relaxed)
}

/// Makes a scope's child findable for cancellations from above, once.
#[inline(always)]
fn enter_family(me: &Header) {
    if !is_in_family(me) {
        enter_family_first(me);
    }
}

#[cold]
fn enter_family_first(me: &Header) {
    for late in family::enter_lists(me) {
        cancel(&late);
    }
}

/// Unwinds the current thread. No panic hook runs, so nothing is printed.
#[cold]
fn deliver() -> ! {
    std::panic::resume_unwind(Cancelled::payload_here())
}

/// Goes on unwinding by what has unwound a part of the current thread, or another one that it has
/// waited for.
#[cold]
pub(crate) fn unwind_by(payload: Box<dyn std::any::Any + Send>) -> ! {
    if payload.is::<Cancelled>() {
        drop(payload);
        deliver();
    }
    std::panic::resume_unwind(payload)
}

/// Whether the current thread is being unwound, and not by a cancellation of its own.
#[inline]
pub(crate) fn is_panicking() -> bool {
    std::thread::panicking() && !current::me().unwinds_cancelled.get()
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

/// A kernel thread sleeps on its own state word.
fn wait_kernel(pending: &Pending, deadline: Option<Instant>) -> Cause {
    let me: &Header = &pending.me;
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
            crate::os::futex_wait(word, waiting, left);
        }
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
    deliver_if_cancelled(&current::me());
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
    is_in_family(me)
        && !me.state.is_cancelled()
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

/// Whether a switch point of the current thread has to do more than to switch: the thread was
/// cancelled by name, is not entered in its family yet, or unwinds.
#[inline(always)]
pub(crate) fn has_more_to_do(me: &Header) -> bool {
    me.state.is_cancelled() || !is_in_family(me) || std::thread::panicking()
}

// SUSPENDS
#[inline(never)]
fn yield_in_full() {
    let me = current::me();
    deliver_if_cancelled(&me);
    match me.kind {
        Kind::Kernel => std::thread::yield_now(),
        Kind::Green => {
            let core = Core::current().expect("a green thread runs on a worker");
            ballast::keep_apart(|| core.suspend_yielding(&me));
        }
    }
}
