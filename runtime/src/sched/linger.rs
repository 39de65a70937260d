//! A moment before a kernel thread sleeps, in which its wait may end.
//!
//! To put a kernel thread to sleep and to wake it are a call of the kernel's for either side and
//! take tens of microseconds; two that hand messages to each other on two processors answer within
//! one. So whoever is likely to be woken soon looks at its word for a while *before* it commits its
//! wait: a wake that comes until then finds that nobody sleeps. On two processors a round trip of
//! two kernel threads by rendezvous fell from 40 µs to 1 or 2 by that.
#![forbid(unsafe_code)]

use crate::sched::door::Pending;
use crate::task::Kind;

/// Some four microseconds: a fraction of what it takes to fall asleep and be woken, which is all
/// that is lost if nobody comes.
const LOOKS: u32 = 32;
const PAUSES: u32 = 8;

/// Lets a kernel thread linger in a wait that it has begun. A green thread has nothing to save.
#[inline]
pub(crate) fn linger(pending: &Pending) {
    if pending.header().kind == Kind::Kernel && !cfg!(loom) {
        look(pending);
    }
}

fn look(pending: &Pending) {
    for _ in 0..LOOKS {
        if !pending.header().state.is_wait_open() {
            return;
        }
        for _ in 0..PAUSES {
            std::hint::spin_loop();
        }
    }
}
