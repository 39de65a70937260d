//! How long a thread may go on: a budget of runtime calls, and a slice of time.
//!
//! Nothing is preempted, so fairness rests on calls: each call into the runtime is charged, and
//! when the budget is spent the clock is asked whether the slice is over. If it is, the next call
//! that may switch yields. Counting calls costs an instruction or two, asking the clock 20 ns. A
//! seeded run has no budget left at any time, so that each call is one of its choices.
#![forbid(unsafe_code)]

use crate::clock;
use crate::sched::worker::Core;

/// Runtime calls between two looks at the slice; at some 10 ns each, a look costs little.
pub(crate) const BUDGET_CALLS: i32 = 128;
/// How long a thread may run through its switch points before one of them yields.
const SLICE_NS: u64 = 100_000;

impl Core {
    /// Charges one runtime call to the current thread. True: it has run for longer than a slice,
    /// so the next switch point yields. Calls that never switch leave a debt by this.
    #[inline]
    pub(crate) fn charge(&self) -> bool {
        let left = self.budget.get() - 1;
        self.budget.set(left);
        // A program that only spawns has its slice over for long: no call for that.
        left < 0 && (self.slice_is_over.get() || self.look_at_slice())
    }

    /// Charges one runtime call, if the budget has one left; else charges nothing, and the caller
    /// goes the long way by [`Core::charge`].
    #[inline(always)]
    pub(crate) fn charge_within_budget(&self) -> bool {
        let left = self.budget.get();
        let within = left > 0;
        if within {
            self.budget.set(left - 1);
        }
        within
    }

    /// Charges a spawn, which never switches. An error: the spawn fails, in a seeded run that wants
    /// it so. One step, for ordinary runtimes to ask nothing more than whether the budget is spent.
    #[inline]
    pub(crate) fn charge_spawn(&self) -> std::io::Result<()> {
        let left = self.budget.get() - 1;
        self.budget.set(left);
        if left >= 0 || self.slice_is_over.get() { Ok(()) } else { self.charge_spent_spawn() }
    }

    #[cold]
    fn charge_spent_spawn(&self) -> std::io::Result<()> {
        self.look_at_slice();
        self.seeded.as_ref().map_or(Ok(()), |run| run.spawn_fault())
    }

    #[cold]
    fn look_at_slice(&self) -> bool {
        if let Some(run) = &self.seeded {
            // Its budget is always spent, so each charge comes here.
            return run.yields_here(self);
        }
        if !self.slice_is_used_up() {
            self.budget.set(BUDGET_CALLS);
            return false;
        }
        // The budget stays spent until a switch: calls that may not switch leave it so.
        self.slice_is_over.set(true);
        true
    }

    /// Whether the present turn has lasted for a slice. The first look of a turn starts its clock.
    #[cold]
    pub(crate) fn slice_is_used_up(&self) -> bool {
        if self.seeded.is_some() {
            // Where a slice ends is drawn, not measured.
            return false;
        }
        let now = clock::now_ns();
        if self.slice_turn.get() != self.turns.get() {
            self.slice_turn.set(self.turns.get());
            self.slice_start_ns.set(now);
            return false;
        }
        now - self.slice_start_ns.get() >= SLICE_NS
    }

    /// Leaves nothing of the budget, so that each call is looked at.
    pub(crate) fn spend_budget(&self) {
        self.budget.set(0);
    }

    /// Begins a new budget.
    pub(crate) fn refill_budget(&self) {
        self.slice_is_over.set(false);
        self.budget.set(BUDGET_CALLS);
    }
}
