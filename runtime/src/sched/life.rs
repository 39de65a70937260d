//! How a green thread runs from its first turn to its end.
//!
//! ```text
//!   1 spawn ──▶ 2 run ──▶ 3 the closure ──▶ 4 thread-locals ──▶ 5 outcome ──▶ 6 FINISHED
//!   (spawn.rs)  (here)     waits at door     dropped             kept or       joiner woken,
//!                                                                 dropped       scope left
//! ```
//!
//! All of it happens on a fiber at home, so user code (closure, destructors, payloads) may wait.
//! After step 6 the header belongs to whoever still counts it, and no user code runs any more, save
//! the waker of a future that waits for the end; see `make_courier`.
//! The same steps end a kernel thread of the 1:1 mapping; see `one_to_one`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;

use crate::record::{self, Event};
use crate::sched::cut::{self, Shield};
use crate::sched::door;
use crate::sched::shared::Shared;
use crate::sched::worker::{Core, Counters};
use crate::task::family;
use crate::task::header::Birth;
use crate::task::packet::{self, Dropped};
use crate::task::scope::ScopeData;
use crate::task::state::AtEnd;
use crate::task::{Cancelled, Header, HeaderRef, Kind, Sequence, State, current};

/// Runs a thread that has not started, to its end, as the current thread of this worker: on a
/// fiber of its own, or in place on its parent's, which is the current thread again afterwards.
pub(crate) fn run(core: &Core, thread: NonNull<Header>) {
    let before = current::green();
    record::event(if before.is_null() { Event::Start } else { Event::InPlace });
    // SAFETY: the scheduler's reference is ours until `finish` gives it up.
    let header = unsafe { thread.as_ref() };
    header.in_place.set(!before.is_null());
    current::set_green(header);
    let ended = core.cancelling.get().then_some(&*core.shared);
    run_closure(header, ended, take_refusal(core, header));
    // The closure may have waited, but a thread comes back to the worker that it left.
    finish(core, thread, before);
}

/// Steps 2 and 3: calls the closure, or drops it where the thread was cancelled before it began.
#[inline]
///
/// `ended` is the runtime, if it is shut down.
pub(crate) fn run_closure(
    header: &Header,
    ended: Option<&Shared>,
    refusal: Option<std::io::Error>,
) {
    if let Some(error) = refusal {
        refuse(header, Box::new(error));
    } else if cfg!(panic = "unwind")
        && let Some(reason) = cut::born_cancelled(header, ended)
    {
        refuse(header, Cancelled::unstarted(reason));
    } else {
        // SAFETY: the closure lies in the packet, and this is the only call of `run` or `refuse`.
        unsafe { (header.vtable.run)(header) };
    }
}

#[cold]
fn refuse(header: &Header, payload: Box<dyn Any + Send>) {
    // The closure has destructors, which may wait, and the thread is called off already.
    let _shield = Shield::raise();
    // SAFETY: as in `run_closure`.
    unsafe { (header.vtable.refuse)(header, payload) };
}

/// Steps 4 to 6 of a green thread; gives up the scheduler's reference. `before` is the current
/// thread from the end on.
#[inline]
fn finish(core: &Core, thread: NonNull<Header>, before: *const Header) {
    // SAFETY: the scheduler's reference is still ours.
    let header = unsafe { thread.as_ref() };
    let scope = header.scope.get();
    let before_end = || {
        core.unregister(header);
        current::set_green(before);
    };
    let at_end = end_user_code(header, before_end, || current::set_green(header));
    record::event(Event::Finish);
    let courier = match at_end {
        // The header is there, for the scheduler's reference is still ours.
        AtEnd::WakeJoiner if header.joiner.is_waker() => Some(make_courier(core, header.site)),
        _ => None,
    };
    Counters::add(&core.remote().counters.finished, 1);
    if std::ptr::eq(core.until.get(), thread.as_ptr()) {
        core.stopped.set(true);
        core.forbid_short_turns();
    }
    // SAFETY: S1: the thread has ended just now.
    let waker = unsafe { announce_end(thread, scope, at_end) };
    if let (Some(courier), Some(waker)) = (courier, waker) {
        call_as(courier, core, waker, before);
    }
}

/// Makes a thread to call a waker: the one that has ended is none any more, and a waker is user
/// code, which may wait. Counted before the end of the other one is, or the runtime could end
/// between the two.
#[cold]
fn make_courier(core: &Core, site: &'static Location<'static>) -> NonNull<Header> {
    Counters::add(&core.remote().counters.spawned, 1);
    Header::allocate_from(
        &core.blocks,
        Birth {
            kind: Kind::Green,
            state: State::unstarted(false),
            class: core.shared.class,
            vtable: &packet::NO_PACKET,
            site,
            name: None,
            boxed: false,
            // The scheduler's, and one for the handle that it does not have.
            refs: 2,
            id: core.blocks.next_id(),
        },
    )
}

/// Calls `waker` as `courier`, a new thread, on the fiber of the thread that has ended.
#[cold]
#[inline(never)]
fn call_as(courier: NonNull<Header>, core: &Core, waker: Waker, before: *const Header) {
    // SAFETY: the scheduler's reference is ours until the end below.
    let header = unsafe { courier.as_ref() };
    // The wake is owed, whoever is cancelled.
    header.limits.raise_shield();
    header.in_place.set(!before.is_null());
    current::set_green(header);
    call_quietly(waker);
    // The waker may have waited, but a thread comes back to the worker that it left.
    let before_end = || {
        core.unregister(header);
        current::set_green(before);
    };
    let at_end = end_user_code(header, before_end, || ());
    Counters::add(&core.remote().counters.finished, 1);
    // SAFETY: S1: it has ended just now.
    let none = unsafe { announce_end(courier, ptr::null(), at_end) };
    debug_assert!(none.is_none(), "nobody joins a courier");
}

/// Calls a waker. A panic of it is its own affair: the hook has reported it, and the thread that
/// has ended has no part in it.
pub(crate) fn call_quietly(waker: Waker) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        packet::drop_quietly(payload);
    }
}

/// Steps 4 and 5, up to the change to FINISHED. The last user code of the thread runs here.
///
/// `before_end` is called right before that change, for after it the header may be gone. If the
/// handle goes at that very moment, user code runs once more: then `go_on` is called, and
/// `before_end` a second time.
#[inline]
pub(crate) fn end_user_code(header: &Header, before_end: impl Fn(), go_on: impl FnOnce()) -> AtEnd {
    if let Some(extra) = header.extra() {
        let _shield = cut::shield_of_end(header);
        extra.locals.run_destructors();
    }
    if header.state.has_handle() {
        family::leave_list(header);
        before_end();
        if let Ok(at_end) = header.state.finish_for_handle() {
            return at_end;
        }
        go_on();
    }
    // SAFETY: the outcome lies there, and the handle that could have taken it is gone.
    let dropped = unsafe { (header.vtable.drop_outcome)(header) };
    note_dropped(header, dropped);
    family::leave_list(header);
    before_end();
    header.state.finish()
}

/// Tells the scope that an outcome was dropped unseen.
#[inline]
pub(crate) fn note_dropped(header: &Header, dropped: Dropped) {
    if dropped != Dropped::Value {
        // SAFETY: called by the child before it leaves the scope, or by its handle, which the
        // scope's body owns.
        let scope = unsafe { header.scope.get().as_ref() };
        if let Some(scope) = scope {
            scope.note_unseen(dropped);
        }
    }
}

/// Step 6: tells those who wait for the end, and gives up what references are left to the
/// scheduler. Touches the scope last. A waker is left to the caller, who calls it.
///
/// # Safety
/// S1: `at_end` is what the end of `thread` has given just now, and `scope` is the thread's.
#[must_use]
#[inline]
pub(crate) unsafe fn announce_end(
    thread: NonNull<Header>,
    scope: *const ScopeData,
    at_end: AtEnd,
) -> Option<Waker> {
    let mut waker = None;
    match at_end {
        // The header may be gone already.
        AtEnd::LeftToHandle => (),
        AtEnd::WakeJoiner => {
            // SAFETY: the scheduler's reference is still ours.
            let header = unsafe { thread.as_ref() };
            // SAFETY: S1: it has ended just now (S1).
            waker = unsafe { wake_joiner(header) };
            // SAFETY: S1: as above; this is its last use.
            unsafe { Header::release(thread) };
        }
        // SAFETY: S1: the scheduler's reference, and the one that the handle has given; this is
        // their last use.
        AtEnd::Alone => unsafe { Header::release_both(thread) },
    }
    if !scope.is_null() {
        // SAFETY: S1: the thread has entered the scope and leaves it once, now.
        if let Some((parent, sequence)) = unsafe { ScopeData::leave(scope) } {
            door::wake_joiner(&parent, sequence);
        }
    }
    waker
}

/// Wakes the thread that has registered for the end of this one. If a waker has been, it is the
/// caller's to call.
///
/// # Safety
/// S1: the end of the thread has given [`AtEnd::WakeJoiner`] just now.
#[must_use]
pub(crate) unsafe fn wake_joiner(header: &Header) -> Option<Waker> {
    if header.joiner.is_waker() {
        // SAFETY: S1: the place is the ending side's (S1).
        return unsafe { header.joiner.take_waker() };
    }
    // SAFETY: S1: as above, and there is no waker.
    if let Some((joiner, sequence)) = unsafe { header.joiner.thread() } {
        door::wake_joiner(joiner, sequence);
    }
    None
}

/// Registers the current thread as the joiner of `target`. False: `target` has finished.
///
/// The reference that is stored stays with the target's header, so a joiner that is cancelled has
/// nothing to take back: a late wake carries an old number.
pub(crate) fn register_joiner(target: &Header, joiner: HeaderRef, sequence: Sequence) -> bool {
    target.joiner.set_thread(joiner, sequence);
    target.state.register_joiner()
}

/// The same for the joiner that is registered already, was woken for nothing, and begins a new
/// wait. Should `target` end meanwhile and read the number of the old one, its wake is dropped, and
/// this registration finds it finished.
pub(crate) fn register_joiner_again(target: &Header, sequence: Sequence) -> bool {
    target.joiner.set_sequence(sequence);
    target.state.register_joiner()
}

/// Registers a waker for the end of `target`. `Err` gives it back: `target` has finished.
///
/// # Safety
/// S1: the caller owns the handle of `target`, and nobody is registered.
pub(crate) unsafe fn register_waker(target: &Header, waker: Waker) -> Result<(), Waker> {
    // SAFETY: S1: without a registration the place is the handle's (S1), and empty.
    unsafe { target.joiner.set_waker(waker) };
    if target.state.register_joiner() {
        return Ok(());
    }
    // SAFETY: S1: as above; the ending side has not seen it.
    Err(unsafe { target.joiner.take_waker() }.expect("it was put in above"))
}

/// Takes the waker back that is registered for the end of `target`. `None`: `target` has finished,
/// and calls it.
///
/// # Safety
/// S1: the caller owns the handle of `target`, and a waker is registered.
pub(crate) unsafe fn take_waker_back(target: &Header) -> Option<Waker> {
    if !target.state.take_back_joiner() {
        return None;
    }
    // SAFETY: S1: the place is the handle's again (S1).
    unsafe { target.joiner.take_waker() }
}

/// Remembers, until the thread's first turn a moment later, that it cannot have its stack.
pub(crate) fn note_refusal(header: &Header, error: std::io::Error) {
    // One cause refuses thousands; the first few lines tell it.
    static PRINTED: AtomicU32 = AtomicU32::new(0);
    // ORDERING: Relaxed; a limit.
    if PRINTED.fetch_add(1, Ordering::Relaxed) < REFUSALS_PRINTED {
        let name = header.name().unwrap_or("<unnamed>");
        eprintln!("thread '{name}' (spawned at {}) could not start: {error}", header.site);
    }
    let Some(core) = Core::current() else { return };
    core.refusal.set(Some((std::ptr::from_ref(header), error)));
}

/// How many threads that could not start are reported on stderr; all are to their joiners.
const REFUSALS_PRINTED: u32 = 8;

#[inline]
fn take_refusal(core: &Core, header: &Header) -> Option<std::io::Error> {
    let (thread, error) = core.refusal.take()?;
    debug_assert!(std::ptr::eq(thread, header));
    Some(error)
}
