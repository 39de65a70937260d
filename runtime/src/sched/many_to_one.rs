//! The N:1 mapping: the kernel thread that calls `run` is the only worker.
//!
//! Its threads may hold what belongs to that kernel thread (`Rc`, references into thread-locals),
//! so nobody else may ever run them: the first kernel thread that runs an N:1 runtime owns it
//! from then on. Others may spawn onto it and wake its threads. A runtime dropped by another one
//! is only marked; its owner carries the shutdown out, at the latest when it ends.
//!
//! The owner must not end before its threads: other kernel threads may borrow their thread-locals.
//! When `run` returns and some are left, the owner registers a destructor that shuts the runtime
//! down ahead of the thread-locals that they used.
//!
//! That kernel thread is the program's, and a worker only while it runs the loop. What it was
//! before it is again afterwards: its signal stack, and its timer slack, which is as small
//! meanwhile as that of workers that are ours, or each sleep of an N:1 program would be up to 50 µs
//! later than under M:N.

use std::cell::{Cell, UnsafeCell};
use std::io;
use std::num::NonZeroU64;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crossbeam_deque::Worker as Deque;

use crate::os;
use crate::sched::choices;
use crate::sched::job::Job;
use crate::sched::shared::{Phase, Shared};
use crate::sched::shutdown;
use crate::sched::worker::{AnyWorker, Core};
use crate::task::{Header, current};

/// The single worker, and whose it is.
pub(crate) struct ManyToOne {
    /// The number of the owner's header; 0 while nobody owns it.
    owner: AtomicU64,
    /// The number of the kernel thread that built the runtime.
    builder: NonZeroU64,
    /// The owner's alone.
    deque: UnsafeCell<Option<Deque<Job>>>,
    worker: UnsafeCell<Option<Box<dyn AnyWorker>>>,
    watched: Cell<bool>,
}

// SAFETY: the cells are touched by the owner alone, save `deque`, which is set before the runtime
// is shared and taken by the first owner; `owner` orders the two.
unsafe impl Sync for ManyToOne {}
// SAFETY: as above; a worker that was made is dropped by its owner, see `shutdown`.
unsafe impl Send for ManyToOne {}

/// What this kernel thread was before it became a worker.
struct Seat {
    worker: *const (),
    /// How late its sleeps might end; `None`: no later than ours.
    slack_ns: Option<u64>,
    _stack: os::AltStack,
}

impl ManyToOne {
    pub(crate) fn new() -> ManyToOne {
        ManyToOne {
            owner: AtomicU64::new(0),
            builder: current::kernel_id(),
            deque: UnsafeCell::new(None),
            worker: UnsafeCell::new(None),
            watched: Cell::new(false),
        }
    }

    /// Leaves the deque for the first owner.
    ///
    /// # Safety
    /// S1: the runtime is not shared yet.
    pub(crate) unsafe fn provide(&self, deque: Deque<Job>) {
        // SAFETY: nobody else knows the runtime (S1).
        unsafe { *self.deque.get() = Some(deque) };
    }

    /// Whether the current kernel thread owns the runtime.
    pub(crate) fn is_owner(&self) -> bool {
        // ORDERING: Acquire; pairs with `claim`.
        self.owner.load(Ordering::Acquire) == current::kernel_id().get()
    }

    /// Whether the current kernel thread may run the runtime because it waits for one of its
    /// threads: as its owner, or as its builder as long as there is no owner.
    pub(crate) fn is_run_by_joins_here(&self) -> bool {
        self.is_owner() || self.is_unowned() && self.builder == current::kernel_id()
    }

    /// Whether nobody owns it yet.
    pub(crate) fn is_unowned(&self) -> bool {
        // ORDERING: Acquire; as above.
        self.owner.load(Ordering::Acquire) == 0
    }

    /// Makes the current kernel thread the owner, if there is none.
    pub(crate) fn claim(&self, shared: &Arc<Shared>) -> bool {
        let me = current::kernel_id().get();
        // ORDERING: AcqRel; Acquire sees the deque.
        if let Err(owner) = self.owner.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire)
        {
            return owner == me;
        }
        // SAFETY: the owner's, and that is we.
        let deque = unsafe { &mut *self.deque.get() }.take().expect("provided at the start");
        let worker = choices::worker(Core::new(shared.clone(), 0, deque));
        // SAFETY: as above.
        unsafe { *self.worker.get() = Some(worker) };
        shared.hooks.worker_starts();
        true
    }

    /// The worker.
    ///
    /// # Safety
    /// S1: the caller is the owner.
    pub(crate) unsafe fn worker(&self) -> Option<&dyn AnyWorker> {
        // SAFETY: the owner's (S1), and taken out only when the runtime has ended.
        unsafe { &*self.worker.get() }.as_deref()
    }

    /// Drops the worker, whose threads have all ended. It holds a reference to `shared`, which
    /// this cycle would keep alive for ever.
    ///
    /// # Safety
    /// S1: the caller is the owner and is not inside the worker's loop.
    pub(crate) unsafe fn take_worker(&self) -> Option<Box<dyn AnyWorker>> {
        // SAFETY: S1.
        unsafe { &mut *self.worker.get() }.take()
    }
}

/// Why this kernel thread cannot run the runtime's threads; `None`: it can.
pub(crate) fn obstacle(shared: &Shared) -> Option<String> {
    let name = &shared.config.name;
    if !current::worker().is_null() {
        return Some(format!(
            "the n:1 runtime '{name}' cannot be run inside a thread of another runtime: its \
             threads would be tied to a worker that is not theirs"
        ));
    }
    if !shared.many_to_one.is_unowned() && !shared.many_to_one.is_owner() {
        return Some(format!(
            "the n:1 runtime '{name}' belongs to the first kernel thread that ran it; its threads \
             cannot run on another one"
        ));
    }
    if shared.phase() >= Phase::Ended {
        return Some(format!("the runtime '{name}' has shut down; it cannot be run any more"));
    }
    None
}

/// Makes the current kernel thread the worker until `until` has finished; null: until the runtime
/// has ended.
pub(crate) fn run_until(shared: &Arc<Shared>, until: *const Header) -> io::Result<()> {
    run(shared, until, |_| ())?;
    if shared.live() != 0 && !until.is_null() {
        watch_exit(shared);
    }
    Ok(())
}

/// Cancels everything and runs until no thread is left, or until the clock shows `deadline_ns`.
pub(crate) fn run_to_the_end(shared: &Arc<Shared>, deadline_ns: u64) -> io::Result<()> {
    run(shared, ptr::null(), |core| {
        core.end_by_ns.set(deadline_ns);
        core.cancel_all();
    })
}

fn run(shared: &Arc<Shared>, until: *const Header, prepare: impl FnOnce(&Core)) -> io::Result<()> {
    if let Some(obstacle) = obstacle(shared) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, obstacle));
    }
    if !shared.many_to_one.claim(shared) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("the n:1 runtime '{}' was just run by another thread", shared.config.name),
        ));
    }
    // SAFETY: S1: claimed just now, or before.
    let worker = unsafe { shared.many_to_one.worker() };
    let Some(worker) = worker else {
        return Err(io::Error::new(
            io::ErrorKind::NotConnected,
            format!(
                "the runtime '{}' has shut down; it cannot be run any more",
                shared.config.name
            ),
        ));
    };
    worker.prepare()?;
    let core = worker.core();
    let seat = sit_down(core)?;
    core.until.set(until);
    core.stopped.set(false);
    prepare(core);
    worker.run_loop();
    core.until.set(ptr::null());
    stand_up(seat);
    Ok(())
}

fn sit_down(core: &Core) -> io::Result<Seat> {
    let stack = crate::stack::overflow::prepare_thread()?;
    let slack_ns = Some(os::timer_slack()).filter(|slack_ns| *slack_ns > SLACK_NS);
    if slack_ns.is_some() {
        os::set_timer_slack(SLACK_NS);
    }
    let seat = Seat { worker: current::worker(), slack_ns, _stack: stack };
    current::set_worker(ptr::from_ref(core).cast(), &core.blocks);
    Ok(seat)
}

fn stand_up(seat: Seat) {
    current::set_worker(seat.worker, ptr::null());
    // What the program has set meanwhile, for itself, stays.
    if let Some(slack_ns) = seat.slack_ns
        && os::timer_slack() == SLACK_NS
    {
        os::set_timer_slack(slack_ns);
    }
}

/// The least that there is, for zero means the default.
const SLACK_NS: u64 = 1;

/// Registers the destructor that shuts the runtime down before this kernel thread ends. Once.
fn watch_exit(shared: &Arc<Shared>) {
    if shared.many_to_one.watched.replace(true) {
        return;
    }
    unsafe extern "C" fn at_exit(data: *mut u8) {
        // SAFETY: made by `Weak::into_raw` below, and called once.
        let shared = unsafe { Weak::from_raw(data.cast_const().cast::<Shared>()) };
        // Weak, for a runtime that was shut down before must not live as long as this thread.
        let Some(shared) = shared.upgrade() else { return };
        let shut_down = || shutdown::by_owner(&shared, shutdown::Leftover::Abort);
        // A hook of the program's may panic; nothing may unwind out of an exit handler.
        if let Err(payload) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(shut_down)) {
            crate::task::packet::drop_quietly(payload);
        }
    }
    let data = Arc::downgrade(shared).into_raw().cast_mut().cast();
    // SAFETY: `at_exit` takes exactly this data, on this kernel thread.
    if !unsafe { os::at_thread_exit(data, at_exit) } {
        // A C library without such a list: the process-wide exit is left to end the threads.
        // SAFETY: taken back just as it was made.
        drop(unsafe { Weak::from_raw(data.cast_const().cast::<Shared>()) });
    }
}
