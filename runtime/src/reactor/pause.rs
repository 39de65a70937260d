//! Trying again where the kernel tells nobody when: pauses that grow.
//!
//! A Unix listener whose queue is full, a Unix datagram socket that somebody else has filled, and a
//! process that has run out of descriptors end such a state without an event of the socket that
//! waits for it. So who meets it pauses at the door and tries again; first soon, for it ends soon
//! as a rule, and then less and less often.
//!
//! Nothing that has an event may wait here.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::clock;
use crate::sched::door;
use crate::task::{Cause, Reason, WaitKind};

/// The first pause; each next one is twice as long.
const SHORTEST: Duration = Duration::from_micros(100);

/// No pause is longer: so many attempts a second cost nothing that could be noticed.
const LONGEST: Duration = Duration::from_millis(10);

/// The pauses of one call.
pub(crate) struct Pauses {
    next: Duration,
    deadline: Option<Instant>,
}

impl Pauses {
    /// Pauses for a call that ends after `timeout`.
    pub(crate) fn within(timeout: Option<Duration>) -> Pauses {
        Pauses { next: SHORTEST, deadline: timeout.and_then(clock::deadline_in) }
    }

    /// Waits for the next attempt. False: the time of the call is over.
    // SUSPENDS
    #[track_caller]
    pub(crate) fn pause(&mut self, kind: WaitKind) -> bool {
        if self.deadline.is_some_and(|deadline| deadline <= clock::now()) {
            return false;
        }
        sleep_to(earlier(clock::deadline_in(self.next), self.deadline), door::reason(kind));
        self.next = LONGEST.min(self.next * 2);
        true
    }
}

/// Waits for the longest of the pauses, or until `deadline` if that comes first.
// SUSPENDS
#[cold]
pub(crate) fn pause_longest(reason: Reason, deadline: Option<Instant>) {
    sleep_to(earlier(clock::deadline_in(LONGEST), deadline), reason);
}

// SUSPENDS
fn sleep_to(end: Option<Instant>, reason: Reason) {
    loop {
        door::switch_point();
        if door::wait_unannounced(false, reason, end) == Cause::TimedOut {
            return;
        }
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
