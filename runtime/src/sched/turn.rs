//! A worker's loop: what each turn runs, and in which order the queues are asked.
//!
//! *Turns.* Of four turns two ask the ready queue first, one the deque's young end, one its old
//! end; each falls back to the others. Every 61st turn looks at what comes from outside. So a
//! thread that can run waits for at most 4 turns for each thread before it, plus 61, whatever the
//! others do.
//!
//! *Slices.* A turn is a slice of 100 µs at most, and most threads end or wait long before. What
//! they leave is passed on: to the joiner that the end has woken, else to the youngest thread
//! that has not started. That is depth first, on warm data and few stacks: taking the old end
//! instead, once in four short turns, would start the largest open subtrees of a recursive program
//! first, and keep a stack for each (measured: 1300 ns a spawn instead of 100). When the slice is
//! over, strict order is kept for as many turns as give each ready thread its own.
//!
//! A fiber that has finished its thread takes the next one itself: if that has not started, it
//! runs on the same hot stack and nothing is switched. Where a thread can go straight to the next
//! one it does (`short_turn`). The worker's own stack is entered for all else, and no user code
//! runs on it.

use std::ptr::{self, NonNull};

use crate::clock;
use crate::fiber::{Fiber, Resume, Suspended};
use crate::sched::choices::{Choices, Source};
use crate::sched::job::Job;
use crate::sched::life;
use crate::sched::ready::Started;
use crate::sched::worker::{AnyWorker, Core, Next, Worker};
use crate::task::{CancelReason, Commit, Duty, Header, HeaderRef, Sequence, current};

/// Every how many turns a worker looks at the injector, its messages and the runtime's phase. A
/// prime, so that it falls in step with no pattern of the program's (Go's scheduler does the same).
const LOOK_ROUND_TURNS: u64 = 61;
/// A busy worker looks at its timers about that often.
const TIMER_LOOK_NS: u64 = 50_000;
/// Every how many heirs of a slice the clock is asked: a reading costs 22 ns, a thread that does
/// nothing 50.
pub(super) const HEIRS_PER_LOOK: u32 = 8;

impl<C: Choices> AnyWorker for Worker<C> {
    fn core(&self) -> &Core {
        &self.core
    }

    fn prepare(&self) -> std::io::Result<()> {
        self.core.provide_reserve(fiber_main::<C>)
    }

    fn run_loop(&self) {
        let core = &self.core;
        loop {
            match core.handoff.take().or_else(|| self.next()) {
                Some(Next::Started(thread)) => self.resume(thread),
                Some(Next::Fresh(thread)) => self.start(thread),
                None => {
                    if core.stopped.get() || !self.pause() {
                        return;
                    }
                }
            }
            if core.stopped.get() || core.leaking() {
                core.give_up_next();
                return;
            }
        }
    }
}

impl<C: Choices> Worker<C> {
    /// What the worker runs next. Inlined by force into both of its callers: left to itself, the
    /// compiler has stopped doing so when a second kind of choices came, for 60 instructions more.
    #[inline(always)]
    fn next(&self) -> Option<Next> {
        let core = &self.core;
        if core.slice_is_left.get() && !core.order_is_strict() && self.choices.passes_slice_on(core)
        {
            let heir = core.pass_slice_on();
            if heir.is_some() {
                return heir;
            }
        }
        self.next_turn()
    }

    /// Takes the next turn's thread.
    #[inline]
    fn next_turn(&self) -> Option<Next> {
        let core = &self.core;
        core.heirs.set(0);
        let turn = core.turns.get() + 1;
        core.turns.set(turn);
        if turn >= core.timers_at.get() {
            core.look_at_timers();
        }
        if C::SWITCHES_DIRECTLY {
            core.allow_short_turns(turn.next_multiple_of(LOOK_ROUND_TURNS));
        }
        if turn.is_multiple_of(LOOK_ROUND_TURNS)
            && let Some(next) = self.look_round()
        {
            return Some(next);
        }
        core.drain_mailbox();
        self.choices.begin_turn(core);
        let source = self.choices.source(turn);
        if source != Source::Ready
            && !self.leaves_to_others()
            && let Some(next) = core.take_unstarted(source)
        {
            return Some(next);
        }
        if let Some(next) = self.take_ready() {
            return Some(next);
        }
        if core.over_share.get() && core.leaves_the_rest_to_others() {
            return None;
        }
        let end = if source == Source::Old { Source::Old } else { Source::Young };
        core.take_unstarted(end).or_else(|| core.take_injected())
    }

    /// A ready thread: the oldest, unless the choices say otherwise.
    #[inline]
    fn take_ready(&self) -> Option<Next> {
        let thread = self.choices.take_ready(&self.core)?;
        // SAFETY: a thread in the queue lives.
        let started = !unsafe { thread.as_ref() }.fiber.get().is_null();
        Some(if started { Next::Started(thread) } else { Next::Fresh(thread) })
    }

    /// Whether this turn leaves the deque to other workers; see `share`.
    #[inline]
    fn leaves_to_others(&self) -> bool {
        let core = &self.core;
        core.over_share.get() && core.leaves_turn_to_others()
    }

    /// What a busy worker looks at only now and then.
    #[cold]
    fn look_round(&self) -> Option<Next> {
        let core = &self.core;
        core.obey_messages();
        core.judge_share();
        core.take_injected()
    }

    /// Resumes a thread on its own fiber.
    #[inline]
    fn resume(&self, thread: NonNull<Header>) {
        current::set_green(thread.as_ptr());
        // SAFETY: a ready thread lives until it has run.
        let fiber = unsafe { thread.as_ref() }.fiber.get();
        self.enter(NonNull::new(fiber.cast_mut()).expect("a started thread has a fiber"));
    }

    /// Starts a thread on a fiber of the worker's.
    fn start(&self, thread: NonNull<Header>) {
        let core = &self.core;
        // SAFETY: an unstarted thread lives until it has run.
        let header = unsafe { thread.as_ref() };
        let fiber = match self.choices.fiber_for(core, header, fiber_main::<C>) {
            Ok(fiber) => fiber,
            Err(error) => match self.refuse_start(thread, error) {
                Some(fiber) => fiber,
                None => return,
            },
        };
        core.fresh.set(Some(thread));
        self.enter(fiber);
    }

    /// No stack can be had for `thread`. It is refused on the reserve, where its closure may be
    /// dropped. If closures that wait in their destructors hold the reserve, the thread goes back.
    #[cold]
    fn refuse_start(
        &self,
        thread: NonNull<Header>,
        error: std::io::Error,
    ) -> Option<NonNull<Fiber>> {
        let core = &self.core;
        // SAFETY: as in `start`.
        let header = unsafe { thread.as_ref() };
        match core.take_reserve() {
            Some(fiber) => {
                life::note_refusal(header, error);
                Some(fiber)
            }
            None => {
                // Behind everything else that runs and may come to rest.
                core.shared.injector.push(Job::thread(thread));
                core.offered();
                std::thread::yield_now();
                None
            }
        }
    }

    /// Enters a fiber, and does what is owed when it comes back.
    #[inline(always)]
    fn enter(&self, fiber: NonNull<Fiber>) {
        let core = &self.core;
        core.fiber.set(fiber.as_ptr());
        // SAFETY: the fiber is suspended, so alive.
        let entered = unsafe { fiber.as_ref() };
        // SAFETY: S1: this is its home, on the worker's own stack.
        let left = unsafe { entered.resume(Resume::Run) };
        let thread = current::green();
        current::set_green(ptr::null());
        match left {
            Some(Suspended::Yielding) => {
                core.slice_is_left.set(false);
                // A child that ended in place may have named a joiner; the slice is not passed on.
                core.give_up_next();
                let thread = NonNull::new(thread.cast_mut()).expect("a thread yielded");
                // SAFETY: it has just left its stack, and goes on.
                self.choices.note_yield(core, unsafe { thread.as_ref() });
                core.ready.push(thread);
            }
            Some(Suspended::Waiting) => {
                core.slice_is_left.set(true);
                // SAFETY: it has just left its stack, and nobody has run it since.
                let header = unsafe { &*thread };
                if core.commit(header) == Commit::Waiting {
                    self.choices.note_wait(core, header);
                }
            }
            Some(Suspended::Resting) => {
                // After short turns it is another fiber than was entered.
                let fiber = NonNull::new(core.fiber.get().cast_mut()).expect("one was entered");
                if let Some(fiber) = core.rest(fiber, C::FIBERS_GO_ON) {
                    core.retire(fiber);
                }
            }
            Some(Suspended::Described) | None => {
                crate::os::abort_with("a worker's fiber ended or described itself unasked");
            }
        }
    }
}

/// What a worker's fiber does: it runs threads one after another.
fn fiber_main<C: Choices>(fiber: &Fiber) {
    loop {
        // A fiber never leaves its kernel thread, but the worker is asked for anew after each
        // suspension all the same.
        let worker = current::worker().cast::<Worker<C>>();
        // SAFETY: `Worker` is `repr(C)` with its core first, and only loops of `Worker<C>` make
        // fibers with this entry.
        let worker = unsafe { &*worker };
        let core = &worker.core;
        core.arrive();
        let mut fresh = core.fresh.take();
        while let Some(thread) = fresh {
            life::run(core, thread);
            core.slice_is_left.set(true);
            fresh = match core.repay(thread) {
                None => worker.next_on_same_fiber(fiber),
                Some(joiner) => {
                    core.handoff.set(Some(Next::Started(joiner)));
                    None
                }
            };
        }
        if worker.rest_on(fiber) == Resume::Return {
            return;
        }
    }
}

impl<C: Choices> Worker<C> {
    /// Leaves a fiber that carries no thread: straight for the started thread that is next, if it
    /// is known, else for the loop.
    // SUSPENDS
    #[inline]
    fn rest_on(&self, fiber: &Fiber) -> Resume {
        let core = &self.core;
        if C::SWITCHES_DIRECTLY
            && let Some(Next::Started(thread)) = core.handoff.get()
            && core.rest(NonNull::from(fiber), C::FIBERS_GO_ON).is_none()
        {
            core.handoff.set(None);
            return core.go_to(Started::of(thread));
        }
        // SAFETY: S1: we run on the fiber.
        unsafe { fiber.suspend(Suspended::Resting) }
    }

    /// The next turn, taken by a fiber that has finished its thread. What it cannot run itself it
    /// leaves to the loop.
    #[inline]
    fn next_on_same_fiber(&self, fiber: &Fiber) -> Option<NonNull<Header>> {
        let core = &self.core;
        if core.stopped.get() || core.leaking() {
            return None;
        }
        match self.next() {
            Some(Next::Fresh(thread)) => {
                // SAFETY: an unstarted thread lives until it has run.
                let class = unsafe { thread.as_ref() }.class;
                // Where the reserve is missing, this fiber is it: a thread that waited on it would
                // keep it, and no further thread could be refused before somebody ends.
                let fits = class == core.shared.class && fiber.class() == class;
                if C::FIBERS_GO_ON && fits && core.has_reserve() {
                    return Some(thread);
                }
                core.handoff.set(Some(Next::Fresh(thread)));
                None
            }
            other => {
                core.handoff.set(other);
                None
            }
        }
    }
}

impl Core {
    /// Whether each turn must look where its number says, before a slice may be passed on again.
    #[inline]
    pub(crate) fn order_is_strict(&self) -> bool {
        self.turns.get() < self.strict_until.get()
    }

    /// The thread that goes on with a slice that its thread has left.
    #[inline]
    pub(super) fn pass_slice_on(&self) -> Option<Next> {
        let heirs = self.heirs.get() + 1;
        self.heirs.set(heirs);
        if heirs.is_multiple_of(HEIRS_PER_LOOK) && self.slice_is_used_up() {
            self.end_slice();
            return None;
        }
        match self.next_up.take() {
            Some(joiner) => Some(Next::Started(joiner)),
            None if self.over_share.get() => None,
            None => self.take_unstarted(Source::Young),
        }
    }

    /// A slice is over that was passed on: everybody who is ready comes first now.
    #[cold]
    fn end_slice(&self) {
        self.give_up_next();
        self.obey_messages();
        self.judge_share();
        self.drain_mailbox();
        // Two of four turns take the ready queue.
        let turns = 4 + 2 * self.ready.len();
        self.strict_until.set(self.turns.get() + turns as u64);
        if let Some(job) = self.steal_injected() {
            // The oldest job from outside has waited for a slice; it goes before the young end.
            if let Some(thread) = self.accept(job) {
                self.ready.push(thread);
            }
        }
    }

    /// Fires the timers that are due, and decides when to look again.
    #[cold]
    pub(crate) fn look_at_timers(&self) {
        let now = clock::now_ns();
        let turns = u64::from(self.timer_turns.get());
        let turn_ns = (now.saturating_sub(self.looked_ns.get()) / turns).max(1);
        let turns = (TIMER_LOOK_NS / turn_ns).clamp(1, LOOK_ROUND_TURNS) as u32;
        self.timer_turns.set(turns);
        self.timers_at.set(self.turns.get() + u64::from(turns));
        self.looked_ns.set(now);
        self.expire_timers(now);
        self.look_at_events_in_time(now);
        if self.end_by_ns.get() != u64::MAX && clock::real_now_ns() >= self.end_by_ns.get() {
            crate::sched::shutdown::stop_waiting(&self.shared);
        }
    }

    /// Fires the timers that are due at `now_ns`.
    pub(crate) fn expire_timers(&self, now_ns: u64) {
        if self.wheel().len() == 0 {
            return;
        }
        let fire = |owner: *const (), sequence| {
            let header: *const Header = owner.cast();
            // SAFETY: a thread disarms its timer when it comes back from its wait, so it lives.
            let header = unsafe { &*header };
            if header.state.time_out(Sequence::from_bits(sequence)) == Duty::Schedule {
                self.ready.push(NonNull::from(header));
            }
        };
        match &self.seeded {
            None => self.wheel().expire(now_ns, Core::load_sleepers, fire),
            Some(run) => run.expire_timers(self, now_ns, fire),
        }
    }

    /// Starts to load headers and fibers of threads whose timers are about to fire, all of one
    /// kind before the next: the locked operation of each firing ends what the processor has
    /// looked ahead.
    fn load_sleepers(owners: &[*const ()]) {
        owners.iter().for_each(|owner| crate::os::prefetch(owner.cast()));
        for owner in owners {
            let header: *const Header = owner.cast();
            // SAFETY: as in `expire_timers`.
            let fiber = unsafe { &*header }.fiber.get();
            crate::os::prefetch(fiber.cast());
        }
    }

    /// Tells a fiber that carries no thread to return, and keeps its stack.
    pub(crate) fn retire(&self, fiber: NonNull<Fiber>) {
        // SAFETY: resting, so alive.
        let resting = unsafe { fiber.as_ref() };
        // SAFETY: S1: on the worker's own stack, at home.
        if unsafe { resting.resume(Resume::Return) }.is_some() {
            crate::os::abort_with("a resting fiber did not return");
        }
        // SAFETY: S1: it has returned, and nobody else knows it.
        self.give_stack(unsafe { Fiber::into_stack(fiber) });
    }

    /// Cancels every thread that has waited here.
    pub(crate) fn cancel_all(&self) {
        self.cancelling.set(true);
        self.forbid_short_turns();
        let reason = CancelReason::shutdown(&self.shared.config.name);
        let threads: Vec<HeaderRef> =
            self.registered().filter(|thread| !thread.is_kept()).map(HeaderRef::new).collect();
        for thread in threads {
            crate::sched::door::cancel(&thread, &reason);
        }
    }
}
