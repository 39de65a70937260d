//! A wake in two steps: the wait ends at once, and its thread is scheduled later.
//!
//! A queue must decide under its lock whose wait it ends, but to make that thread run may take the
//! time of a system call, which no lock should be held for. What lies between the two steps is a
//! duty; it is carried out once, or a thread never runs again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::Waker;

use crate::sched::door;
use crate::task::packet;
use crate::task::{Duty, Header, HeaderRef, Kind, Sequence};

/// How many are woken between two unlockings of a queue: some microseconds' work.
const BATCH: usize = 32;

/// A thread whose wait has ended, and which somebody has to schedule; or a task of somebody else's.
#[must_use]
pub(crate) struct Woken(Owed);

enum Owed {
    /// It had not left its stack yet.
    Nothing,
    Green(NonNull<Header>),
    Kernel(HeaderRef),
    /// User code: it runs on the stack of whoever schedules, which is never the worker's own.
    Task(Waker),
}

impl Woken {
    /// Ends the wait `sequence` of `thread`. `None`: it has ended otherwise.
    #[inline]
    pub(crate) fn wake(thread: &Header, sequence: Sequence) -> Option<Woken> {
        // A kernel thread may go on, and even end, as soon as its word has changed.
        let counted = (thread.kind == Kind::Kernel).then(|| HeaderRef::new(thread));
        match thread.state.wake(sequence) {
            Duty::Nothing => None,
            Duty::Noted => Some(Woken(Owed::Nothing)),
            Duty::Schedule => Some(Woken(match counted {
                Some(thread) => Owed::Kernel(thread),
                None => Owed::Green(NonNull::from(thread)),
            })),
        }
    }

    /// A task that waits in a future.
    #[inline]
    pub(crate) fn task(waker: Waker) -> Woken {
        Woken(Owed::Task(waker))
    }

    /// Places for those who are woken in one go.
    #[inline]
    pub(crate) fn batch() -> [Option<Woken>; BATCH] {
        [const { None }; BATCH]
    }

    /// Carries out what is owed to those in the first places of a batch.
    #[inline]
    pub(crate) fn schedule_all(batch: &mut [Option<Woken>]) {
        for woken in batch.iter_mut().map_while(Option::take) {
            woken.schedule();
        }
    }

    /// Carries out what is owed.
    #[inline]
    pub(crate) fn schedule(self) {
        match self.0 {
            Owed::Nothing => (),
            // SAFETY: a green thread whose wait has ended stays where it is until it was scheduled,
            // and lives until it has run.
            Owed::Green(thread) => door::schedule(unsafe { thread.as_ref() }),
            Owed::Kernel(thread) => door::schedule(&thread),
            Owed::Task(waker) => wake_task(waker),
        }
    }
}

/// Calls a waker. If it panics, the hook has said so: that fails neither the call that wakes nor
/// those who are woken next.
#[cold]
fn wake_task(waker: Waker) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        packet::drop_quietly(panic);
    }
}
