//! `join(a, b)`: two closures at once, on one stack if nobody helps, on two workers if one does.
//!
//! `a` runs here and `b` is offered to thieves meanwhile. If none came, `b` runs here too, after
//! `a`: no thread, no stack, no allocation, no switch. The offer is a slot (see `slot`), for the
//! frame of `join` must not be reachable from a deque.
//!
//! Once `b` is offered, `join` leaves its frame only after `b` was taken back or has ended: `a`
//! runs under `catch_unwind`, and the wait for a stolen `b` is shielded. A cancellation of the
//! caller that comes during that wait is passed on to `b`.
//!
//! An arm has no identity of its own: run in place it is the caller, stolen it is an anonymous
//! thread. What does not fit on the caller's stack continues on another one, so recursion through
//! `join` ends with the memory, not with the stack.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use crate::fiber;
use crate::sched::door::{self, Shield};
use crate::sched::inplace;
use crate::sched::job::{self, Job};
use crate::sched::shared::Shared;
use crate::sched::slot::{Claim, Finished, Slot};
use crate::sched::worker::Core;
use crate::stack::Class;
use crate::task::family::ScopeData;
use crate::task::header::Birth;
use crate::task::packet::{self, Cancelled, Outcome, VTable};
use crate::task::{Header, HeaderRef, Kind, Reason, State, WaitKind, current};

/// `b` in the frame of `join`: the closure before, the outcome after.
struct Frame<B, RB> {
    closure: UnsafeCell<ManuallyDrop<B>>,
    outcome: UnsafeCell<Option<Outcome<RB>>>,
}

impl<B, RB> Frame<B, RB>
where
    B: FnOnce() -> RB,
{
    fn new(b: B) -> Frame<B, RB> {
        Frame { closure: UnsafeCell::new(ManuallyDrop::new(b)), outcome: UnsafeCell::new(None) }
    }

    /// Offers the closure by `slot`, in the name of `owner`.
    #[inline]
    fn offer(&self, slot: &'static Slot, owner: *const Header) {
        slot.job.set(std::ptr::from_ref(self).cast());
        slot.run.set(end_frame::<B, RB>);
        slot.owner.set(owner);
        slot.offer();
    }

    /// Takes the closure out.
    ///
    /// # Safety
    /// S1: the caller has claimed the slot, and takes it once.
    #[inline]
    unsafe fn take_closure(&self) -> B {
        // SAFETY: the claim made the closure the caller's (S1).
        let closure = unsafe { &mut *self.closure.get() };
        // SAFETY: it was not taken before (S1).
        unsafe { ManuallyDrop::take(closure) }
    }

    /// What the thief left.
    ///
    /// # Safety
    /// S1: the slot is done.
    unsafe fn take_outcome(&self) -> Outcome<RB> {
        // SAFETY: the thief has finished, and its last change of the slot published the outcome.
        let outcome = unsafe { &mut *self.outcome.get() };
        outcome.take().expect("the thief left an outcome")
    }
}

/// Runs `b` after `a`, or drops it if `a` was unwound.
#[inline]
fn run_here<RA, RB>(first: Outcome<RA>, b: impl FnOnce() -> RB) -> (RA, RB) {
    match first {
        Ok(first) => (first, b()),
        Err(payload) => {
            packet::drop_quietly(b);
            resume_unwind(payload)
        }
    }
}

/// Runs `f` where enough stack is left for it: here, or on another stack of the same fiber.
// SUSPENDS
#[inline]
pub(crate) fn with_room<T>(core: &Core, f: impl FnOnce() -> T) -> T {
    match inplace::room(core) {
        inplace::Room::Here => f(),
        inplace::Room::Elsewhere => on_segment(core, f),
    }
}

/// The stack in use has too little left: goes on on another one.
#[cold]
fn on_segment<T>(core: &Core, f: impl FnOnce() -> T) -> T {
    match inplace::segment(core) {
        // Nothing borrowed from the worker is held meanwhile: the arms may suspend.
        Ok(mut segment) => fiber::on_stack(core.running_fiber(), segment.stack(), f),
        // Without another stack, what is left of this one must do; if it does not, the overflow
        // report will name the thread.
        Err(_) => f(),
    }
}

/// Runs both closures, `b` perhaps on another worker of the same runtime.
// SUSPENDS
#[inline]
pub(crate) fn on_this_stack<A, B, RA, RB>(
    core: &Core,
    a: A,
    b: B,
    site: &'static Location<'static>,
) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    let frame = Frame::new(b);
    let slot = core.slots.take();
    frame.offer(slot, current::green());
    core.offer(Job::arm(slot));

    let first = catch_unwind(AssertUnwindSafe(a));

    // `a` may have waited, but a green thread comes back to the worker that it left.
    let mine = take_back(core, slot);
    settle(mine, &frame, slot, first, site, |slot| core.slots.give(slot))
}

/// Ends a `join` whose `a` has ended: runs `b` if it is `mine`, else waits for its thief and gives
/// the slot up.
// SUSPENDS
#[inline]
fn settle<B, RA, RB>(
    mine: bool,
    frame: &Frame<B, RB>,
    slot: &'static Slot,
    first: Outcome<RA>,
    site: &'static Location<'static>,
    give: impl FnOnce(&'static Slot),
) -> (RA, RB)
where
    B: FnOnce() -> RB,
{
    if mine {
        // SAFETY: S1: the claim is ours.
        return run_here(first, unsafe { frame.take_closure() });
    }
    await_thief(slot, site);
    // Done, so the thief has left it, and the entry was taken out: we alone know it.
    give(slot);
    // SAFETY: S1: just awaited.
    both(first, unsafe { frame.take_outcome() })
}

/// Takes `b` back, if no thief has it. Looks at the deque's young end only: whatever lies above
/// the own entry was spawned since and is not this call's to dig through.
#[inline]
fn take_back(core: &Core, slot: &'static Slot) -> bool {
    match core.deque.pop() {
        Some(job) if job == Job::arm(slot) => {
            slot.take_back();
            core.slots.give(slot);
            return true;
        }
        // What we put back may have been looked for meanwhile: it counts as new work.
        Some(other) => core.offer(other),
        None => (),
    }
    slot.claim_by_owner() == Claim::Won
}

/// Waits for the thief's end, and passes a cancellation on to it.
// SUSPENDS
#[cold]
fn await_thief(slot: &'static Slot, site: &'static Location<'static>) {
    // SAFETY: the claim was lost, so the thief's counted reference is published.
    let thief = NonNull::new(slot.thief.get().cast_mut()).expect("a taken slot names its thief");
    // SAFETY: S1: the slot's reference is the owner's to give up, and the owner is we.
    let thief = unsafe { HeaderRef::from_owned(thief) };
    if slot.is_done() {
        return;
    }
    let me = current::me();
    let scope = ScopeData::new(&me);
    // SAFETY: S1: it stays in this frame until the close below; the wait is shielded.
    unsafe { scope.adopt(&thief) };
    if me.state.is_cancelled() {
        door::cancel(&thief);
    }
    let _shield = Shield::raise();
    let pending = door::begin(false);
    if slot.announce_wait(pending.sequence()) {
        let mut reason = Reason::new(WaitKind::Arm, site);
        reason.owner = Some(thief.id);
        pending.wait(reason, None);
        debug_assert!(slot.is_done());
    } else {
        pending.abandon();
    }
    scope.release_arm(&thief);
    scope.close();
}

/// Runs or drops a frame's closure and leaves the outcome.
///
/// # Safety
/// S1: `job` is the frame of the slot that the caller has claimed.
unsafe fn end_frame<B, RB>(job: *const (), cancelled: bool)
where
    B: FnOnce() -> RB,
{
    // SAFETY: the frame outlives the claim (S1).
    let frame = unsafe { &*job.cast::<Frame<B, RB>>() };
    // SAFETY: S1: the claim is the caller's.
    let closure = unsafe { frame.take_closure() };
    let outcome = if cancelled {
        packet::drop_quietly(closure);
        Err(Cancelled::payload())
    } else {
        catch_unwind(AssertUnwindSafe(closure))
    };
    // SAFETY: nobody else touches the outcome before the slot is finished.
    unsafe { *frame.outcome.get() = Some(outcome) };
}

/// The anonymous thread that runs a slot's job. Its packet is the slot's address.
///
/// Three references: the scheduler's, that of a handle which is gone, see `State::drop_handle`, and
/// one for the slot's owner.
pub(crate) fn thread_for(slot: &'static Slot, class: Class) -> NonNull<Header> {
    let header = Header::allocate(Birth {
        kind: Kind::Green,
        state: State::unstarted(false),
        class,
        vtable: &ARM,
        site: Location::caller(),
        name: None,
        boxed: false,
        refs: 3,
        id: current::next_id(),
    });
    // SAFETY: just made.
    let payload = unsafe { header.as_ref() }.payload();
    // SAFETY: the payload has room for a pointer and nobody else knows it.
    unsafe { payload.cast::<&'static Slot>().write(slot) };
    header
}

/// Takes down a thread that was made for a slot whose claim was lost.
pub(crate) fn discard(thread: NonNull<Header>) {
    for _ in 0..3 {
        // SAFETY: S1: all references are the caller's.
        unsafe { Header::release(thread) };
    }
}

static ARM: VTable = VTable {
    run: |header| end_slot(header, false),
    refuse: |header, payload| {
        drop(payload);
        end_slot(header, true);
    },
    drop_outcome: |_| packet::Dropped::Value,
    // A leaked arm's owner waits in a scope of its own and is leaked with it, or aborts.
    abandon: |_, payload| drop(payload),
    free_box: |_| (),
};

fn end_slot(header: &Header, cancelled: bool) {
    // SAFETY: an arm's payload holds its slot.
    let slot = unsafe { header.payload().cast::<&'static Slot>().read() };
    // SAFETY: published by the offer, which the claim has seen. Counted, for the owner may end as
    // soon as it sees the slot done.
    let owner = HeaderRef::new(unsafe { &*slot.owner.get() });
    // SAFETY: S1: this thread has claimed the slot and runs its job once.
    unsafe { (slot.run.get())(slot.job.get(), cancelled) };
    if let Finished::Awaited(sequence) = slot.finish() {
        door::wake(&owner, sequence);
    }
}

/// Runs both closures for a kernel thread: `b` is offered through the injector, and runs here if
/// no worker has taken it when `a` has ended.
pub(crate) fn from_outside<A, B, RA, RB>(
    shared: &Shared,
    a: A,
    b: B,
    site: &'static Location<'static>,
) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    let frame = Frame::new(b);
    let me = current::me();
    // Outside a worker there is no cache; a tombstone goes to the cache of whoever finds it.
    let slot: &'static Slot = Box::leak(Box::new(Slot::new()));
    frame.offer(slot, &*me);
    shared.inject(Job::arm(slot));

    let first = catch_unwind(AssertUnwindSafe(a));

    let mine = slot.claim_by_owner() == Claim::Won;
    settle(mine, &frame, slot, first, site, |slot| {
        // SAFETY: made above, and known to nobody else any more.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(slot).cast_mut()) });
    })
}

/// Both values, or the first payload.
fn both<RA, RB>(first: Outcome<RA>, second: Outcome<RB>) -> (RA, RB) {
    match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(payload), second) => {
            packet::drop_quietly(second);
            resume_unwind(payload)
        }
        (Ok(first), Err(payload)) => {
            packet::drop_quietly(first);
            resume_unwind(payload)
        }
    }
}

/// Empties a deque whose worker goes: tombstones are freed, the rest is given to `leave`.
pub(crate) fn drain(core: &Core, mut leave: impl FnMut(Job)) {
    while let Some(job) = core.deque.pop() {
        match job.kind() {
            job::Kind::Arm(slot) if slot.is_tombstone() => core.slots.give(slot),
            _ => leave(job),
        }
    }
}
