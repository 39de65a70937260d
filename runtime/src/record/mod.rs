//! Event points: the places where the life of threads can be watched.
//!
//! Tests count wake-ups and switches, and later a trace wants to show them; but a yield costs 12
//! ns, so a point that nobody watches must cost one load of a flag that never changes. Each point
//! is an inlined call behind a static flag; what happens when the flag is set is out of line.
//!
//! Nothing here may wait, allocate, or call user code: points lie in the scheduler's hot paths.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Event {
    /// A thread was made.
    Spawn,
    /// A thread had its first turn.
    Start,
    /// A thread that had not started ran on its parent's stack.
    InPlace,
    /// A thread left its stack in order to wait.
    Wait,
    /// A thread left its stack although it could go on.
    Yield,
    /// A thread became ready.
    Wake,
    /// A thread ended.
    Finish,
    /// A worker took work from another one.
    Steal,
    /// A worker went to sleep.
    Sleep,
}

const KINDS: usize = Event::Sleep as usize + 1;

static WATCHED: AtomicBool = AtomicBool::new(false);
static COUNTS: [AtomicU64; KINDS] = [const { AtomicU64::new(0) }; KINDS];

/// Says that `event` happened.
#[inline(always)]
pub(crate) fn event(event: Event) {
    // ORDERING: Relaxed; a flag that is set before what is watched begins.
    if WATCHED.load(Ordering::Relaxed) {
        count(event);
    }
}

#[cold]
#[inline(never)]
fn count(event: Event) {
    // ORDERING: Relaxed; a statistic.
    COUNTS[event as usize].fetch_add(1, Ordering::Relaxed);
}

/// Starts to count, in the whole process.
pub(crate) fn watch() {
    // ORDERING: Relaxed; as above.
    WATCHED.store(true, Ordering::Relaxed);
}

/// How often `event` happened since [`watch`].
pub(crate) fn counted(event: Event) -> u64 {
    // ORDERING: Relaxed; a statistic.
    COUNTS[event as usize].load(Ordering::Relaxed)
}
