//! How the result of a pool thread's work comes to the thread that waits for it, if that is still
//! there.
//!
//! Three things may happen to a hand-over: the work ends, its waiter begins or repeats a wait, its
//! waiter leaves. Each is one step under a short lock:
//!
//! ```text
//!            wait begun: entered        work ends: DONE, who is entered is woken
//!        ┌────────────┐               ┌──────────────────────▶ DONE ──┐ waiter takes it
//!        └──────▶ OPEN ┴──────────────┘                                ▼
//!                  └───────────── waiter leaves ────────────────────▶ GONE ◀─┐
//!                                                                      └─────┘ work ends: dropped
//! ```
//!
//! *No result is missed.* A wait has its number before the waiter enters it here; so whoever ends
//! the work after that finds it and ends that very wait, and a waiter that comes after the end
//! finds the result. A wake that comes for an older wait of the same thread ends nothing.
//!
//! *A waiter may vanish.* It is known here by a counted header and a number, nothing of it is
//! pointed to, and both sides own the hand-over. A thread that is leaked leaves its share behind
//! and the pool thread notices nothing.
//!
//! The lock is never held over a destructor of user code, nor over a wake.
#![forbid(unsafe_code)]

use std::mem;

use crate::primitives::Mutex;
use crate::sched::door::{self, Pending};
use crate::task::packet::{self, Outcome};
use crate::task::{HeaderRef, Reason, Sequence};

/// See the file's comment.
pub(super) struct HandOver<T> {
    stage: Mutex<Stage<T>>,
}

enum Stage<T> {
    /// The work goes on or has yet to begin. Who waits for it, and under which number.
    Open(Option<(HeaderRef, Sequence)>),
    /// It has ended.
    Done(Outcome<T>),
    /// The waiter has what it waited for, or has left.
    Gone,
}

impl<T> HandOver<T> {
    pub(super) fn new() -> HandOver<T> {
        HandOver { stage: Mutex::new(Stage::Open(None)) }
    }

    /// Hands over what the work has given. Called once, by the pool thread.
    pub(super) fn complete(&self, outcome: Outcome<T>) {
        match self.leave_outcome(outcome) {
            Ok(None) => (),
            Ok(Some((thread, sequence))) => {
                // If it has ended otherwise, the waiter looks again or leaves.
                door::wake(&thread, sequence);
            }
            Err(unwanted) => packet::drop_quietly(unwanted),
        }
    }

    /// Gives who is to be woken, or the outcome back if nobody wants it.
    fn leave_outcome(
        &self,
        outcome: Outcome<T>,
    ) -> Result<Option<(HeaderRef, Sequence)>, Outcome<T>> {
        self.change(|stage| match stage {
            Stage::Open(waiter) => (Stage::Done(outcome), Ok(waiter)),
            Stage::Gone => (Stage::Gone, Err(outcome)),
            Stage::Done(_) => unreachable!("work ends once"),
        })
    }

    /// Waits for the outcome and takes it. If the thread is cut off instead, it leaves.
    // SUSPENDS
    pub(super) fn wait(&self, reason: Reason) -> Outcome<T> {
        let _leaves = Leaves(self);
        loop {
            let pending = door::begin(false);
            if let Some(outcome) = self.take_or_enter(&pending) {
                pending.abandon();
                return outcome;
            }
            pending.wait(reason, None);
        }
    }

    fn take_or_enter(&self, pending: &Pending) -> Option<Outcome<T>> {
        let waiter = (pending.thread(), pending.sequence());
        self.change(|stage| match stage {
            Stage::Open(_) => (Stage::Open(Some(waiter)), None),
            Stage::Done(outcome) => (Stage::Gone, Some(outcome)),
            Stage::Gone => unreachable!("only the waiter leaves"),
        })
    }

    /// The one step of either side. What it takes out is dropped without the lock.
    fn change<R>(&self, step: impl FnOnce(Stage<T>) -> (Stage<T>, R)) -> R {
        let mut stage = self.stage.lock().unwrap_or_else(|e| e.into_inner());
        let (next, result) = step(mem::replace(&mut *stage, Stage::Gone));
        *stage = next;
        result
    }
}

/// Marks that the waiter has gone, when it does, by whichever way.
struct Leaves<'a, T>(&'a HandOver<T>);

impl<T> Drop for Leaves<'_, T> {
    fn drop(&mut self) {
        let left = self.0.change(|stage| (Stage::Gone, stage));
        // The work may have ended a moment before the waiter was cut off.
        packet::drop_quietly(left);
    }
}
