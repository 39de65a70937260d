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

use std::any::Any;
use std::cell::UnsafeCell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;

use crate::fiber;
use crate::sched::cut::{self, Legacy, Shield};
use crate::sched::door;
use crate::sched::inplace;
use crate::sched::job::{self, Job};
use crate::sched::shared::Shared;
use crate::sched::slot::{Claim, Finished, Slot};
use crate::sched::worker::Core;
use crate::stack::Class;
use crate::task::header::Birth;
use crate::task::packet::{self, Outcome, VTable};
use crate::task::scope::ScopeData;
use crate::task::{Cancelled, Header, HeaderRef, Kind, Reason, State, WaitKind, current};

/// `b` in the frame of `join`: the closure before, the outcome after. Neither is dropped with the
/// frame: whoever claims the slot takes the closure out, and who finds it done the outcome.
struct Frame<B, RB> {
    closure: UnsafeCell<ManuallyDrop<B>>,
    outcome: UnsafeCell<MaybeUninit<Outcome<RB>>>,
    /// What a thief takes over from the owner.
    legacy: Legacy,
}

impl<B, RB> Frame<B, RB>
where
    B: FnOnce() -> RB,
{
    fn new(b: B, legacy: Legacy) -> Frame<B, RB> {
        Frame {
            legacy,
            closure: UnsafeCell::new(ManuallyDrop::new(b)),
            outcome: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Says in `slot` what is offered, in the name of `owner`. The caller puts the entry where
    /// thieves find it.
    #[inline]
    fn describe_in(&self, slot: &'static Slot, owner: *const Header) {
        slot.job.set(std::ptr::from_ref(self).cast());
        slot.run.set(end_frame::<B, RB>);
        slot.owner.set(owner);
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
    /// S1: the slot is done, and the caller takes the outcome once.
    unsafe fn take_outcome(&self) -> Outcome<RB> {
        // SAFETY: the thief has finished, and its last change of the slot published the outcome.
        let outcome = unsafe { &*self.outcome.get() };
        // SAFETY: every thief leaves one before it finishes (`end_frame`), and it was not taken
        // before (S1).
        unsafe { outcome.assume_init_read() }
    }
}

/// The stack in use has too little left: goes on on another one of the same fiber.
// SUSPENDS
pub(crate) fn on_segment<T>(core: &Core, f: impl FnOnce() -> T) -> T {
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
    let owner = current::running().expect("a green thread runs here");
    let frame = Frame::new(b, Legacy::of(owner));
    let slot = core.slots.take();
    frame.describe_in(slot, owner);
    core.offer(Job::arm(slot));
    let give = |slot| core.slots.give(slot);

    // `a` may wait, but a green thread comes back to the worker that it left. An unwinding `a` goes
    // its own way from here, for the other to carry neither a tag nor a payload along.
    let first = match catch_unwind(AssertUnwindSafe(a)) {
        Ok(first) => first,
        Err(payload) => {
            let mine = take_back_out_of_line(core, slot);
            unwind(payload, mine, &frame, slot, site, give)
        }
    };
    if take_back(core, slot) {
        // SAFETY: S1: the claim is ours.
        let b = unsafe { frame.take_closure() };
        return (first, b());
    }
    with_value_of_thief(first, &frame, slot, site, give)
}

/// Ends a `join` whose `a` has returned, and whose `b` a thief has.
// SUSPENDS
#[cold]
#[inline(never)]
fn with_value_of_thief<B, RA, RB>(
    first: RA,
    frame: &Frame<B, RB>,
    slot: &'static Slot,
    site: &'static Location<'static>,
    give: impl FnOnce(&'static Slot),
) -> (RA, RB)
where
    B: FnOnce() -> RB,
{
    match await_outcome(frame, slot, site, give) {
        Ok(second) => (first, second),
        Err(payload) => {
            let shield = Shield::raise();
            packet::drop_quietly(first);
            drop(shield);
            cut::unwind_by(payload)
        }
    }
}

/// Ends a `join` whose `a` was unwound: drops `b` if it is `mine`, else waits for its thief.
// SUSPENDS
#[cold]
#[inline(never)]
fn unwind<B, RB>(
    payload: Box<dyn Any + Send>,
    mine: bool,
    frame: &Frame<B, RB>,
    slot: &'static Slot,
    site: &'static Location<'static>,
    give: impl FnOnce(&'static Slot),
) -> !
where
    B: FnOnce() -> RB,
{
    if mine {
        let _shield = Shield::raise();
        // SAFETY: S1: the claim is ours.
        packet::drop_quietly(unsafe { frame.take_closure() });
    } else {
        packet::drop_quietly(await_outcome(frame, slot, site, give));
    }
    cut::unwind_by(payload)
}

/// Waits for the thief and gives the slot up.
// SUSPENDS
fn await_outcome<B, RB>(
    frame: &Frame<B, RB>,
    slot: &'static Slot,
    site: &'static Location<'static>,
    give: impl FnOnce(&'static Slot),
) -> Outcome<RB>
where
    B: FnOnce() -> RB,
{
    await_thief(slot, site);
    // Done, so the thief has left it, and the entry was taken out: we alone know it.
    give(slot);
    // SAFETY: S1: just awaited, and taken here only.
    unsafe { frame.take_outcome() }
}

/// Takes `b` back, if no thief has it. Looks at the deque's young end only: whatever lies above
/// the own entry was spawned since and is not this call's to dig through.
#[inline(always)]
fn take_back(core: &Core, slot: &'static Slot) -> bool {
    let popped = core.deque.pop();
    if popped != Some(Job::arm(slot)) {
        return claim_back(core, slot, popped);
    }
    core.slots.give_open(slot);
    true
}

/// The same where it is rare.
#[cold]
#[inline(never)]
fn take_back_out_of_line(core: &Core, slot: &'static Slot) -> bool {
    take_back(core, slot)
}

/// The own entry did not lie on top; `popped` did.
#[cold]
#[inline(never)]
fn claim_back(core: &Core, slot: &'static Slot, popped: Option<Job>) -> bool {
    if let Some(other) = popped {
        // What we put back may have been looked for meanwhile: it counts as new work.
        core.offer(other);
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
    if let Some(reason) = cut::reason_to_pass_on(&me) {
        door::cancel(&thief, &reason);
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

/// Runs a frame's closure, or drops it because of `refusal`, and leaves the outcome.
///
/// # Safety
/// S1: `job` is the frame of the slot that the caller has claimed.
unsafe fn end_frame<B, RB>(job: *const (), refusal: Option<Box<dyn Any + Send>>)
where
    B: FnOnce() -> RB,
{
    // SAFETY: the frame outlives the claim (S1).
    let frame = unsafe { &*job.cast::<Frame<B, RB>>() };
    // SAFETY: S1: the claim is the caller's.
    let closure = unsafe { frame.take_closure() };
    let legacy = frame.legacy;
    let outcome = match refusal {
        // The owner may be where nothing can unwind it, so it needs a value.
        Some(payload) if !(legacy.is_sheltered() && payload.is::<Cancelled>()) => {
            // Shielded, as all that `life` refuses.
            packet::drop_quietly(closure);
            Err(payload)
        }
        // SAFETY: S1: the owner waits for the outcome in the frame of its `join`.
        _ => catch_unwind(AssertUnwindSafe(|| unsafe { legacy.run(closure) })),
    };
    // SAFETY: nobody else touches the outcome before the slot is finished.
    let place = unsafe { &mut *frame.outcome.get() };
    place.write(outcome);
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
    run: |header| end_slot(header, None),
    refuse: |header, payload| end_slot(header, Some(payload)),
    drop_outcome: |_| packet::Dropped::Value,
    // A leaked arm's owner waits in a scope of its own and is leaked with it, or aborts.
    abandon: |_, payload| drop(payload),
    free_box: |_| (),
};

fn end_slot(header: &Header, refusal: Option<Box<dyn Any + Send>>) {
    // SAFETY: an arm's payload holds its slot.
    let slot = unsafe { header.payload().cast::<&'static Slot>().read() };
    // SAFETY: published by the offer, which the claim has seen. Counted, for the owner may end as
    // soon as it sees the slot done.
    let owner = HeaderRef::new(unsafe { &*slot.owner.get() });
    // SAFETY: S1: this thread has claimed the slot and runs its job once.
    unsafe { (slot.run.get())(slot.job.get(), refusal) };
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
    let me = current::me();
    let frame = Frame::new(b, Legacy::of(&me));
    // Outside a worker there is no cache; a tombstone goes to the cache of whoever finds it.
    let slot: &'static Slot = Box::leak(Box::new(Slot::new()));
    frame.describe_in(slot, &*me);
    shared.inject(Job::arm(slot));

    let give = |slot: &'static Slot| {
        // SAFETY: made above, and known to nobody else any more.
        drop(unsafe { Box::from_raw(std::ptr::from_ref(slot).cast_mut()) });
    };

    let first = catch_unwind(AssertUnwindSafe(a));

    let mine = slot.claim_by_owner() == Claim::Won;
    match first {
        Ok(first) if mine => {
            // SAFETY: S1: the claim is ours.
            let b = unsafe { frame.take_closure() };
            (first, b())
        }
        Ok(first) => with_value_of_thief(first, &frame, slot, site, give),
        Err(payload) => unwind(payload, mine, &frame, slot, site, give),
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
