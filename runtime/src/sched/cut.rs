//! Cutting off: what ends a thread, or a region that it is in, from outside, and how it is unwound.
//!
//! Three things may end a thread before it ends by itself: somebody cancels it, or its runtime is
//! shut down; a region that it is in is cancelled; a deadline passes that is in force. All of them
//! are found here, at the calls that may wait, and become one payload, [`Cancelled`], which unwinds
//! the thread to where the end is: to its own, or to the frame of the region. No panic hook runs.
//!
//! Where several are due, the outermost wins: what lies within ends with it. Of deadlines only the
//! one counts that comes first.
//!
//! Nothing is cut off while it unwinds already, since a second panic would abort the process, nor
//! where the runtime itself has to see the end of a wait ([`Shield`]). A thread that catches the
//! payload and goes on is cut off again at its next call.

#[cfg(all(loom, test))]
pub(crate) mod models;

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr;

use crate::clock;
use crate::primitives::Ordering;
use crate::sched::door;
use crate::sched::shared::Shared;
use crate::sched::worker::Core;
use crate::task::region::{self, Region};
use crate::task::{Accepts, CancelReason, Cancelled, Header, Kind, Reason, current, family};

/// Keeps everything from being cut off on the current thread as long as it lives: for waits whose
/// end the thread has to see. Cancellations still reach those that the wait is for.
pub(crate) struct Shield(current::Me);

impl Shield {
    pub(crate) fn raise() -> Shield {
        let me = current::me();
        me.limits.raise_shield();
        Shield(me)
    }
}

/// Keeps the current thread from being cut off, if it is to end: for destructors that run for its
/// end, and not while it unwinds. Those of a thread that ends by itself are as cancellable as it
/// is.
pub(super) fn shield_of_end(me: &Header) -> Option<Shield> {
    (deliverable(me) && verdict(me).is_some()).then(Shield::raise)
}

impl Drop for Shield {
    fn drop(&mut self) {
        self.0.limits.lower_shield();
    }
}

/// What ends, and with it what to blame.
#[derive(Clone, Copy)]
pub(super) enum Verdict<'a> {
    /// The thread, which was cancelled.
    Thread,
    /// The thread, with its runtime.
    Shutdown,
    /// A region: its own, or the one whose deadline it has inherited.
    Region(&'a Region),
}

/// Whether something may unwind `me` from here.
#[inline(always)]
pub(super) fn deliverable(me: &Header) -> bool {
    cfg!(panic = "unwind") && !region::is_in_destructor(me)
}

/// What may end a wait of `me` that begins now.
#[inline(always)]
pub(super) fn accepts(me: &Header, permit: bool) -> Accepts {
    let interrupt = deliverable(me);
    Accepts::new(permit, interrupt && !me.limits.is_sheltered(), interrupt)
}

/// What ends the current thread, or a part of it; `None`: it goes on.
#[inline(always)]
pub(super) fn verdict(me: &Header) -> Option<Verdict<'_>> {
    enter_family(me);
    if me.state.is_called_off() || me.limits.is_bounded() || is_shut_down(me) {
        return verdict_in_full(me);
    }
    None
}

#[inline(always)]
fn is_shut_down(me: &Header) -> bool {
    Core::current().is_some_and(|core| core.cancels_all(me))
}

#[cold]
fn verdict_in_full(me: &Header) -> Option<Verdict<'_>> {
    let mut late = late(me);
    let mut found = None;
    for region in region::chain(region::innermost(me)) {
        if region.is_shield() {
            return found;
        }
        if late.is_some_and(|late| ptr::eq(late, region)) {
            found = late.take().map(Verdict::Region);
        } else if region.is_cancelled() {
            found = Some(Verdict::Region(region));
        }
    }
    if me.state.is_cancelled() {
        Some(Verdict::Thread)
    } else if is_shut_down(me) {
        Some(Verdict::Shutdown)
    } else {
        // An inherited one lies around all of its own.
        late.map(Verdict::Region).or(found)
    }
}

/// The region whose deadline is in force and has passed.
fn late(me: &Header) -> Option<&Region> {
    let nearest = nearest(me)?;
    let deadline = nearest.deadline()?;
    (deadline <= clock::now()).then_some(nearest)
}

/// The region whose deadline is in force for the current thread.
pub(super) fn nearest(me: &Header) -> Option<&Region> {
    if !me.limits.is_bounded() {
        return None;
    }
    // SAFETY: a region lies in its frame as long as somebody is in it; see `region`.
    unsafe { region::nearest(me).as_ref() }
}

/// The deadline in force for the current thread.
pub(crate) fn current_deadline() -> Option<std::time::Instant> {
    nearest(&current::me())?.deadline()
}

/// Whether something may cut `me` off, the current thread, during a wait that is not at the door.
pub(crate) fn may_be_cut_off(me: &Header) -> bool {
    deliverable(me)
        && (me.limits.is_bounded() || !me.scope.get().is_null() || !region::innermost(me).is_null())
}

/// Why the current thread, or a part of it, is to end, if it is.
pub(crate) fn reason_here() -> Option<CancelReason> {
    let me = current::me();
    verdict(&me).map(|verdict| reason(&me, verdict))
}

/// The same for those who work for `me`, the current thread; nothing, where that cannot be unwound.
pub(super) fn reason_to_pass_on(me: &Header) -> Option<CancelReason> {
    if deliverable(me) { verdict(me).map(|verdict| reason(me, verdict)) } else { None }
}

fn reason(me: &Header, verdict: Verdict<'_>) -> CancelReason {
    match verdict {
        Verdict::Region(region) => region.reason(),
        Verdict::Shutdown => shutdown_reason(),
        Verdict::Thread => me.why().unwrap_or_else(shutdown_reason),
    }
}

#[cold]
fn shutdown_reason() -> CancelReason {
    match Core::current() {
        Some(core) => CancelReason::shutdown(&core.shared.config.name),
        None => CancelReason::shutdown(""),
    }
}

/// Cuts `me` off, the current thread, in a call that has yet to wait.
#[inline(always)]
pub(super) fn cut_off_if_called(me: &Header) {
    if verdict(me).is_some() && deliverable(me) {
        cut_off_here(me);
    }
}

#[cold]
pub(super) fn cut_off_here(me: &Header) -> ! {
    if let Some(Verdict::Shutdown) = verdict(me) {
        door::cancel(me, &shutdown_reason());
    }
    // A thread that catches each delivery and goes on comes here again and again; without a turn
    // for the others it would keep its worker from them, and from its orders.
    if let Some(core) = Core::current().filter(|_| me.kind == Kind::Green) {
        core.suspend_yielding(me);
    }
    cut_off(me, None)
}

/// Cuts `me` off, the current thread, for which there is a verdict. `wait` is what it waited for.
#[cold]
pub(super) fn cut_off(me: &Header, wait: Option<Reason>) -> ! {
    let Some(verdict) = verdict(me) else {
        crate::os::abort_with("a thread was woken to be cut off, and nothing has called it off");
    };
    let region = match verdict {
        Verdict::Region(region) => Some(region),
        Verdict::Thread | Verdict::Shutdown => None,
    };
    resume_unwind(Cancelled::here(me, reason(me, verdict), wait, region))
}

/// Goes on unwinding by what has unwound a part of the current thread, or another one that it has
/// waited for.
#[cold]
pub(crate) fn unwind_by(payload: Box<dyn Any + Send>) -> ! {
    match payload.downcast::<Cancelled>() {
        Ok(cancelled) if !cancelled.is_mine() => {
            let me = current::me();
            let mut regions = region::chain(region::innermost(&me));
            if let Some(region) = regions.find(|region| cancelled.is_for(region)) {
                // Inherited from here. By its own clock, the other thread was late.
                let reason = cancelled.reason().clone();
                resume_unwind(Cancelled::here(&me, reason, cancelled.cut(), Some(region)));
            }
            if verdict(&me).is_some() {
                cut_off(&me, cancelled.cut());
            }
            // Only the other one was cancelled, and what it owed will never be there.
            resume_unwind(Cancelled::here(&me, cancelled.reason().clone(), cancelled.cut(), None))
        }
        Ok(cancelled) => resume_unwind(cancelled),
        Err(payload) => resume_unwind(payload),
    }
}

/// Cuts the current thread off, in a call that has yet to wait, if it is to end and can.
pub(crate) fn cut_off_if_due() {
    cut_off_if_called(&current::me());
}

/// Unwinds the current thread, for another one that it needs was cut off for `reason`. Returns,
/// where nothing can be unwound.
pub(crate) fn unwind_for(reason: CancelReason) {
    let me = current::me();
    if deliverable(&me) {
        cut_off_if_called(&me);
        resume_unwind(Cancelled::here(&me, reason, None, None));
    }
}

/// If what has ended another thread, `payload`, is about to end the current one too, it ends here:
/// whether the other's end or its own comes first, the program should not have to ask.
#[cold]
pub(crate) fn follow(payload: &(dyn Any + Send), wait: Reason) {
    let me = current::me();
    if payload.is::<Cancelled>() && deliverable(&me) && verdict(&me).is_some() {
        cut_off(&me, Some(wait));
    }
}

/// Runs `f` in `region`. `Err`: the region has ended before `f`.
pub(crate) fn within<T>(region: &Region, f: impl FnOnce() -> T) -> Result<T, Box<Cancelled>> {
    let me = current::me();
    during(&me, region, || catch_unwind(AssertUnwindSafe(f))).map_err(|payload| {
        match payload.downcast::<Cancelled>() {
            Ok(cancelled) if cancelled.is_for(region) => cancelled,
            Ok(cancelled) => resume_unwind(cancelled),
            Err(payload) => resume_unwind(payload),
        }
    })
}

/// Runs `f`, which does not unwind, in `region` of `me`, the current thread.
pub(crate) fn during<T>(me: &Header, region: &Region, f: impl FnOnce() -> T) -> T {
    /// A frame without one would leave a region entered that is gone.
    struct NoWayOut;

    impl Drop for NoWayOut {
        fn drop(&mut self) {
            crate::os::abort_with("a region was left by unwinding");
        }
    }

    let guard = NoWayOut;
    // SAFETY: S1: it is left below, on the one way out; the reference keeps it where it is.
    unsafe { region.enter(me) };
    let value = f();
    region.leave(me);
    std::mem::forget(guard);
    value
}

/// What an arm of a `join` takes over from the thread that it works for: the region whose deadline
/// comes first, and in the lowest bit, which no address has, whether cancellations are kept away.
/// Null, most likely: nothing.
#[derive(Clone, Copy)]
pub(super) struct Legacy(*const Region);

impl Legacy {
    /// That of `me`, the current thread.
    #[inline(always)]
    pub(super) fn of(me: &Header) -> Legacy {
        if me.limits.are_none() && !std::thread::panicking() {
            return Legacy(ptr::null());
        }
        Legacy::of_limited(me)
    }

    #[cold]
    fn of_limited(me: &Header) -> Legacy {
        let sheltered = !deliverable(me) || me.limits.is_sheltered();
        Legacy(region::inherited(me).map_addr(|address| address | usize::from(sheltered)))
    }

    /// Whether cancellations are kept away.
    pub(super) fn is_sheltered(self) -> bool {
        self.0.addr() & 1 != 0
    }

    fn nearest(self) -> *const Region {
        self.0.map_addr(|address| address & !1)
    }

    /// Runs `f`, an arm, on a thread of its own.
    ///
    /// # Safety
    /// S1: the thread whose legacy it is waits for `f` in the same regions.
    #[inline]
    pub(super) unsafe fn run<T>(self, f: impl FnOnce() -> T) -> T {
        if self.0.is_null() {
            return f();
        }
        // SAFETY: S1 is ours of the same number.
        unsafe { self.run_within(f) }
    }

    /// # Safety
    /// S1: as for [`Legacy::run`].
    #[cold]
    unsafe fn run_within<T>(self, f: impl FnOnce() -> T) -> T {
        let me = current::me();
        // SAFETY: S1: the owner is in the region until it has seen the end of `f` (S1).
        let heir = unsafe { Region::heir_of(self.nearest()) };
        let run = || during(&me, &heir, || catch_unwind(AssertUnwindSafe(f)));
        let result = match self.is_sheltered() {
            true => during(&me, &Region::shield(Location::caller()), run),
            false => run(),
        };
        result.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

/// Whether cancellations from above find `me`: it is no scope's child, or was entered as one.
#[inline(always)]
pub(super) fn is_in_family(me: &Header) -> bool {
    // ORDERING: Relaxed; a thread that was entered stays so, and this is the thread itself.
    me.scope.get().is_null() || me.linked.load(Ordering::Relaxed)
}

/// Makes a scope's child findable for cancellations from above, once.
#[inline(always)]
pub(super) fn enter_family(me: &Header) {
    if !is_in_family(me) {
        enter_family_first(me);
    }
}

#[cold]
fn enter_family_first(me: &Header) {
    for (late, reason) in family::enter_lists(me) {
        door::cancel(&late, &reason);
    }
}

/// Why `me`, the current thread, whose closure is dropped unrun, was not to begin; `None`: it could
/// not.
pub(crate) fn why_unstarted() -> Option<CancelReason> {
    let me = current::me();
    let core = Core::current().filter(|core| core.cancels_all(&me));
    born_cancelled(&me, core.map(|core| &*core.shared))
}

/// Why a thread that is about to begin shall not: it was cancelled, by its handle or with others,
/// or its deadline has passed.
/// `ended` is the runtime, if it is shut down.
#[inline(always)]
pub(super) fn born_cancelled(header: &Header, ended: Option<&Shared>) -> Option<CancelReason> {
    // SAFETY: a scope outlives its children.
    let scope = unsafe { header.scope.get().as_ref() };
    // A thread in no scope has nobody else to be cancelled with.
    let by_others = scope.is_some_and(|scope| scope.may_be_called_off() || scope.has_legacy());
    if by_others || ended.is_some() || header.state.is_cancelled() {
        return born_cancelled_with_others(header, ended);
    }
    None
}

#[cold]
#[inline(never)]
fn born_cancelled_with_others(header: &Header, ended: Option<&Shared>) -> Option<CancelReason> {
    if header.state.is_cancelled() {
        return Some(reason(header, Verdict::Thread));
    }
    if let Some(shared) = ended
        && !header.is_kept()
    {
        return Some(CancelReason::shutdown(&shared.config.name));
    }
    // SAFETY: a scope outlives its children.
    let scope = unsafe { header.scope.get().as_ref() }?;
    scope.called_off().or_else(|| late(header).map(Region::reason))
}
