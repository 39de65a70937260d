//! The runtime's clock: every reading of time in the crate goes through here.
//!
//! Timers and reports count nanoseconds from one epoch per process, so that an instant is a `u64`
//! that fits a wheel's entry. One door for all readings is also what lets a test put a virtual
//! clock in place of the real one. Nothing else in the crate may call `Instant::now`.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static EPOCH: OnceLock<Instant> = OnceLock::new();

/// The instant that counts as 0: the first reading of this clock in the process.
fn epoch() -> Instant {
    *EPOCH.get_or_init(Instant::now)
}

/// The present.
pub(crate) fn now() -> Instant {
    let epoch = epoch();
    Instant::now().max(epoch)
}

/// The present, in nanoseconds since the epoch. 2^64 ns are 584 years.
pub(crate) fn now_ns() -> u64 {
    to_ns(now())
}

/// An instant in nanoseconds since the epoch; 0 for what lies before it, the maximum for what
/// lies beyond the range.
pub(crate) fn to_ns(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(epoch());
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The instant that lies `timeout` from now; `None` when no clock will ever show it.
pub(crate) fn deadline_in(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}
