//! The runtime's clock: every reading of time in the crate goes through here.
//!
//! Timers and reports count nanoseconds from one epoch, so that an instant is a `u64` that fits a
//! wheel's entry. One door for all readings is also what lets a seeded run put a virtual clock in
//! place of the real one: on a kernel thread that carries such a run, every function here tells
//! and takes virtual time, save those called `real_`. Nothing else in the crate may call
//! `Instant::now`, save `stack::guard`, which lies below and counts real time only.
//!
//! Whether the caller has a virtual clock is known only to the scheduler, which stands above this
//! file and tells it how to ask. In a process without virtual clocks the question is one load.
#![forbid(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What a virtual clock shows: so many nanoseconds since `base`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Virtual {
    /// The real time at which the clock was made; its epoch.
    pub(crate) base: Instant,
    pub(crate) elapsed_ns: u64,
}

static EPOCH: OnceLock<Instant> = OnceLock::new();
/// How many virtual clocks there are in the process.
static VIRTUAL_CLOCKS: AtomicUsize = AtomicUsize::new(0);
/// Tells the virtual clock of the calling kernel thread, if it has one.
static READER: OnceLock<fn() -> Option<Virtual>> = OnceLock::new();

/// Says how the caller's virtual clock is read. The first one stays.
pub(crate) fn set_virtual_reader(reader: fn() -> Option<Virtual>) {
    let _ = READER.set(reader);
}

/// Counts a virtual clock for as long as it lives.
#[derive(Debug)]
pub(crate) struct VirtualClock(());

impl VirtualClock {
    pub(crate) fn new() -> VirtualClock {
        // ORDERING: Relaxed; the kernel thread that reads a virtual clock is the one that made it.
        VIRTUAL_CLOCKS.fetch_add(1, Ordering::Relaxed);
        VirtualClock(())
    }
}

impl Drop for VirtualClock {
    fn drop(&mut self) {
        // ORDERING: Relaxed; as above.
        VIRTUAL_CLOCKS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[inline]
fn virtual_reading() -> Option<Virtual> {
    // ORDERING: Relaxed; as above.
    if VIRTUAL_CLOCKS.load(Ordering::Relaxed) == 0 { None } else { ask_reader() }
}

#[cold]
fn ask_reader() -> Option<Virtual> {
    READER.get()?()
}

/// The instant that counts as 0: the first reading of this clock in the process.
fn epoch() -> Instant {
    *EPOCH.get_or_init(Instant::now)
}

/// The present.
pub(crate) fn now() -> Instant {
    match virtual_reading() {
        // It cannot be beyond the range: `Virtual` was moved there through `checked_add`.
        Some(clock) => clock.base + Duration::from_nanos(clock.elapsed_ns),
        None => real_now(),
    }
}

/// The present by the real clock, whoever asks.
pub(crate) fn real_now() -> Instant {
    let epoch = epoch();
    Instant::now().max(epoch)
}

/// The present, in nanoseconds since the epoch. 2^64 ns are 584 years.
#[inline]
pub(crate) fn now_ns() -> u64 {
    match virtual_reading() {
        Some(clock) => clock.elapsed_ns,
        None => real_now_ns(),
    }
}

/// The same by the real clock.
pub(crate) fn real_now_ns() -> u64 {
    let epoch = epoch();
    since(epoch, Instant::now())
}

/// An instant in nanoseconds since the epoch; 0 for what lies before it, the maximum for what
/// lies beyond the range.
pub(crate) fn to_ns(instant: Instant) -> u64 {
    match virtual_reading() {
        Some(clock) => since(clock.base, instant),
        None => since(epoch(), instant),
    }
}

fn since(epoch: Instant, instant: Instant) -> u64 {
    u64::try_from(instant.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX)
}

/// The instant that lies `timeout` from now; `None` when no clock will ever show it.
pub(crate) fn deadline_in(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}
