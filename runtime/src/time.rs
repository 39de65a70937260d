//! Time as sylvan's threads see it.
//!
//! Instants and durations are std's, for the ecosystem speaks them; what this module adds is the
//! clock. In a seeded run with virtual time ([`testing`](crate::testing)) that is not the one that
//! [`Instant::now`] reads.
#![forbid(unsafe_code)]

mod ticker;
mod timeout;

pub use std::time::{Duration, Instant};

pub use ticker::{MissedTicks, Ticker};
pub use timeout::{Elapsed, current_deadline, deadline, timeout};

use crate::clock;

/// Returns the present by the clock of the current thread's runtime.
///
/// Sleeps and deadlines go by this clock. It is the real one, save in a seeded run with virtual
/// time, where it moves only when all threads wait. [`Instant::now`] stays real there, and so does
/// [`Instant::elapsed`], which calls it: code that shall be tested under virtual time asks this
/// function instead.
///
/// # Examples
///
/// ```
/// use sylvan::thread;
/// use sylvan::time::{self, Duration};
///
/// sylvan::testing::run_seeded(1, || {
///     let begun = time::now();
///     thread::sleep(Duration::from_secs(3600));
///     assert_eq!(time::now() - begun, Duration::from_secs(3600));
/// });
/// ```
pub fn now() -> Instant {
    clock::now()
}
