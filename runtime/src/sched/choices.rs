//! The choices that a scheduler is free to make, behind one trait.
//!
//! Production answers from cheap counters, a seeded run from its seed, and all else is the same
//! code. The worker's loop is generic over this trait, so that production pays nothing for the
//! door: its answers are constants that the compiler folds. What code outside of the loop must ask
//! (whether a switch point yields, whether a child runs in place) it asks [`Core::seeded`], on
//! paths that are cold in production.
//!
//! No answer may lose a thread, and each must keep the fairness bound.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::ptr::NonNull;

use crate::fiber::Fiber;
use crate::sched::random::Random;
use crate::sched::seeded::Seeded;
use crate::sched::worker::{AnyWorker, Core, Worker};
use crate::task::Header;

/// Where a turn looks first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// Started threads that can run.
    Ready,
    /// The unstarted thread that was spawned last: its data is warm.
    Young,
    /// The unstarted thread that has waited longest.
    Old,
}

/// What a worker does that has found nothing to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pause {
    /// It searches and sleeps.
    Sleep,
    /// It looks once more: something has just been made ready.
    LookAgain,
}

/// See the file's comment. Whatever has a default does there what production does.
pub(crate) trait Choices: Sized + 'static {
    /// Whether a fiber that has ended its thread takes the next one on the same stack.
    const FIBERS_GO_ON: bool = true;
    /// Whether a thread that leaves its stack may go straight to the next one; see `short_turn`.
    const SWITCHES_DIRECTLY: bool = false;

    /// Whether the rest of a slice goes to an heir; asked when a thread has left one.
    #[inline(always)]
    fn passes_slice_on(&self, _core: &Core) -> bool {
        true
    }

    /// Called at the beginning of a turn, after the mailbox was emptied.
    #[inline(always)]
    fn begin_turn(&self, core: &Core) {
        core.refill_budget();
    }

    /// Where turn number `turn` looks first.
    fn source(&self, turn: u64) -> Source;

    /// Which of the threads in the ready queue goes on.
    #[inline(always)]
    fn take_ready(&self, core: &Core) -> Option<NonNull<Header>> {
        core.ready.pop()
    }

    /// Which of `count` victims a search begins with.
    fn first_victim(&self, count: usize) -> usize;

    /// A fiber for a thread that starts.
    #[inline(always)]
    fn fiber_for(
        &self,
        core: &Core,
        thread: &Header,
        entry: fn(&Fiber),
    ) -> io::Result<NonNull<Fiber>> {
        core.fiber_for(thread, entry)
    }

    /// Called when a thread has yielded, before it stands in the ready queue.
    #[inline(always)]
    fn note_yield(&self, _core: &Core, _thread: &Header) {}

    /// Called when a thread waits, after the commit.
    #[inline(always)]
    fn note_wait(&self, _core: &Core, _thread: &Header) {}

    /// Called when nothing is left to run, before the worker sleeps.
    #[inline(always)]
    fn before_sleep(&self, _core: &Core) -> Pause {
        Pause::Sleep
    }
}

/// A worker that makes the choices that its runtime's settings ask for.
pub(crate) fn worker(core: Core) -> Box<dyn AnyWorker> {
    if core.seeded.is_some() {
        return Box::new(Worker { core, choices: Seeded });
    }
    match core.shared.config.shuffle {
        // Not in release builds, where each setting would double the loop for nobody's use.
        Some(seed) if cfg!(debug_assertions) => {
            let choices = Shuffled::new(seed, core.index);
            Box::new(Worker { core, choices })
        }
        _ => {
            core.switches_directly.set(Production::SWITCHES_DIRECTLY);
            let choices = Production::new(core.index);
            Box::new(Worker { core, choices })
        }
    }
}

/// What production chooses.
pub(crate) struct Production {
    random: Random,
}

impl Production {
    /// Streams differ from worker to worker: if all began with the same victim, they would collide.
    fn new(worker: usize) -> Production {
        Production { random: Random::new(0).split(worker as u64) }
    }
}

/// Of four turns two take the ready queue, one each end of the deque. Taking only the young end
/// would leave the oldest thread for ever, under a chain of spawns.
#[inline(always)]
fn source_in_fours(turn: u64) -> Source {
    match turn & 3 {
        1 => Source::Young,
        3 => Source::Old,
        _ => Source::Ready,
    }
}

impl Choices for Production {
    const SWITCHES_DIRECTLY: bool = crate::fiber::SWITCHES_DIRECTLY;

    #[inline]
    fn source(&self, turn: u64) -> Source {
        source_in_fours(turn)
    }

    fn first_victim(&self, count: usize) -> usize {
        self.random.below(count as u64) as usize
    }
}

/// What a debug build chooses under `SYLVAN_SHUFFLE`: production's rules, in an order on which
/// nobody can come to depend.
pub(crate) struct Shuffled {
    random: Random,
    /// How many threads at the head of the ready queue are shuffled and not yet taken.
    batch: Cell<usize>,
}

impl Shuffled {
    fn new(seed: u64, worker: usize) -> Shuffled {
        Shuffled { random: Random::new(seed).split(worker as u64), batch: Cell::new(0) }
    }
}

impl Choices for Shuffled {
    fn source(&self, turn: u64) -> Source {
        source_in_fours(turn)
    }

    /// A batch at a time: what stands in the queue now is shuffled, and what comes later waits for
    /// the next batch. So a thread waits for at most two batches, which is the production bound
    /// again: every second turn takes the ready queue.
    fn take_ready(&self, core: &Core) -> Option<NonNull<Header>> {
        if self.batch.get() == 0 {
            core.ready.shuffle(|bound| self.random.below(bound as u64) as usize);
            self.batch.set(core.ready.len());
        }
        self.batch.set(self.batch.get().saturating_sub(1));
        core.ready.pop()
    }

    fn first_victim(&self, count: usize) -> usize {
        self.random.below(count as u64) as usize
    }
}
