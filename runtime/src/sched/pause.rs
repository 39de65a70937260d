//! What a worker does that has nothing to run: it searches, and then it sleeps.
//!
//! The protocol, with its proof, is in `README.md` beside this file; the steps below carry its
//! numbers. Nothing here polls while nobody runs: a worker sleeps until its next timer, until
//! something is sent to it, or until it is picked to search. Spins before a sleep are as long as a
//! wake costs, and only where they have paid lately.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock;
use crate::os;
use crate::record::{self, Event};
use crate::sched::choices::{Choices, Pause};
use crate::sched::idle::{Role, Sleep};
use crate::sched::job::{Job, Kind};
use crate::sched::report::Detail;
use crate::sched::shared::Phase;
use crate::sched::start;
use crate::sched::worker::{Core, Worker};
use crate::task::blocks;
use crate::task::mailbox::{Description, Message};

/// The sentinel's first interval and its longest. A stuck owner's work is found within the
/// longest, so the guarantee of 20 ms leaves 4 ms for the kernel to run the sentinel.
const SENTINEL_FIRST: Duration = Duration::from_millis(1);
const SENTINEL_LAST: Duration = Duration::from_millis(16);
/// See [`Core::paced`]. At 1,400 sleeps a second, of some 15 µs each, timers cost 2 % of a
/// processor besides what their threads do, and are late by 0.7 ms at most.
const TIMER_PACE_NS: u64 = 700_000;
const TIMER_BURST: u64 = 16;
/// How many entries beside the first a thief takes from a deque of threads.
const STEAL_MORE_MAX: usize = 16;
/// For how long a worker sleeps that leaves its deque to others: its mailbox does not wake it.
const STAND_BACK: Duration = Duration::from_micros(100);
/// A search looks round once per this many spins; a spin is some 20 ns.
const SPINS_PER_LOOK: u32 = 32;

impl<C: Choices> Worker<C> {
    /// Finds something to do or sleeps until there may be something. False: the runtime has ended.
    #[cold]
    pub(crate) fn pause(&self) -> bool {
        let core = &self.core;
        if start::is_forked_child() {
            // A worker that was copied by a fork would sleep here for ever.
            crate::os::abort_with("a green thread waits in a forked child; only exec is supported");
        }
        core.obey_messages();
        if core.shared.phase() != Phase::Running && core.shared.try_end() {
            return false;
        }
        core.look_at_timers();
        if core.leaking() {
            return false;
        }
        // Before a search, which others pay for too. A lone worker searches nowhere: it goes on to
        // its sleep, which looks as well.
        if core.shared.remotes.len() > 1 {
            core.look_at_events();
        }
        if core.ready.len() > 0 || !core.mailbox().is_empty() {
            return true;
        }
        if !core.deque.is_empty() {
            // It is left to others for a moment; see `share`.
            core.stand_back();
            return true;
        }
        if self.choices.before_sleep(core) == Pause::LookAgain {
            return true;
        }
        let mut searching = core.shared.remotes.len() > 1 && core.shared.idle.start_search();
        if searching {
            if self.search(core.searches_pay.get() || core.woken_by_other.get()) {
                return true;
            }
        } else if core.spins_for_own() || core.spins_for_events() {
            return true;
        }
        if core.tidy_up() {
            if searching {
                core.give_up_search();
            }
            return true;
        }
        // Sleeps, and searches each time that it was picked for it.
        loop {
            match self.sleep(searching) {
                Role::Own | Role::OwnFromPost => return true,
                Role::Searcher => searching = true,
            }
            let found = self.search(true);
            if found || core.has_own_work() || core.shared.phase() != Phase::Running {
                if !found {
                    core.give_up_search();
                }
                return true;
            }
        }
    }

    /// Looks for work in the other deques and the injector: once, or if it `spins` for about as
    /// long as a wake costs. The caller counts as searching; true: no more, for work was found.
    ///
    /// Who was picked spins, for there was work; who has merely run out of its own does so only if
    /// that paid last time, or if another worker has woken one of its threads, and so may again. A
    /// worker that timers wake, one after the other, would else spend more time on spinning than on
    /// its threads (measured: twice the CPU).
    fn search(&self, spins: bool) -> bool {
        let core = &self.core;
        let begun = clock::now_ns();
        loop {
            if let Some(job) = self.steal() {
                core.deque.push(job);
                core.searches_pay.set(true);
                let last = core.shared.idle.end_search_with_work();
                // Step 3: the last searcher that finds something hands the search on, for there
                // may be more, and a sentinel's post may be vacant.
                if last && (core.shared.idle.is_vacant() || core.sees_work()) {
                    core.shared.pick_searcher();
                }
                return true;
            }
            if !spins {
                return false;
            }
            for _ in 0..SPINS_PER_LOOK {
                std::hint::spin_loop();
            }
            if core.has_own_work() {
                core.give_up_search();
                return true;
            }
            if clock::now_ns() - begun > core.shared.wake_cost_ns() {
                core.searches_pay.set(false);
                core.woken_by_other.set(false);
                return false;
            }
        }
    }

    /// One job from another worker's old end, or from outside.
    fn steal(&self) -> Option<Job> {
        let core = &self.core;
        let remotes = &core.shared.remotes;
        let first = self.choices.first_victim(remotes.len());
        for step in 0..remotes.len() {
            let victim = (first + step) % remotes.len();
            if victim == core.index {
                continue;
            }
            if let Some(job) = core.steal_from(victim) {
                return Some(job);
            }
        }
        core.steal_injected()
    }

    /// Sleeps once (steps 4 to 6). The caller stops searching by this, if it does.
    fn sleep(&self, searching: bool) -> Role {
        let core = &self.core;
        let mailbox = core.mailbox();
        let idle = &core.shared.idle;
        if !mailbox.announce_sleep(core.watches()) {
            if searching {
                core.give_up_search();
            }
            return Role::Own;
        }
        let mut sleep = idle.fall_asleep(core.index, searching);
        // Step 5: what came from outside before the announcement was seen by nobody else. So was
        // the runtime's end: `nudge_all` reaches those who have announced their sleep, and only
        // them. The fence in `fall_asleep` stands between the announcement and these looks.
        let ended = core.shared.phase() >= Phase::Ended;
        if !ended && core.shared.injector.is_empty() && !mailbox.has_messages() {
            record::event(Event::Sleep);
            self.sleep_until_needed(&mut sleep);
        }
        mailbox.retract_sleep();
        core.woken_by_other.set(!mailbox.is_empty());
        core.drain_mailbox();
        let role = idle.wake_up(core.index, sleep);
        core.note_wake_cost();
        core.look_at_timers();
        if role == Role::OwnFromPost {
            core.hand_over();
        }
        role
    }

    /// Steps 4a to 4c: on the futex or until events come, as a sentinel with a look round at each
    /// interval.
    fn sleep_until_needed(&self, sleep: &mut Sleep) {
        let core = &self.core;
        let mailbox = core.mailbox();
        let mut interval = SENTINEL_FIRST;
        loop {
            let timer = core.until_next_deadline();
            let trim = core.until_next_trim();
            let post = (*sleep == Sleep::Sentinel).then_some(interval);
            let timeout = [timer, post, trim].into_iter().flatten().min();
            if mailbox.sleeps_by_doorbell() {
                core.collect(timeout);
            } else if timeout != Some(Duration::ZERO) {
                mailbox.sleep(timeout);
            }
            if mailbox.is_sleeping() {
                blocks::trim();
            }
            let timer_is_due = core.until_next_deadline() == Some(Duration::ZERO);
            if timer_is_due {
                core.note_timer_wake();
            }
            if timer_is_due || !mailbox.is_sleeping() || core.ready.len() > 0 {
                return;
            }
            if *sleep == Sleep::Sentinel {
                if core.sees_work() {
                    return;
                }
                if core.shared.idle.leave_post() {
                    *sleep = Sleep::Plain;
                }
                interval = (interval * 2).min(SENTINEL_LAST);
            }
        }
    }
}

impl Core {
    /// One job from `victim`'s old end; from a long deque of threads some more.
    pub(crate) fn steal_from(&self, victim: usize) -> Option<Job> {
        let remote = &self.shared.remotes[victim];
        let job = loop {
            match remote.stealer.steal() {
                crossbeam_deque::Steal::Success(job) => break job,
                crossbeam_deque::Steal::Empty => return None,
                crossbeam_deque::Steal::Retry => std::hint::spin_loop(),
            }
        };
        record::event(Event::Steal);
        // ORDERING: Relaxed; a heuristic of the victim's.
        remote.stolen.fetch_add(1, Ordering::Relaxed);
        // Arms of a join are taken singly: each is half of what is left of its tree.
        if matches!(job.kind(), Kind::Thread(_)) {
            let more = (remote.stealer.len() / 2).min(STEAL_MORE_MAX);
            if more > 0 {
                let _ = remote.stealer.steal_batch_with_limit(&self.deque, more);
            }
        }
        Some(job)
    }

    /// Ends a search that found nothing, by a worker that goes on with work of its own.
    fn give_up_search(&self) {
        self.shared.idle.end_search();
        self.hand_over();
    }

    /// Step 6: a sentinel or a searcher goes on with work of its own, so its promise to look is
    /// void. Pushes from now on see that, and pick; those before may have relied on the promise
    /// and may not have been seen here yet, which the barrier mends.
    fn hand_over(&self) {
        if self.shared.idle.is_vacant() && (!os::heavy_barrier() || self.sees_work()) {
            self.shared.pick_searcher();
        }
    }

    /// Whether a deque of another worker or the injector holds work.
    fn sees_work(&self) -> bool {
        let others = self.shared.remotes.iter().enumerate();
        !self.shared.injector.is_empty()
            || others
                .into_iter()
                .any(|(index, remote)| index != self.index && !remote.stealer.is_empty())
    }

    /// Lets other kernel threads have the processor for a moment, which events and timers end.
    ///
    /// Where descriptors are watched it sleeps, for to yield is not enough: of the workers that
    /// wait for a processor some may wait for another one, and only an idle one fetches them.
    fn stand_back(&self) {
        if self.watches() && self.seeded.is_none() {
            let timeout =
                [self.until_next_deadline(), Some(STAND_BACK)].into_iter().flatten().min();
            self.collect(timeout);
        } else {
            std::thread::yield_now();
        }
    }

    /// How long until this worker must look round by itself.
    pub(super) fn until_next_deadline(&self) -> Option<Duration> {
        // A virtual clock stands still while its worker sleeps, so no timer ends that sleep.
        let stands_still = self.seeded.as_ref().is_some_and(|run| run.has_virtual_time());
        let timer = if stands_still { None } else { self.wheel().next_deadline_ns() };
        let timer = timer.map(|at| self.paced(at));
        let end_by = self.end_by_ns.get();
        let at = match timer {
            Some(timer) => timer.min(end_by),
            None if end_by == u64::MAX => return None,
            None => end_by,
        };
        Some(Duration::from_nanos(at.saturating_sub(clock::real_now_ns())))
    }

    /// How long until memory of headers may go that nobody needs. A seeded run leaves that to
    /// others, for it must not depend on what else its process has done.
    fn until_next_trim(&self) -> Option<Duration> {
        let at = blocks::trim_at_ns().filter(|_| self.seeded.is_none())?;
        Some(Duration::from_nanos(at.saturating_sub(clock::real_now_ns())))
    }

    /// The earliest that a sleep may end for a timer that is due at `at_ns`.
    ///
    /// Where timers follow each other closely, a sleep for each costs more than all that the
    /// timers do: so sleeps that timers end are paced. Up to [`TIMER_BURST`] of them are exact, as
    /// they are where timers are few; beyond, one in [`TIMER_PACE_NS`] fires what is due by then.
    fn paced(&self, at_ns: u64) -> u64 {
        at_ns.max(self.timer_pace_ns.get().saturating_sub(TIMER_BURST * TIMER_PACE_NS))
    }

    /// Counts a sleep that a timer has ended.
    fn note_timer_wake(&self) {
        let pace = self.timer_pace_ns.get().max(clock::real_now_ns());
        self.timer_pace_ns.set(pace + TIMER_PACE_NS);
    }

    /// Whether something came for this worker alone.
    fn has_own_work(&self) -> bool {
        !self.mailbox().is_empty() || self.ready.len() > 0 || !self.deque.is_empty()
    }

    /// Spins on the own mailbox, if the last wake came from another worker: two workers that wake
    /// each other by turns would else pay a kernel's wake each time.
    fn spins_for_own(&self) -> bool {
        if !self.woken_by_other.get() || self.shared.remotes.len() == 1 {
            return false;
        }
        let begun = clock::now_ns();
        while clock::now_ns() - begun < self.shared.wake_cost_ns() {
            for _ in 0..SPINS_PER_LOOK {
                std::hint::spin_loop();
            }
            if !self.mailbox().is_empty() {
                return true;
            }
        }
        self.woken_by_other.set(false);
        false
    }

    /// Gives memory back. True: there is more to do, if nothing else has come meanwhile.
    fn tidy_up(&self) -> bool {
        while self.resting_count() > RESTING_WHEN_IDLE {
            match self.take_resting() {
                Some(fiber) => self.retire(fiber),
                None => break,
            }
        }
        self.ready.shrink();
        self.wheel().shrink();
        self.blocks.rest();
        self.with_pool(|pool| pool.on_idle())
    }

    /// Measures what a wake costs, where this sleep ended by a pick.
    fn note_wake_cost(&self) {
        // ORDERING: Relaxed; a heuristic.
        let picked = self.remote().picked_at_ns.swap(0, Ordering::Relaxed);
        if picked != 0 {
            self.shared.note_wake_cost(clock::now_ns().saturating_sub(picked));
        }
    }

    /// Carries out the orders that came by mailbox.
    pub(crate) fn obey_messages(&self) {
        if !self.mailbox().has_messages() {
            return;
        }
        for message in self.mailbox().take_messages() {
            match message {
                Message::CancelAll => self.cancel_all(),
                Message::LookRound => (),
                Message::Describe(answers) => {
                    let lines = self.describe(Detail::Stacks);
                    // The asker may have gone; then nobody wants to know.
                    let _ = answers.send(Description { worker: self.index, lines });
                }
            }
        }
    }
}

/// Fibers that keep their stacks while their worker sleeps.
const RESTING_WHEN_IDLE: usize = 4;
