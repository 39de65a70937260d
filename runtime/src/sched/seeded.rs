//! A seeded run: the production scheduler with one worker, whose every free choice is drawn from a
//! seed, and whose clock may be virtual. The same seed gives the same run, to the last switch.
//!
//! What production leaves to chance is drawn here: which ready thread goes on, which unstarted one
//! becomes ready and from which end of the deque, whether a joiner takes over a slice, whether a
//! switch point yields, whether a child runs in place, whether a wait that its caller checks in a
//! loop ends for nothing, which timer of an instant fires first and who acts before the next one.
//! Each kind of choice has a stream of its own, so that a fault that is switched on does not change
//! all the rest.
//!
//! Two strategies order the threads; see [`Strategy`]. Under both, a thread that has been ready
//! for `3 * ready + 40` turns goes first. Those before it are older and went first too, `ready` of
//! them at most; so nobody waits for more than `4 * ready + 61` turns, the bound that every
//! runtime keeps, with a reserve of 21 for what happens before a thread stands in the queue.
//!
//! *When nothing can run*, in this order: events of descriptors are collected; those who wait for
//! just that nothing can run are woken; if nothing from outside is registered, the virtual clock
//! jumps to the next timer; if there is none, nothing can ever move again: all threads are
//! described, cancelled, and the run fails with the list.
//!
//! What this file must never do: ask the real clock or an address for a choice, or lose a thread.

mod draws;
mod order;
mod outsiders;
mod plan;
mod remote;
mod timers;
mod trace;

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock;
use crate::fiber::Fiber;
use crate::sched::choices::{Choices, Pause, Source};
use crate::sched::door;
use crate::sched::inplace::Chooser;
use crate::sched::random::Random;
use crate::sched::report::Detail;
use crate::sched::shutdown;
use crate::sched::worker::Core;
use crate::task::{Duty, ForNothing, Header, HeaderRef, Sequence, WaitKind, current};

use order::Order;
pub use order::{ParseStrategyError, Strategy};
pub(crate) use outsiders::Outsiders;
pub use plan::Faults;
pub(crate) use plan::Plan;
pub(crate) use remote::{RemoteRun, note_outsider, seed_of};
pub use trace::Trace;
use trace::{Step, What};

/// The choices of a seeded run. All state is in [`Run`], where code outside of the loop finds it.
pub(crate) struct Seeded;

/// What a seeded run draws from and remembers. HOME-ONLY.
pub(crate) struct Run {
    remote: Arc<RemoteRun>,
    streams: Streams,
    order: RefCell<Order>,
    /// How many turns in a row have left something in the deque.
    held_turns: Cell<u32>,
    /// Under PCT, how many calls the present turn has made.
    calls: Cell<u32>,
    /// Whether the yield that comes now was drawn, not asked for by the program.
    drawn_yield: Cell<bool>,
    clock: Option<VirtualTime>,
    faults: Cell<Faults>,
    /// Who waits until all others wait.
    quiescence: RefCell<Vec<(HeaderRef, Sequence)>>,
    /// Waits of the run's threads for something outside, those included that are over.
    waits_outside: RefCell<Vec<(HeaderRef, Sequence)>>,
    trace: RefCell<Trace>,
    _chooser: Chooser,
}

struct Streams {
    schedule: Random,
    points: Random,
    deque: Random,
    in_place: Random,
    spurious: Random,
    faults: Random,
    selects: Random,
    timers: Random,
    events: Random,
}

struct VirtualTime {
    base: Instant,
    elapsed_ns: Cell<u64>,
    _counted: clock::VirtualClock,
}

/// One switch point in so many yields although nobody asked for it.
const YIELD_ONE_IN: u64 = 4;
/// After so many calls a turn ends, as in production after a slice: the least that one lasts there.
const TURN_CALLS: u32 = 128;
/// One turn in so many leaves what is unstarted in the deque, where it may still run in place.
const HOLD_ONE_IN: u64 = 2;
/// For how many turns in a row at most; part of the reserve in the fairness bound.
const HOLD_TURNS_MAX: u32 = 4;
/// One joiner in so many takes over the slice of the thread that it waited for.
const HEIR_ONE_IN: u64 = 4;
/// One turn in so many looks for events of descriptors.
const EVENTS_ONE_IN: u64 = 2;
/// For how long the kernel may keep back what threads have sent each other, by the real clock,
/// before the virtual one moves, and before a run is given up: TCP asks a full peer again after 0.2
/// s, and then more and more seldom.
const EVENTS_LATE: Duration = Duration::from_millis(1);
const EVENTS_LATE_LAST: Duration = Duration::from_secs(3);
/// One wait in so many ends for nothing, where its caller looks again.
const SPURIOUS_ONE_IN: u64 = 16;
/// See the file's comment.
const OVERDUE_FACTOR: u64 = 3;
const OVERDUE_TURNS: u64 = 40;

impl Run {
    pub(crate) fn new(remote: &Arc<RemoteRun>) -> Run {
        let plan = &remote.plan;
        let seed = Random::new(plan.seed);
        clock::set_virtual_reader(read_virtual);
        // ORDERING: Relaxed; see `note_outsider`.
        remote.carrier.store(current::kernel_id().get(), Ordering::Relaxed);
        Run {
            streams: Streams {
                schedule: seed.split(0),
                points: seed.split(1),
                deque: seed.split(2),
                in_place: seed.split(3),
                spurious: seed.split(4),
                faults: seed.split(5),
                selects: seed.split(7),
                timers: seed.split(8),
                events: seed.split(9),
            },
            order: RefCell::new(Order::new(plan.strategy, seed.split(6))),
            held_turns: Cell::new(0),
            calls: Cell::new(0),
            drawn_yield: Cell::new(false),
            clock: plan.virtual_time.then(|| VirtualTime {
                base: clock::real_now(),
                elapsed_ns: Cell::new(0),
                _counted: clock::VirtualClock::new(),
            }),
            faults: Cell::new(plan.faults),
            quiescence: RefCell::new(Vec::new()),
            waits_outside: RefCell::new(Vec::new()),
            trace: RefCell::new(Trace::new(plan.keeps_trace)),
            _chooser: Chooser::new(),
            remote: remote.clone(),
        }
    }

    pub(crate) fn has_virtual_time(&self) -> bool {
        self.clock.is_some()
    }

    /// Who may act on the run from outside.
    pub(crate) fn outsiders(&self) -> &Outsiders {
        &self.remote.outsiders
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.remote.plan
    }

    /// Whether the current thread yields at the switch point that it has reached.
    pub(crate) fn yields_here(&self, core: &Core) -> bool {
        let Some(me) = current::running() else { return false };
        let mut order = self.order.borrow_mut();
        match order.strategy() {
            Strategy::Random => self.streams.points.one_in(YIELD_ONE_IN),
            Strategy::Pct { .. } => {
                order.meet(core);
                let calls = self.calls.get() + 1;
                self.calls.set(calls);
                // What has not started may come before this thread: a turn will tell. And even the
                // highest priority must not keep the worker, or the fairness bound means nothing.
                order.yields_at_step(me.number()) || !core.deque.is_empty() || calls >= TURN_CALLS
            }
        }
    }

    /// Notes that the yield that comes now was drawn.
    pub(crate) fn note_drawn_yield(&self) {
        self.drawn_yield.set(true);
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.faults.set(faults);
    }

    /// Moves the virtual clock on. `Err`: there is none, or it does not reach so far.
    pub(crate) fn advance(&self, core: &Core, by: Duration) -> Result<(), String> {
        let Some(time) = &self.clock else {
            return Err("this run has the real clock; only a virtual one can be moved".to_owned());
        };
        let elapsed = u64::try_from(by.as_nanos())
            .ok()
            .and_then(|by| time.elapsed_ns.get().checked_add(by))
            // One short of the end, which stands for what no clock ever shows.
            .filter(|&elapsed| elapsed < u64::MAX)
            .ok_or_else(|| {
                format!(
                    "the virtual clock cannot be moved by {by:?}; accepted: what takes it to no \
                     more than 584 years after the run's beginning"
                )
            })?;
        self.move_clock(core, elapsed);
        Ok(())
    }

    fn move_clock(&self, core: &Core, elapsed_ns: u64) {
        if let Some(time) = &self.clock {
            time.elapsed_ns.set(elapsed_ns);
        }
        self.note(core, None, What::TimeMoves(elapsed_ns));
        // The next turn looks at the timers.
        core.timers_at.set(0);
    }

    /// Enters a wait that ends when all other threads wait too.
    pub(crate) fn await_quiescence(&self, thread: HeaderRef, sequence: Sequence) {
        self.quiescence.borrow_mut().push((thread, sequence));
    }

    /// Notes that `thread` begins on the stack of the one that waits for it.
    pub(crate) fn note_in_place(&self, core: &Core, thread: &Header) {
        self.note(core, Some(thread), What::StartsInPlace);
    }

    fn note(&self, core: &Core, thread: Option<&Header>, what: What) {
        self.trace.borrow_mut().push(Step {
            turn: core.turns.get(),
            thread: thread.map(|thread| (thread.number(), thread.site)),
            what,
        });
    }

    /// Whether the oldest thread has waited for so long that it goes first.
    fn is_overdue(&self, core: &Core, order: &Order) -> bool {
        let limit = OVERDUE_FACTOR * core.ready.len() as u64 + OVERDUE_TURNS;
        order.oldest().is_some_and(|since| core.turns.get().saturating_sub(since) >= limit)
    }

    /// Tells the others how far the run is, for those who wonder why it does not end.
    fn publish(&self, core: &Core, thread: &Header) {
        // ORDERING: Relaxed; for a person to read.
        self.remote.turns.store(core.turns.get(), Ordering::Relaxed);
        self.remote.running.store(thread.number(), Ordering::Relaxed);
        self.remote.running_site.store(ptr::from_ref(thread.site).cast_mut(), Ordering::Relaxed);
    }

    /// Notes that something came through the mailbox: a worker sends itself nothing, so it came
    /// from outside.
    pub(crate) fn note_mail(&self) {
        self.remote.disturb("a kernel thread from outside has woken a thread");
    }
}

impl Drop for Run {
    /// Hands the trace over to whoever asked for the run.
    fn drop(&mut self) {
        let trace = self.trace.replace(Trace::new(false));
        *self.remote.trace.lock().unwrap_or_else(|e| e.into_inner()) = Some(trace);
    }
}

impl Choices for Seeded {
    const FIBERS_GO_ON: bool = false;

    fn passes_slice_on(&self, core: &Core) -> bool {
        let run = run(core);
        let Some(joiner) = core.next_up.get() else { return false };
        let mut order = run.order.borrow_mut();
        order.meet(core);
        if order.strategy() != Strategy::Random
            || run.is_overdue(core, &order)
            || !run.streams.schedule.one_in(HEIR_ONE_IN)
        {
            return false;
        }
        // It counts as a turn, for it is one to those who wait meanwhile.
        core.turns.set(core.turns.get() + 1);
        core.spend_budget();
        // SAFETY: a thread that is next up is ready, so it lives.
        let joiner = unsafe { joiner.as_ref() };
        run.publish(core, joiner);
        run.note(core, Some(joiner), What::ResumesAsHeir);
        true
    }

    /// Moves what has not started to where the strategy can choose it.
    fn begin_turn(&self, core: &Core) {
        let run = run(core);
        core.spend_budget();
        run.calls.set(0);
        core.give_up_next();
        if core.watches() && run.streams.events.one_in(EVENTS_ONE_IN) {
            core.look_at_events();
        }
        let random = &run.streams.deque;
        while !core.deque.is_empty() {
            let holds = run.plan().strategy == Strategy::Random
                && run.held_turns.get() < HOLD_TURNS_MAX
                && random.one_in(HOLD_ONE_IN);
            if holds {
                run.held_turns.set(run.held_turns.get() + 1);
                return;
            }
            let old = random.one_in(2);
            let job = if old { core.steal_from_self() } else { core.deque.pop() };
            if let Some(thread) = job.and_then(|job| core.accept(job)) {
                core.ready.push(thread);
            }
        }
        run.held_turns.set(0);
    }

    fn source(&self, _turn: u64) -> Source {
        Source::Ready
    }

    fn take_ready(&self, core: &Core) -> Option<NonNull<Header>> {
        let run = run(core);
        let mut order = run.order.borrow_mut();
        order.meet(core);
        if core.ready.len() == 0 {
            return None;
        }
        let overdue = run.is_overdue(core, &order);
        let index = if overdue { 0 } else { order.choose(&run.streams.schedule) };
        order.remove(index);
        let thread = core.ready.remove(index)?;
        // SAFETY: a thread in the queue lives.
        let header = unsafe { thread.as_ref() };
        if !header.fiber.get().is_null() {
            run.publish(core, header);
            run.note(core, Some(header), What::Resumes);
        }
        Some(thread)
    }

    fn first_victim(&self, _count: usize) -> usize {
        0
    }

    /// A fiber of its own for each thread, coloured by the thread's number: where a thread's
    /// frames lie within a page must not depend on who ran before.
    fn fiber_for(
        &self,
        core: &Core,
        thread: &Header,
        entry: fn(&Fiber),
    ) -> io::Result<NonNull<Fiber>> {
        let run = run(core);
        run.publish(core, thread);
        run.note(core, Some(thread), What::Starts);
        let number = thread.number() as usize;
        // The first thread is the run itself.
        if number != 0 {
            run.fault(run.faults.get().stack_one_in, io::ErrorKind::OutOfMemory, "stack")?;
        }
        let stack = core.with_pool(|pool| pool.take(thread.class))?;
        Ok(Fiber::coloured(stack, number, entry))
    }

    fn note_yield(&self, core: &Core, thread: &Header) {
        let run = run(core);
        if !run.drawn_yield.replace(false) {
            // It says itself that others should go first.
            run.order.borrow_mut().put_last(thread.number());
        }
        run.note(core, Some(thread), What::Yields);
    }

    fn note_wait(&self, core: &Core, thread: &Header) {
        let run = run(core);
        // SAFETY: the thread waits, so its record is in force, and this is its home.
        let Some(record) = (unsafe { thread.wait.get().as_ref() }) else { return };
        let kind = record.reason.kind;
        run.note(core, Some(thread), What::Waits(kind));
        let outside = match kind {
            WaitKind::Join => record.reason.owner.is_some_and(|id| !run.remote.owns(id)),
            // For other runtimes, as a run inside of its own is a scope; for a pool thread.
            WaitKind::Run | WaitKind::Shutdown | WaitKind::Resolve => true,
            _ => false,
        };
        if outside {
            run.waits_outside.borrow_mut().push((HeaderRef::new(thread), record.sequence));
        }
        let for_nothing = match kind {
            WaitKind::Park if run.plan().spurious_parks => Some(ForNothing::Wake),
            _ => kind.for_nothing(),
        };
        let Some(by) = for_nothing else { return };
        if !run.streams.spurious.one_in(SPURIOUS_ONE_IN) {
            return;
        }
        let duty = match by {
            ForNothing::Wake => thread.state.wake(record.sequence),
            ForNothing::TimeOut => thread.state.time_out(record.sequence),
        };
        if duty == Duty::Schedule {
            run.note(core, Some(thread), What::WakesForNothing);
            core.ready.push(NonNull::from(thread));
        }
    }

    fn before_sleep(&self, core: &Core) -> Pause {
        let run = run(core);
        if core.finds_events(Duration::ZERO) {
            return Pause::LookAgain;
        }
        // Before the look at what they have sent; see `outsiders`.
        let nobody_outside = run.remote.outsiders.none();
        if core.has_mail() {
            return Pause::LookAgain;
        }
        let waiters = std::mem::take(&mut *run.quiescence.borrow_mut());
        let woken = waiters.iter().filter(|(thread, wait)| door::wake(thread, *wait)).count();
        if woken > 0 {
            return Pause::LookAgain;
        }
        if !nobody_outside || run.waits_for_outside() {
            return Pause::Sleep;
        }
        match (core.wheel().next_deadline_ns(), &run.clock) {
            (Some(at), Some(time)) if at < u64::MAX => {
                if core.finds_events(EVENTS_LATE) {
                    return Pause::LookAgain;
                }
                run.move_clock(core, at.max(time.elapsed_ns.get()));
                core.look_at_timers();
                Pause::LookAgain
            }
            (Some(at), None) if at < u64::MAX => Pause::Sleep,
            _ if core.shared.live() == 0 => Pause::Sleep,
            _ if core.finds_events(EVENTS_LATE_LAST) => Pause::LookAgain,
            _ => run.end_stuck(core),
        }
    }
}

impl Run {
    /// Whether a thread waits for something outside. Asked when none can run.
    fn waits_for_outside(&self) -> bool {
        let mut waits = self.waits_outside.borrow_mut();
        waits.retain(|(thread, sequence)| {
            // SAFETY: no thread runs, so one with a record in force waits, and this is its home.
            let record = unsafe { thread.wait.get().as_ref() };
            record.is_some_and(|record| record.sequence == *sequence)
        });
        !waits.is_empty()
    }

    /// Nothing can ever move again: says so, and cancels everything. If that has moved nothing
    /// either, the threads that are left can only be leaked.
    #[cold]
    fn end_stuck(&self, core: &Core) -> Pause {
        if core.until.get().is_null() {
            shutdown::stop_waiting(&core.shared);
            return Pause::LookAgain;
        }
        let mut text = format!(
            "nothing can move any more in this seeded run (seed {}, turn {}): all its threads \
             wait, no timer is armed, and nothing outside is registered",
            self.plan().seed,
            core.turns.get(),
        );
        for line in core.describe(Detail::Reasons) {
            let _ = write!(text, "\n  {line}");
        }
        if core.cancelling.get() || cfg!(panic = "abort") {
            crate::os::abort_with(&text);
        }
        self.note(core, None, What::CannotMove);
        self.remote.give_verdict(text);
        core.cancel_all();
        Pause::LookAgain
    }
}

/// The seeded run of a worker that makes seeded choices.
fn run(core: &Core) -> &Run {
    core.seeded.as_deref().expect("only the worker of a seeded run makes seeded choices")
}

/// The virtual clock of the run that this kernel thread carries.
fn read_virtual() -> Option<clock::Virtual> {
    let time = Core::current()?.seeded.as_ref()?.clock.as_ref()?;
    Some(clock::Virtual { base: time.base, elapsed_ns: time.elapsed_ns.get() })
}
