//! Accepting connections, for listeners of both kinds.
//!
//! What is peculiar to it is the process that has run out of descriptors or memory. The connection
//! stays in the listener's queue, so the listener stays ready, and a loop that notes the error and
//! goes on would spin. So after such an error the next call pauses before it tries again. The error
//! itself comes at once, and no loop needs to know of this.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::AsFd;

use crate::os;
use crate::primitives::{AtomicBool, Ordering};
use crate::reactor::{Interest, Source, pause};
use crate::sched::door;
use crate::task::WaitKind;

/// A listener's memory of its last call: it has failed for want of something that the next one will
/// want, too.
pub(super) struct Exhaustion(AtomicBool);

impl Exhaustion {
    pub(super) fn new() -> Exhaustion {
        Exhaustion(AtomicBool::new(false))
    }

    /// Accepts by `attempt`.
    // SUSPENDS
    #[inline]
    #[track_caller]
    pub(super) fn accept<S: AsFd, R>(
        &self,
        source: &Source<S>,
        attempt: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        // ORDERING: Relaxed, here and below; a hint that spares processor time, and guards nothing.
        if self.0.load(Ordering::Relaxed) {
            if !source.is_nonblocking() {
                pause::pause_longest(door::reason(WaitKind::Accept), None);
            }
            self.0.store(false, Ordering::Relaxed);
        }
        let accepted = source.perform(Interest::Read, WaitKind::Accept, attempt);
        if let Err(error) = &accepted
            && os::is_exhaustion(error)
        {
            self.0.store(true, Ordering::Relaxed);
        }
        accepted
    }
}
