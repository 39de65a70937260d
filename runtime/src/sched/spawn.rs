//! The way of a new thread from the program to a queue, for all three mappings.
//!
//! Whoever spawns says where: on a runtime. What is current decides how: a worker of that runtime
//! uses its own deque, everybody else the injector, and under 1:1 a kernel thread is started. The
//! call never waits, never switches and runs no user code, save the drop of a closure that could
//! not be taken.

use std::io;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::record::{self, Event};
use crate::sched::config::Mapping;
use crate::sched::job::Job;
use crate::sched::one_to_one;
use crate::sched::shared::{Phase, Shared};
use crate::sched::worker::{Core, Counters};
use crate::stack::Class;
use crate::task::header::Birth;
use crate::task::numbers;
use crate::task::packet::{self, VTable};
use crate::task::scope::ScopeData;
use crate::task::{Header, HeaderRef, Kind, State, current};

/// What is asked of a new thread.
pub(crate) struct Order {
    pub(crate) name: Option<Box<str>>,
    /// Usable bytes; `None`: the runtime's default.
    pub(crate) stack_size: Option<usize>,
    /// The scope that waits for it; null for none.
    pub(crate) scope: *const ScopeData,
    /// Whether it must stay on the spawning worker from the start.
    pub(crate) local: bool,
    pub(crate) site: &'static Location<'static>,
}

impl Order {
    /// A thread without a name, on a default stack, in no scope.
    pub(crate) fn plain(site: &'static Location<'static>) -> Order {
        Order { name: None, stack_size: None, scope: ptr::null(), local: false, site }
    }
}

/// The runtime to which the current thread belongs; for a kernel thread of no runtime the default
/// one, which is started if need be.
pub(crate) fn current_runtime() -> io::Result<Arc<Shared>> {
    match member_runtime() {
        Some(shared) => Ok(shared),
        None => crate::sched::default::get(),
    }
}

/// The runtime to which the current thread belongs, if it belongs to one.
pub(crate) fn member_runtime() -> Option<Arc<Shared>> {
    if let Some(core) = Core::current() {
        return Some(core.shared.clone());
    }
    current::kernel_runtime()?.downcast().ok()
}

/// Starts a thread on the runtime of the current one.
///
/// # Safety
/// S1: what `f` borrows, and what `T` borrows, outlives the thread: both are `'static`, or
/// `order.scope` is the scope that waits for it.
#[inline]
pub(crate) unsafe fn spawn<F, T>(order: Order, f: F) -> io::Result<HeaderRef>
where
    F: FnOnce() -> T,
{
    if let Some(core) = Core::current() {
        // The fast way: the runtime need not even be counted.
        // SAFETY: S1 is ours of the same number.
        return unsafe { spawn_at_home(core, order, f) };
    }
    let shared = current_runtime()?;
    // SAFETY: as above.
    unsafe { spawn_on(&shared, order, f) }
}

/// Starts a thread on `shared`.
///
/// # Safety
/// S1: as for [`spawn`].
pub(crate) unsafe fn spawn_on<F, T>(
    shared: &Arc<Shared>,
    order: Order,
    f: F,
) -> io::Result<HeaderRef>
where
    F: FnOnce() -> T,
{
    if let Some(core) = Core::current()
        && ptr::eq(Arc::as_ptr(&core.shared), Arc::as_ptr(shared))
    {
        // SAFETY: S1 is ours of the same number.
        return unsafe { spawn_at_home(core, order, f) };
    }
    let class = class_for(shared, &order)?;
    let (vtable, boxed) = (packet::vtable::<F, T>(), packet::needs_box::<F, T>());
    let (scope, stack_size) = (order.scope, order.stack_size);
    shared.admit_from_outside()?;
    if shared.config.mapping == Mapping::OneToOne {
        let thread = make(Kind::Kernel, numbers::single_id(), class, order, vtable, boxed);
        // SAFETY: S1: made for the same types. S2: S1 is ours.
        let handle = unsafe { fill::<F, T>(thread, scope, f) };
        record::event(Event::Spawn);
        return one_to_one::start(shared, thread, handle, stack_size);
    }
    // Not from the cache of the caller's worker: that may be a seeded run, which has numbers of its
    // own for its own threads.
    let id = shared.seeded.as_ref().map_or_else(numbers::single_id, |run| run.outside_id());
    if let Some(run) = &shared.seeded
        && !(shared.many_to_one.is_owner() || shared.many_to_one.is_unowned())
    {
        run.disturb("a kernel thread from outside has spawned a thread");
    }
    let thread = make(Kind::Green, id, class, order, vtable, boxed);
    // SAFETY: as above.
    let handle = unsafe { fill::<F, T>(thread, scope, f) };
    record::event(Event::Spawn);
    shared.inject(Job::thread(thread));
    Ok(handle)
}

/// Starts a thread on the worker that the caller is.
///
/// What depends on the closure's type is small and goes to the caller; the rest is two functions
/// that all share.
#[inline(always)]
unsafe fn spawn_at_home<F, T>(core: &Core, order: Order, f: F) -> io::Result<HeaderRef>
where
    F: FnOnce() -> T,
{
    let (vtable, boxed) = (packet::vtable::<F, T>(), packet::needs_box::<F, T>());
    let (scope, local) = (order.scope, order.local);
    let thread = if order.name.is_none() && order.stack_size.is_none() {
        make_plain_at_home(core, vtable, boxed, order.site)
    } else {
        make_at_home(core, vtable, boxed, order)
    }?;
    // SAFETY: S1: made for the same types. S2: S1 of `spawn`.
    let handle = unsafe { fill::<F, T>(thread, scope, f) };
    publish_at_home(core, thread, local);
    Ok(handle)
}

/// The header of a thread that wants nothing special.
fn make_plain_at_home(
    core: &Core,
    vtable: &'static VTable,
    boxed: bool,
    site: &'static Location<'static>,
) -> io::Result<NonNull<Header>> {
    core.charge_spawn()?;
    Counters::add(&core.remote().counters.spawned, 1);
    Ok(Header::allocate_from(
        &core.blocks,
        Birth {
            kind: Kind::Green,
            state: State::unstarted(true),
            class: core.shared.class,
            vtable,
            site,
            name: None,
            boxed,
            refs: 2,
            id: core.blocks.next_id(),
        },
    ))
}

#[cold]
fn make_at_home(
    core: &Core,
    vtable: &'static VTable,
    boxed: bool,
    order: Order,
) -> io::Result<NonNull<Header>> {
    let class = class_for(&core.shared, &order)?;
    core.charge_spawn()?;
    Counters::add(&core.remote().counters.spawned, 1);
    Ok(make(Kind::Green, core.blocks.next_id(), class, order, vtable, boxed))
}

fn publish_at_home(core: &Core, thread: NonNull<Header>, local: bool) {
    record::event(Event::Spawn);
    if local {
        core.ready.push(thread);
        return;
    }
    // A child of a scope is waited for by its spawner, who may run it in place.
    if core.over_share.get() {
        // SAFETY: it was made just now, and nobody else knows it.
        let is_free = unsafe { thread.as_ref() }.scope.get().is_null();
        if is_free && core.hand_to_a_sleeper(thread) {
            return;
        }
    }
    core.offer(Job::thread(thread));
}

#[inline]
fn class_for(shared: &Shared, order: &Order) -> io::Result<Class> {
    match order.stack_size {
        None => Ok(shared.class),
        Some(bytes) => Class::for_usable(bytes),
    }
}

/// Makes the header, with the scheduler's reference and the handle's.
fn make(
    kind: Kind,
    id: NonZeroU64,
    class: Class,
    order: Order,
    vtable: &'static VTable,
    boxed: bool,
) -> NonNull<Header> {
    Header::allocate(Birth {
        kind,
        state: State::unstarted(true),
        class,
        vtable,
        site: order.site,
        name: order.name,
        boxed,
        refs: 2,
        id,
    })
}

/// Stores the closure in a new header and enters it into its scope. Gives the handle's reference.
///
/// # Safety
/// S1: the header was made for these types and is not published. S2: `scope` is null or open, and
/// waits for the thread before what `f` and `T` borrow ends.
#[inline(always)]
unsafe fn fill<F, T>(thread: NonNull<Header>, scope: *const ScopeData, f: F) -> HeaderRef
where
    F: FnOnce() -> T,
{
    // SAFETY: just made, and not published (S1).
    let header = unsafe { thread.as_ref() };
    // SAFETY: S1: made for the same types (S1).
    unsafe { packet::store_closure::<F, T>(header, f) };
    // SAFETY: the scope is open (S2).
    if let Some(scope) = unsafe { scope.as_ref() } {
        header.scope.set(scope);
        header.limits.set_bounded(!scope.nearest().is_null());
        if scope.is_kept() {
            header.extra_or_new().kept.set(true);
        }
        scope.enter();
    }
    // SAFETY: S1: the second of the two references.
    unsafe { HeaderRef::from_owned(thread) }
}

/// Takes down a thread that could not be started. Its closure is dropped here, by the caller of
/// the spawn, and its scope left.
pub(crate) fn unmake(thread: NonNull<Header>, handle: HeaderRef) {
    // SAFETY: the closure lies in the packet and was not run.
    unsafe { (handle.vtable.refuse)(&handle, Box::new(())) };
    // SAFETY: `refuse` has left an outcome.
    unsafe { (handle.vtable.drop_outcome)(&handle) };
    // SAFETY: the scope is open, for its owner is the caller of the spawn.
    if let Some(scope) = unsafe { handle.scope.get().as_ref() } {
        scope.unenter();
    }
    drop(handle);
    // SAFETY: S1: the scheduler's reference, which no scheduler got.
    unsafe { Header::release(thread) };
}

/// Whether spawns of the current thread are born cancelled; for the 1:1 mapping, which has no
/// worker to say so.
pub(crate) fn is_shutting_down(shared: &Shared) -> bool {
    shared.phase() >= Phase::Cancelling
}
