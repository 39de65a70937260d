//! Channels that nobody sends on: a clock that shows a time is their message.
//!
//! Nothing runs behind them, no thread and no timer: they know when their next message is due, and
//! whoever receives waits until then, as in a sleep. Several receivers may wait for the same
//! message; the one that comes first takes it, and the others look for when the next one is due.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::channel::wait::NotReceived;
use crate::clock;
use crate::sched::door;
use crate::short_lock::ShortLock;
use crate::task::Reason;

pub(super) struct Timer {
    /// When the next message is due; `None`: never.
    next: ShortLock<Option<Instant>>,
    /// From the moment when one is received to the next one; `None`: there is one only.
    period: Option<Duration>,
}

impl Timer {
    pub(super) fn new(first: Instant, period: Option<Duration>) -> Timer {
        Timer { next: ShortLock::new(Some(first)), period }
    }

    /// When the next message is due.
    pub(super) fn next(&self) -> Option<Instant> {
        *self.next.lock()
    }

    /// Whether a message is due.
    pub(super) fn is_due(&self) -> bool {
        self.next().is_some_and(|at| at <= clock::now())
    }

    /// Receives the message if it is due.
    pub(super) fn receive_now(&self) -> Option<Instant> {
        let mut next = self.next.lock();
        let due = (*next)?;
        let now = clock::now();
        if due > now {
            return None;
        }
        // What was missed meanwhile is left out.
        *next = self.period.and_then(|period| now.checked_add(period));
        Some(due)
    }

    /// Receives the message, and waits until it is due.
    // SUSPENDS
    pub(super) fn receive(
        &self,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<Instant, NotReceived> {
        loop {
            door::switch_point();
            if let Some(message) = self.receive_now() {
                return Ok(message);
            }
            if deadline.is_some_and(|deadline| deadline <= clock::now()) {
                return Err(NotReceived::TimedOut);
            }
            wait(reason, earlier(self.next(), deadline));
        }
    }
}

/// Waits until `deadline`, or for ever.
// SUSPENDS
pub(super) fn wait(reason: Reason, deadline: Option<Instant>) {
    door::wait_unannounced(false, reason, deadline);
}

/// The earlier one of two deadlines.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
