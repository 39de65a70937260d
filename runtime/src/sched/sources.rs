//! Where the threads come from that a worker runs: its deque, the injector, its mailbox.
//!
//! Each is taken from in the order that `turn` asks for. What comes out of a deque or the injector
//! is a job, and a job may be an arm of a `join` whose owner has run it meanwhile.

use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use crossbeam_deque::Steal;

use crate::sched::arm;
use crate::sched::choices::Source;
use crate::sched::job::{self, Job};
use crate::sched::slot::Claim;
use crate::sched::worker::{Core, Counters, Next};
use crate::task::Header;

impl Core {
    #[inline]
    pub(super) fn take_unstarted(&self, source: Source) -> Option<Next> {
        loop {
            // Asked first, for a pop costs a full fence even where there is nothing to pop.
            if self.deque.is_empty() {
                self.end_leave();
                return None;
            }
            let job = match source {
                Source::Old => self.steal_from_self(),
                _ => self.deque.pop(),
            };
            // A thief was faster; the next look finds that out.
            let Some(job) = job else { continue };
            if let Some(thread) = self.accept(job) {
                return Some(Next::Fresh(thread));
            }
        }
    }

    pub(super) fn take_injected(&self) -> Option<Next> {
        loop {
            let job = self.steal_injected()?;
            if let Some(thread) = self.accept(job) {
                return Some(Next::Fresh(thread));
            }
        }
    }

    /// Moves what others sent into the ready queue.
    #[inline]
    pub(crate) fn drain_mailbox(&self) {
        let mailbox = self.mailbox();
        if !mailbox.is_empty() {
            let chain = mailbox.drain();
            if let Some(run) = &self.seeded
                && !chain.is_null()
            {
                run.note_mail();
            }
            self.drain_into_ready(chain);
        }
    }

    /// Moves a chain, oldest first, into the ready queue; what has not started, and may run
    /// anywhere, into the deque.
    pub(crate) fn drain_into_ready(&self, mut chain: *mut Header) {
        while let Some(thread) = NonNull::new(chain) {
            // SAFETY: whoever pushed it keeps it alive until it has run.
            let header = unsafe { thread.as_ref() };
            // ORDERING: Relaxed; the drain has synchronised.
            chain = header.next.load(Ordering::Relaxed);
            if header.fiber.get().is_null() {
                self.offer(Job::thread(thread));
            } else {
                self.ready.push(thread);
            }
        }
    }

    /// The deque's old end, by the owner.
    pub(crate) fn steal_from_self(&self) -> Option<Job> {
        self.remote().stealer.steal().success().or_else(|| self.deque.pop())
    }

    /// A job from outside, and some more into the own deque.
    pub(crate) fn steal_injected(&self) -> Option<Job> {
        let injector = &self.shared.injector;
        loop {
            if injector.is_empty() {
                return None;
            }
            match injector.steal_batch_with_limit_and_pop(&self.deque, 16) {
                Steal::Success(job) => {
                    if !self.deque.is_empty() {
                        // The rest of the batch lies here now, and on the way nobody could see it.
                        self.offered();
                    }
                    return Some(job);
                }
                Steal::Empty => return None,
                Steal::Retry => std::hint::spin_loop(),
            }
        }
    }

    /// Makes a job into a thread that can start; `None` for a tombstone.
    #[inline]
    pub(crate) fn accept(&self, job: Job) -> Option<NonNull<Header>> {
        match job.kind() {
            job::Kind::Thread(thread) => Some(thread),
            job::Kind::Arm(slot) => {
                let thread = arm::thread_for(slot, self.shared.class);
                slot.thief.set(thread.as_ptr());
                match slot.claim_by_thief() {
                    Claim::Won => {
                        Counters::add(&self.remote().counters.spawned, 1);
                        Some(thread)
                    }
                    Claim::Lost => {
                        arm::discard(thread);
                        self.slots.give(slot);
                        None
                    }
                }
            }
        }
    }
}
