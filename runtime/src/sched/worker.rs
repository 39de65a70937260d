//! A worker: the kernel thread that runs green threads, and everything that it alone may touch.
//!
//! A green thread never leaves its worker, so most of what the scheduler needs can belong to one
//! kernel thread and cost neither lock nor atomic operation: the ready queue, the timer wheel,
//! the stacks, the registry of waiting threads (HOME-ONLY). What others may touch is in
//! [`Remote`]: the thief's end of the deque, the mailbox, and counters that only the worker
//! writes.
//!
//! [`Core`] is this state and the small steps on it. Which step comes when is decided in `turn`,
//! how a thread starts and ends in `life`, how a worker sleeps in `pause`.

use std::cell::{Cell, UnsafeCell};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_deque::{Stealer, Worker as Deque};
use crossbeam_utils::CachePadded;

use crate::clock;
use crate::fiber::Fiber;
use crate::record::{self, Event};
use crate::sched::budget::BUDGET_CALLS;
use crate::sched::choices::Choices;
use crate::sched::events::Watch;
use crate::sched::job::Job;
use crate::sched::loan::Loan;
use crate::sched::ready::Ready;
use crate::sched::seeded::Run;
use crate::sched::share::Leave;
use crate::sched::shared::{Phase, Shared};
use crate::sched::slot::SlotCache;
use crate::sched::trials::Trials;
use crate::stack::{Pool, Stack};
use crate::task::mailbox::{Mailbox, Pushed};
use crate::task::numbers::BlockCache;
use crate::task::{Header, Kind, current};
use crate::wheel::Wheel;

/// What other kernel threads may touch of a worker.
pub(crate) struct Remote {
    pub(crate) stealer: Stealer<Job>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) counters: CachePadded<Counters>,
    /// When the worker was last picked, for the measurement of a wake's cost; 0: not lately.
    pub(crate) picked_at_ns: AtomicU64,
    /// How often others stole from this worker.
    pub(crate) stolen: CachePadded<AtomicU64>,
}

/// Numbers that their worker alone writes, so plain loads and stores are enough.
#[derive(Default)]
pub(crate) struct Counters {
    /// Threads that this worker has spawned, and threads that it has finished.
    pub(crate) spawned: AtomicU64,
    pub(crate) finished: AtomicU64,
    /// Threads that have waited here and live.
    pub(crate) homed: AtomicU64,
}

impl Counters {
    /// Adds to a counter of the calling worker.
    #[inline]
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        // ORDERING: Release; whoever sees the new value sees what was counted; pairs with
        // `Shared::live`. One writer, so load and store need not be one step.
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Release);
    }
}

/// A worker and the choices that its loop makes.
///
/// `repr(C)`: a `*const Core` found in a thread-local is the worker that it is the first field of.
#[repr(C)]
pub(crate) struct Worker<C: Choices> {
    pub(crate) core: Core,
    pub(crate) choices: C,
}

/// A worker, whatever its choices: what the mappings, which start and end it, see.
pub(crate) trait AnyWorker {
    fn core(&self) -> &Core;

    /// Makes what the loop needs before its first turn.
    fn prepare(&self) -> std::io::Result<()>;

    /// Runs turns until the runtime ends, or until the thread in `until` has finished.
    fn run_loop(&self);
}

/// See the file's comment.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) deque: Deque<Job>,
    pub(crate) ready: Ready,
    /// The same as in [`Remote`], at hand.
    mailbox: Arc<Mailbox>,
    pub(crate) blocks: BlockCache,
    pub(crate) slots: SlotCache,
    wheel: Box<Wheel>,
    pool: UnsafeCell<Pool>,
    pub(super) watch: Watch,
    /// Fibers that carry no thread, the one that ran last on top.
    resting: UnsafeCell<Vec<NonNull<Fiber>>>,
    /// A fiber of the default class kept for threads that no stack can be had for: their closures
    /// must be dropped on some fiber.
    reserve: Cell<Option<NonNull<Fiber>>>,
    /// The fiber that runs, or ran last.
    pub(crate) fiber: Cell<*const Fiber>,
    /// What a fiber that finished its thread has taken but cannot run itself.
    pub(crate) handoff: Cell<Option<Next>>,
    /// The thread that the fiber to be resumed shall run first.
    pub(crate) fresh: Cell<Option<NonNull<Header>>>,
    /// A thread that is about to be told that no stack can be had for it.
    pub(crate) refusal: Cell<Option<(*const Header, std::io::Error)>>,
    /// A joiner whose thread has just ended here: it goes on next, with its data still warm.
    pub(crate) next_up: Cell<Option<NonNull<Header>>>,
    /// Whether the thread that ran last has left the rest of its slice: by its end or by a wait.
    pub(crate) slice_is_left: Cell<bool>,
    /// To how many threads the present slice was passed on.
    pub(crate) heirs: Cell<u32>,
    pub(crate) turns: Cell<u64>,
    /// The turn up to which each keeps its order before a slice may be passed on again; see `turn`.
    pub(crate) strict_until: Cell<u64>,
    /// The turn up to which turns may be short, whether threads switch to each other at all, and
    /// the thread that has left in order to wait, until the next one marks it; see `short_turn`.
    pub(super) short_until: Cell<u64>,
    pub(crate) switches_directly: Cell<bool>,
    pub(super) leaving: Cell<*const Header>,
    /// The youngest loan of a turn; see `loan`.
    pub(super) loans: Cell<*const Loan>,
    /// The turn that looks at the timers again, how many lie between two such looks at present, and
    /// the time of the last.
    pub(crate) timers_at: Cell<u64>,
    pub(crate) timer_turns: Cell<u32>,
    pub(crate) looked_ns: Cell<u64>,
    /// When the next sleep that a timer ends would be due, if they came at an even pace; see
    /// `pause`.
    pub(crate) timer_pace_ns: Cell<u64>,
    /// Runtime calls left before the slice is looked at; see [`Core::charge`].
    pub(super) budget: Cell<i32>,
    /// Whether the slice is over too. The clock need not be asked again before the next budget.
    pub(super) slice_is_over: Cell<bool>,
    pub(super) slice_turn: Cell<u64>,
    pub(super) slice_start_ns: Cell<u64>,
    /// The first of the threads that have waited here and live.
    pub(super) registry: Cell<*const Header>,
    pub(super) homed: Cell<u64>,
    /// Deque turns that were left to others since the deque was empty, and whether this worker
    /// homes more than its share; see `share`.
    pub(crate) left_turns: Cell<u32>,
    pub(crate) over_share: Cell<bool>,
    pub(super) leave: Leave,
    /// Which pushes come with a pick that nothing forces; see [`Core::offered`].
    picks: Trials,
    stolen_at_pick: Cell<u64>,
    /// Whether the last search that could have spun has found work.
    pub(crate) searches_pay: Cell<bool>,
    /// Whether this worker last woke because another worker sent it a thread.
    pub(crate) woken_by_other: Cell<bool>,
    /// Shutdown: every thread here is cancelled at its next switch point.
    pub(crate) cancelling: Cell<bool>,
    /// N:1: the loop ends when this thread has finished.
    pub(crate) until: Cell<*const Header>,
    pub(crate) stopped: Cell<bool>,
    /// N:1, during a shutdown: when, by the real clock, the loop gives up waiting for what is left.
    pub(crate) end_by_ns: Cell<u64>,
    /// What a seeded run draws its choices from; `None` in ordinary runtimes.
    pub(crate) seeded: Option<Box<Run>>,
}

/// What the loop does next.
#[derive(Clone, Copy)]
pub(crate) enum Next {
    /// Resume a thread on its fiber.
    Started(NonNull<Header>),
    /// Start a thread on a fiber of the worker's.
    Fresh(NonNull<Header>),
}

/// Idle fibers that keep their stacks warm.
const RESTING_MAX: usize = 64;
/// The longest distance between two picks that nothing forces. A pick costs 8 µs, so at one per
/// 1024 pushes it adds 8 ns to each.
const PICK_DISTANCE_MAX: u32 = 1023;

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, index: usize, deque: Deque<Job>) -> Core {
        let seeded = shared.seeded.as_ref().map(|outside| Box::new(Run::new(outside)));
        let exact = seeded.as_ref().is_some_and(|run| run.has_virtual_time());
        Core {
            blocks: shared.seeded.as_ref().map_or_else(BlockCache::new, |run| run.block_cache()),
            mailbox: shared.remotes[index].mailbox.clone(),
            shared,
            index,
            deque,
            ready: Ready::new(),
            slots: SlotCache::new(),
            wheel: Box::new(if exact { Wheel::exact() } else { Wheel::new() }),
            pool: UnsafeCell::new(Pool::new()),
            watch: Watch::new(),
            resting: UnsafeCell::new(Vec::new()),
            reserve: Cell::new(None),
            fiber: Cell::new(ptr::null()),
            handoff: Cell::new(None),
            fresh: Cell::new(None),
            refusal: Cell::new(None),
            next_up: Cell::new(None),
            slice_is_left: Cell::new(false),
            heirs: Cell::new(0),
            turns: Cell::new(0),
            strict_until: Cell::new(0),
            short_until: Cell::new(0),
            switches_directly: Cell::new(false),
            leaving: Cell::new(ptr::null()),
            loans: Cell::new(ptr::null()),
            timers_at: Cell::new(0),
            timer_turns: Cell::new(1),
            looked_ns: Cell::new(if exact { 0 } else { clock::now_ns() }),
            timer_pace_ns: Cell::new(0),
            budget: Cell::new(BUDGET_CALLS),
            slice_is_over: Cell::new(false),
            slice_turn: Cell::new(u64::MAX),
            slice_start_ns: Cell::new(0),
            registry: Cell::new(ptr::null()),
            homed: Cell::new(0),
            left_turns: Cell::new(0),
            over_share: Cell::new(false),
            leave: Leave::default(),
            picks: Trials::default(),
            stolen_at_pick: Cell::new(0),
            searches_pay: Cell::new(false),
            woken_by_other: Cell::new(false),
            cancelling: Cell::new(false),
            until: Cell::new(ptr::null()),
            stopped: Cell::new(false),
            end_by_ns: Cell::new(u64::MAX),
            seeded,
        }
    }

    /// The worker that this kernel thread is.
    ///
    /// The reference is good while the kernel thread stays that worker; callers use it at once and
    /// ask again after anything that suspends.
    #[inline]
    pub(crate) fn current<'a>() -> Option<&'a Core> {
        // SAFETY: the thread-local is set to a live core by the worker's own loop, and to null
        // when the loop ends; see `Worker::enter`.
        unsafe { current::worker().cast::<Core>().as_ref() }
    }

    /// This worker's part that others may touch.
    #[inline]
    pub(crate) fn remote(&self) -> &Remote {
        &self.shared.remotes[self.index]
    }

    /// This worker's mailbox.
    #[inline]
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    #[inline]
    pub(crate) fn wheel(&self) -> &Wheel {
        &self.wheel
    }

    /// The time of the last look at the clock: exact to some 50 µs while the worker is busy.
    #[inline]
    pub(crate) fn coarse_now_ns(&self) -> u64 {
        self.looked_ns.get()
    }

    /// Uses the worker's stacks.
    pub(crate) fn with_pool<R>(&self, f: impl FnOnce(&mut Pool) -> R) -> R {
        // SAFETY: HOME-ONLY, and `f`, given by this crate, never comes back here or suspends.
        f(unsafe { &mut *self.pool.get() })
    }

    /// Carries out the duty to schedule a green thread: at home into the ready queue, from
    /// elsewhere by its home's mailbox.
    pub(crate) fn schedule(thread: &Header) {
        record::event(Event::Wake);
        // ORDERING: Acquire; pairs with the Release in `register`, which came before the first
        // commit, and somebody committed, or there would be no duty.
        let mailbox = thread.mailbox.load(Ordering::Acquire);
        if let Some(core) = Core::current()
            && ptr::eq(core.mailbox(), mailbox)
        {
            core.ready.push(NonNull::from(thread));
            return;
        }
        let mailbox = NonNull::new(mailbox).expect("who has waited has a mailbox");
        // SAFETY: S1: the duty is the caller's, and a thread that is ready lives until it has run;
        // S2: the header counts a reference to its mailbox.
        match unsafe { Mailbox::push(mailbox, NonNull::from(thread)) } {
            Pushed::Awake | Pushed::Closed => (),
            Pushed::Sleeping(mailbox) => mailbox.wake_owner(),
        }
    }

    /// The same for a joiner, by the thread whose end it waited for: it takes over what is left
    /// of that thread's slice.
    pub(crate) fn schedule_next(thread: &Header) {
        if let Some(core) = Core::current()
            && !core.order_is_strict()
            && core.is_home_of(thread)
            && core.next_up.get().is_none()
        {
            record::event(Event::Wake);
            core.next_up.set(Some(NonNull::from(thread)));
            core.forbid_short_turns();
        } else {
            Core::schedule(thread);
        }
    }

    /// Whether `thread`, which has waited, is at home on this worker.
    fn is_home_of(&self, thread: &Header) -> bool {
        // ORDERING: Relaxed; only compared, and set here if it is equal.
        let mailbox = thread.mailbox.load(Ordering::Relaxed);
        ptr::eq(self.mailbox(), mailbox)
    }

    /// Puts a joiner that was next into the ready queue instead.
    pub(crate) fn give_up_next(&self) {
        if let Some(thread) = self.next_up.take() {
            self.ready.push(thread);
        }
    }

    /// Whether the shutdown cancels `thread` here.
    #[inline]
    pub(crate) fn cancels_all(&self, thread: &Header) -> bool {
        self.cancelling.get() && thread.kind == Kind::Green && !thread.is_kept()
    }

    /// When the timer of a wait with `deadline` fires.
    pub(crate) fn timer_ns(&self, deadline: std::time::Instant) -> u64 {
        let deadline_ns = clock::to_ns(deadline);
        self.seeded.as_ref().map_or(deadline_ns, |run| run.timer_ns(deadline_ns))
    }

    /// The fiber on which the current green thread runs.
    #[inline]
    pub(crate) fn running_fiber(&self) -> Option<&Fiber> {
        if current::green().is_null() {
            return None;
        }
        // SAFETY: set before the fiber on which we run was entered.
        unsafe { self.fiber.get().as_ref() }
    }

    /// Puts a job into the deque and sees to it that somebody will run it.
    #[inline]
    pub(crate) fn offer(&self, job: Job) {
        self.deque.push(job);
        self.offered();
    }

    /// Wakes a sleeping worker for what the deque holds, if one is needed, or likely to help.
    ///
    /// A wake costs this worker 8 µs and arrives after 20, so it must not be given for work that
    /// will be done here before. Nobody knows beforehand which that is, but thieves tell: if
    /// nothing was stolen since the last pick, the distance to the next one doubles; if something
    /// was, it halves. What is left unpicked by this is the sentinel's, within 16 ms.
    #[inline]
    pub(crate) fn offered(&self) {
        if self.shared.idle.anybody_sleeps() {
            self.offered_to_sleepers();
        }
    }

    /// Out of line, for while all workers are busy a push is all that an offer costs.
    #[inline(never)]
    fn offered_to_sleepers(&self) {
        let idle = &self.shared.idle;
        if idle.must_pick() {
            self.shared.pick_searcher();
        } else if idle.may_pick() && self.picks.takes_this_one() {
            self.pick_by_choice();
        }
    }

    #[cold]
    fn pick_by_choice(&self) {
        // ORDERING: Relaxed; a heuristic.
        let stolen = self.remote().stolen.load(Ordering::Relaxed);
        if self.stolen_at_pick.replace(stolen) == stolen {
            self.picks.note_vain(PICK_DISTANCE_MAX);
        } else {
            self.picks.note_paid();
        }
        self.shared.pick_searcher();
    }

    /// Makes room for a thread of the default class: a resting fiber or a fresh one.
    pub(crate) fn fiber_for(
        &self,
        thread: &Header,
        entry: fn(&Fiber),
    ) -> std::io::Result<NonNull<Fiber>> {
        if thread.class == self.shared.class
            && let Some(fiber) = self.resting().pop()
        {
            return Ok(fiber);
        }
        self.with_pool(|pool| pool.take(thread.class)).map(|stack| Fiber::new(stack, entry))
    }

    /// Makes the reserve, if there is none.
    pub(crate) fn provide_reserve(&self, entry: fn(&Fiber)) -> std::io::Result<()> {
        if self.reserve.get().is_none() {
            let stack = self.with_pool(|pool| pool.take(self.shared.class))?;
            self.reserve.set(Some(Fiber::new(stack, entry)));
        }
        Ok(())
    }

    /// Takes the reserve. It comes back when it rests.
    pub(crate) fn take_reserve(&self) -> Option<NonNull<Fiber>> {
        self.reserve.take()
    }

    /// Whether the reserve is here, as it is but while threads are refused.
    #[inline]
    pub(crate) fn has_reserve(&self) -> bool {
        self.reserve.get().is_some()
    }

    /// A resting fiber of the default class, if there is one.
    pub(crate) fn take_resting(&self) -> Option<NonNull<Fiber>> {
        self.resting().pop()
    }

    #[expect(clippy::mut_from_ref, reason = "private; each use ends before the next begins")]
    fn resting(&self) -> &mut Vec<NonNull<Fiber>> {
        // SAFETY: HOME-ONLY, and no caller keeps the reference over another call.
        unsafe { &mut *self.resting.get() }
    }

    /// How many fibers rest.
    pub(crate) fn resting_count(&self) -> usize {
        self.resting().len()
    }

    /// Takes over a fiber that carries no thread any more, as the reserve where that is missing,
    /// and else only to `keep` it for the next thread. If it is not taken, it comes back.
    pub(crate) fn rest(&self, fiber: NonNull<Fiber>, keep: bool) -> Option<NonNull<Fiber>> {
        // SAFETY: the fiber is alive and suspended.
        let class = unsafe { fiber.as_ref() }.class();
        if class == self.shared.class && self.reserve.get().is_none() {
            self.reserve.set(Some(fiber));
            return None;
        }
        if keep && class == self.shared.class && self.resting().len() < RESTING_MAX {
            self.resting().push(fiber);
            None
        } else {
            Some(fiber)
        }
    }

    /// Gives a stack back that carried a fiber.
    pub(crate) fn give_stack(&self, stack: Stack) {
        self.with_pool(|pool| pool.give(stack));
    }

    /// Whether anything has come that a turn would find.
    pub(crate) fn has_mail(&self) -> bool {
        let mailbox = self.mailbox();
        !mailbox.is_empty() || mailbox.has_messages() || !self.shared.injector.is_empty()
    }

    /// Whether the runtime has come to the point where nothing is resumed any more.
    #[inline]
    pub(crate) fn leaking(&self) -> bool {
        self.shared.phase() >= Phase::Leaking
    }
}
