//! Running a thread that has not started on the stack of the one that waits for it.
//!
//! At the end of a scope, and for `b` of `join(a, b)`, the parent has nothing else to do than to
//! wait for the child; so the child may run right there, without a stack of its own and without a
//! switch. Only own children are taken, and only from the young end of the deque: an unrelated
//! thread on the parent's stack could wait for a lock that the parent holds.
//!
//! Conditions: the parent is green, does not unwind, its stack pointer lies in its fiber's own
//! range, and at least half a default stack is left; that much is promised to every child.

use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sched::cut::Shield;
use crate::sched::door;
use crate::sched::job::Kind;
use crate::sched::life;
use crate::sched::worker::Core;
use crate::stack::{Class, Stack};
use crate::task::scope::ScopeData;
use crate::task::{Reason, WaitKind, current};

/// Where the next frames can go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// On the stack in use.
    Here,
    /// On another one: too little is left, or the stack in use is not ours.
    Elsewhere,
}

/// Whether threads run in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Policy {
    /// Where the conditions hold.
    Automatic = 0,
    /// Never; tests show by it that a program cannot tell.
    Never = 1,
    /// Wherever the child's own frames fit at all.
    Always = 2,
}

/// The policy that is forced on the process, in the low two bits, and above them the number of
/// seeded runs, whose workers choose themselves. One word, for the common case to be one load.
static POLICY: AtomicU32 = AtomicU32::new(0);
const FORCED: u32 = 0b11;
const CHOOSER: u32 = 0b100;

/// Overrules the conditions, in the whole process. A door for tests.
pub(crate) fn set_policy(policy: Policy) {
    // ORDERING: Relaxed throughout; a setting, made before the runtimes under test start.
    POLICY.fetch_and(!FORCED, Ordering::Relaxed);
    POLICY.fetch_or(policy as u32, Ordering::Relaxed);
}

/// Has [`policy`] ask the worker, for as long as it lives.
pub(crate) struct Chooser(());

impl Chooser {
    pub(crate) fn new() -> Chooser {
        // ORDERING: Relaxed; the worker that shall be asked is the caller.
        POLICY.fetch_add(CHOOSER, Ordering::Relaxed);
        Chooser(())
    }
}

impl Drop for Chooser {
    fn drop(&mut self) {
        // ORDERING: Relaxed; as above.
        POLICY.fetch_sub(CHOOSER, Ordering::Relaxed);
    }
}

#[inline]
pub(crate) fn policy() -> Policy {
    // ORDERING: Relaxed; as above.
    match POLICY.load(Ordering::Relaxed) {
        0 => Policy::Automatic,
        word => uncommon_policy(word & FORCED),
    }
}

#[cold]
fn uncommon_policy(forced: u32) -> Policy {
    match forced {
        1 => Policy::Never,
        2 => Policy::Always,
        _ => match Core::current().and_then(|core| core.seeded.as_ref()) {
            Some(run) if run.keeps_out_of_place() => Policy::Never,
            _ => Policy::Automatic,
        },
    }
}

/// Where the arms of a `join` go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// On the stack in use.
    Here,
    /// On another one, for want of room.
    Elsewhere,
    /// `b` gets a thread, for nothing shall run in place.
    Thread,
}

/// Passes the switch point at the begin of a `join`, and says where the arms go. `None`: no green
/// thread runs here, so nothing was done.
///
/// A `join` costs some 15 ns, which all of this is part of; so what nearly every call finds is one
/// straight line, and whatever is different goes the long way. That gives the worker back, for
/// nothing to be kept in a register, and so on the stack of every level, over a call that is rare.
// SUSPENDS
#[inline(always)]
pub(crate) fn place_of_arms<'a>() -> Option<(Place, &'a Core)> {
    let core = Core::current()?;
    let fiber = core.running_fiber()?;
    let me = current::running()?;
    // ORDERING: Relaxed; see `set_policy`.
    let passes = fiber.has_room(core.shared.in_place_bytes)
        && POLICY.load(Ordering::Relaxed) == Policy::Automatic as u32
        && door::pass_switch_point(core, me);
    Some(if passes { (Place::Here, core) } else { long_way_to_place(core) })
}

// SUSPENDS
#[cold]
#[inline(never)]
fn long_way_to_place(core: &Core) -> (Place, &Core) {
    // A green thread comes back to the worker that it left.
    door::switch_point();
    let place = match room(core) {
        Room::Here if policy() == Policy::Never => Place::Thread,
        Room::Here => Place::Here,
        Room::Elsewhere => Place::Elsewhere,
    };
    (place, core)
}

/// What `Always` demands. A panic with a backtrace took 23 KiB, and some frames come before it.
const LEAST_BYTES: usize = 64 << 10;

/// Whether half a default stack is left here.
#[inline]
pub(crate) fn room(core: &Core) -> Room {
    let remaining = core.running_fiber().map_or(0, crate::fiber::Fiber::remaining);
    if remaining >= core.shared.in_place_bytes {
        return Room::Here;
    }
    scarce(remaining)
}

#[cold]
fn scarce(remaining: usize) -> Room {
    if policy() == Policy::Always && remaining >= LEAST_BYTES {
        Room::Here
    } else {
        Room::Elsewhere
    }
}

/// A default stack that carries on for a fiber which has too little left.
pub(crate) struct Segment(Option<Stack>);

impl Segment {
    pub(crate) fn stack(&mut self) -> &mut Stack {
        self.0.as_mut().expect("taken by the drop only")
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let (Some(stack), Some(core)) = (self.0.take(), Core::current()) {
            core.give_stack(stack);
        }
    }
}

/// Takes a segment from the worker's pool.
pub(crate) fn segment(core: &Core) -> std::io::Result<Segment> {
    segment_of(core, core.shared.class)
}

/// The same of another class.
pub(crate) fn segment_of(core: &Core, class: Class) -> std::io::Result<Segment> {
    core.with_pool(|pool| pool.take(class)).map(|stack| Segment(Some(stack)))
}

/// Waits until all children of `scope`, which the current thread has opened, have ended; runs
/// those in place that nobody has started.
// SUSPENDS
pub(crate) fn end_scope(scope: &ScopeData, kind: WaitKind, site: &'static Location<'static>) {
    while !scope.is_empty() && run_one(scope) {}
    if scope.is_empty() {
        return;
    }
    scope.merge();
    // Shielded: the children are cancelled with their parent, and it has to see them end.
    let _shield = Shield::raise();
    while !scope.is_empty() {
        let pending = door::begin(false);
        if scope.announce_wait(pending.sequence()) {
            let mut reason = Reason::new(kind, site);
            reason.object = ptr::from_ref(scope).addr();
            pending.wait(reason, None);
        } else {
            pending.abandon();
        }
        scope.retract_wait();
    }
}

/// Runs the child on top of the deque, if there is one. False: there is none, or it may not run
/// here.
fn run_one(scope: &ScopeData) -> bool {
    let Some(core) = Core::current() else { return false };
    if core.running_fiber().is_none()
        || std::thread::panicking()
        || policy() == Policy::Never
        || room(core) != Room::Here
    {
        return false;
    }
    let Some(job) = core.deque.pop() else { return false };
    if let Kind::Thread(thread) = job.kind() {
        // SAFETY: an unstarted thread lives until it has run.
        let header = unsafe { thread.as_ref() };
        if ptr::eq(header.scope.get(), scope) && header.class == core.shared.class {
            if let Some(run) = &core.seeded {
                run.note_in_place(core, header);
            }
            life::run(core, thread);
            // Each child counts as a turn of the worker: its neighbours must get theirs too.
            if core.charge() {
                if let Some(run) = &core.seeded {
                    run.note_drawn_yield();
                }
                core.suspend_yielding(scope.parent());
            }
            return true;
        }
    }
    // Put back, it may have been looked for meanwhile: it counts as new work.
    core.offer(job);
    false
}
