//! How a green thread runs from its first turn to its end.
//!
//! ```text
//!   1 spawn ──▶ 2 run ──▶ 3 the closure ──▶ 4 thread-locals ──▶ 5 outcome ──▶ 6 FINISHED
//!   (spawn.rs)  (here)     waits at door     dropped             kept or       joiner woken,
//!                                                                 dropped       scope left
//! ```
//!
//! All of it happens on a fiber at home, so user code (closure, destructors, payloads) may wait.
//! After step 6 the header belongs to whoever still counts it, and no user code runs any more.
//! The same steps end a kernel thread of the 1:1 mapping; see `one_to_one`.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::record::{self, Event};
use crate::sched::door;
use crate::sched::worker::{Core, Counters};
use crate::task::family::{self, ScopeData};
use crate::task::packet::{Cancelled, Dropped};
use crate::task::state::AtEnd;
use crate::task::{Header, HeaderRef, Sequence, current};

/// Runs a thread that has not started, to its end, as the current thread of this worker: on a
/// fiber of its own, or in place on its parent's, which is the current thread again afterwards.
pub(crate) fn run(core: &Core, thread: NonNull<Header>) {
    let before = current::green();
    record::event(if before.is_null() { Event::Start } else { Event::InPlace });
    // SAFETY: the scheduler's reference is ours until `finish` gives it up.
    let header = unsafe { thread.as_ref() };
    header.in_place.set(!before.is_null());
    current::set_green(header);
    run_closure(header, core.cancelling.get(), take_refusal(core, header));
    // The closure may have waited, but a thread comes back to the worker that it left.
    finish(core, thread, before);
}

/// Steps 2 and 3: calls the closure, or drops it where the thread was cancelled before it began.
#[inline]
pub(crate) fn run_closure(header: &Header, cancelled: bool, refusal: Option<std::io::Error>) {
    if let Some(error) = refusal {
        refuse(header, Box::new(error));
    } else if cfg!(panic = "unwind") && (cancelled || is_born_cancelled(header)) {
        refuse(header, Cancelled::payload());
    } else {
        // SAFETY: the closure lies in the packet, and this is the only call of `run` or `refuse`.
        unsafe { (header.vtable.run)(header) };
    }
}

#[cold]
fn refuse(header: &Header, payload: Box<dyn Any + Send>) {
    // SAFETY: as in `run_closure`.
    unsafe { (header.vtable.refuse)(header, payload) };
}

/// Cancelled before the first turn, by its handle or with its parent.
#[inline]
fn is_born_cancelled(header: &Header) -> bool {
    if header.state.is_cancelled() {
        return true;
    }
    // SAFETY: a scope outlives its children.
    let scope = unsafe { header.scope.get().as_ref() };
    scope.is_some_and(|scope| scope.parent().state.is_cancelled())
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
    Counters::add(&core.remote().counters.finished, 1);
    if std::ptr::eq(core.until.get(), thread.as_ptr()) {
        core.stopped.set(true);
        core.forbid_short_turns();
    }
    // SAFETY: S1: the thread has ended just now.
    unsafe { announce_end(thread, scope, at_end) };
}

/// Steps 4 and 5, up to the change to FINISHED. The last user code of the thread runs here.
///
/// `before_end` is called right before that change, for after it the header may be gone. If the
/// handle goes at that very moment, user code runs once more: then `go_on` is called, and
/// `before_end` a second time.
#[inline]
pub(crate) fn end_user_code(header: &Header, before_end: impl Fn(), go_on: impl FnOnce()) -> AtEnd {
    if let Some(extra) = header.extra() {
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
pub(crate) fn note_dropped(header: &Header, dropped: Dropped) {
    // SAFETY: called by the child before it leaves the scope, or by its handle, which the scope's
    // body owns.
    if let (Dropped::Panic, Some(scope)) = (dropped, unsafe { header.scope.get().as_ref() }) {
        scope.note_panic();
    }
}

/// Step 6: tells those who wait for the end, and gives up what references are left to the
/// scheduler. Touches the scope last.
///
/// # Safety
/// S1: `at_end` is what the end of `thread` has given just now, and `scope` is the thread's.
#[inline]
pub(crate) unsafe fn announce_end(thread: NonNull<Header>, scope: *const ScopeData, at_end: AtEnd) {
    match at_end {
        // The header may be gone already.
        AtEnd::LeftToHandle => (),
        AtEnd::WakeJoiner => {
            // SAFETY: the scheduler's reference is still ours.
            wake_joiner(unsafe { thread.as_ref() });
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
}

/// Wakes whoever has registered for the end of the thread.
pub(crate) fn wake_joiner(header: &Header) {
    // ORDERING: Acquire; the change to FINISHED has seen JOINER, which published both fields.
    let joiner = header.joiner.load(Ordering::Acquire);
    // ORDERING: Relaxed; as above.
    let sequence = Sequence::from_bits(header.joiner_sequence.load(Ordering::Relaxed));
    if let Some(joiner) = NonNull::new(joiner) {
        // SAFETY: the header counts a reference to its joiner until it is freed.
        door::wake_joiner(unsafe { joiner.as_ref() }, sequence);
    }
}

/// Registers the current thread as the joiner of `target`. False: `target` has finished.
///
/// The reference that is stored stays with the target's header, so a joiner that is cancelled has
/// nothing to take back: a late wake carries an old number.
pub(crate) fn register_joiner(target: &Header, joiner: HeaderRef, sequence: Sequence) -> bool {
    // ORDERING: Relaxed; published by `register_joiner`.
    target.joiner_sequence.store(sequence.to_bits(), Ordering::Relaxed);
    // ORDERING: Relaxed; one handle, so one joiner: nobody else writes the field.
    let old = target.joiner.load(Ordering::Relaxed);
    debug_assert!(old.is_null(), "a thread is joined once");
    // ORDERING: Relaxed; as above.
    target.joiner.store(joiner.into_raw().as_ptr(), Ordering::Relaxed);
    target.state.register_joiner()
}

/// The same for the joiner that is registered already, was woken for nothing, and begins a new
/// wait. Should `target` end meanwhile and read the number of the old one, its wake is dropped, and
/// this registration finds it finished.
pub(crate) fn register_joiner_again(target: &Header, sequence: Sequence) -> bool {
    // ORDERING: Relaxed; published by `register_joiner`.
    target.joiner_sequence.store(sequence.to_bits(), Ordering::Relaxed);
    target.state.register_joiner()
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
