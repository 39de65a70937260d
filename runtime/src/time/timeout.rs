//! Giving up in time: a deadline around code that was not written for one.
//!
//! How: the call opens a region with a deadline (see `task::region`) and runs the closure in it. A
//! wait in there has a timer for the deadline, and the call that waits is unwound when it passes,
//! up to here. A closure that never waits costs two readings of a few fields and one of the clock;
//! no timer is made for it.
#![forbid(unsafe_code)]

use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::clock;
use crate::sched::cut;
use crate::task::region::Region;
use crate::task::{CancelReason, Reason, cancelled, current};
use crate::thread::NO_UNWINDING;

/// Runs `f`, but no longer than for `duration`: then whatever it waits for is given up.
///
/// When the time is over, the call in which `f` waits is unwound, or its next one with a "Blocking"
/// section if it computes. Destructors run, and may wait; no panic hook does; locks are not
/// poisoned. Then `Err` is returned. `f` may be any blocking code, and may borrow. Where a
/// [`shield`](crate::thread::shield) is up, or a destructor runs while the thread unwinds, the
/// unwinding waits for its end.
///
/// - Timeouts nest; the deadline that comes first ends the call that it belongs to.
/// - Threads that `f` opens a [`scope`](fn@crate::thread::scope) for, and arms of
///   [`join`](fn@crate::join), have the same deadline. Threads of
///   [`spawn`](crate::thread::spawn) have not.
/// - A value that `f` returns is returned, however late it is.
/// - Code that catches the unwinding and goes on is unwound again at its next wait.
/// - What blocks without sylvan's knowledge, such as a system call or a lock of std's, is not given
///   up.
///
/// What `f` was about to change when it was unwound may be half changed, as after a panic.
///
/// # Blocking
///
/// As `f` does. A duration of zero still calls `f`, which gets as far as its first wait. One that
/// no clock will ever show is no limit.
///
/// # Errors
///
/// [`Elapsed`], which says whose deadline it was and which call was given up. In a program that was
/// built with `panic = "abort"` nothing can be unwound: then `f` is not called, and the error names
/// the setting.
///
/// # Panics
///
/// If `f` panics, with its payload.
///
/// # Examples
///
/// ```
/// use sylvan::channel;
/// use sylvan::time::{self, Duration};
///
/// let (sender, receiver) = channel::unbounded::<u32>();
/// let mut seen = 0;
/// let outcome = time::timeout(Duration::from_millis(10), || {
///     for number in &receiver {
///         seen += number;
///     }
/// });
/// assert_eq!(seen, 0);
/// let elapsed = outcome.unwrap_err().to_string();
/// assert!(elapsed.contains("the deadline of 10ms"), "{elapsed}");
/// assert!(elapsed.contains("receiving from a channel"), "{elapsed}");
/// # drop(sender);
/// ```
#[track_caller]
pub fn timeout<T>(duration: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    give_up(clock::deadline_in(duration), Some(duration), Location::caller(), f)
}

/// Runs `f`, but no longer than until `instant`; see [`timeout`].
///
/// # Blocking
///
/// As [`timeout`]. An instant that has passed still calls `f`, which gets as far as its first wait.
///
/// # Errors
///
/// As [`timeout`].
///
/// # Panics
///
/// If `f` panics, with its payload.
///
/// # Examples
///
/// Several steps share a deadline:
///
/// ```
/// use sylvan::time::{self, Duration, Elapsed};
///
/// fn connect() { /* waits */ }
/// fn ask() -> u32 { /* waits */ 42 }
///
/// fn answer() -> Result<u32, Elapsed> {
///     let end = time::now() + Duration::from_secs(2);
///     time::deadline(end, connect)?;
///     time::deadline(end, ask)
/// }
/// assert_eq!(answer().unwrap(), 42);
/// ```
#[track_caller]
pub fn deadline<T>(instant: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    give_up(Some(instant), None, Location::caller(), f)
}

// SUSPENDS
fn give_up<T>(
    deadline: Option<Instant>,
    timeout: Option<Duration>,
    site: &'static Location<'static>,
    f: impl FnOnce() -> T,
) -> Result<T, Elapsed> {
    if cfg!(panic = "abort") {
        let reason = CancelReason::deadline_of(&current::me(), site, deadline, timeout);
        return Err(Elapsed { reason, cut: None, refused: true });
    }
    cut::within(&Region::ends(deadline, timeout, site), f).map_err(|cancelled| Elapsed {
        reason: cancelled.reason().clone(),
        cut: cancelled.cut(),
        refused: false,
    })
}

/// Returns the deadline in force for the current thread: the one that comes first of those of
/// [`timeout`] and [`deadline`] around the caller, and around the scopes that it belongs to.
///
/// For handing it on to code that sylvan does not know, such as a C library with timeouts of its
/// own. A [`shield`](crate::thread::shield) hides what lies around it. Never switches.
///
/// # Examples
///
/// ```
/// use sylvan::time::{self, Duration};
///
/// assert_eq!(time::current_deadline(), None);
/// let end = time::now() + Duration::from_secs(1);
/// let inside = time::deadline(end, time::current_deadline).unwrap();
/// assert_eq!(inside, Some(end));
/// ```
pub fn current_deadline() -> Option<Instant> {
    cut::current_deadline()
}

/// The time of a [`timeout`] or a [`deadline`] was over before its closure ended.
#[derive(Clone)]
#[non_exhaustive]
pub struct Elapsed {
    reason: CancelReason,
    cut: Option<Reason>,
    /// Whether the closure was not even called.
    refused: bool,
}

impl Elapsed {
    /// Returns whose deadline it was: set by whom, where, and for when.
    pub fn reason(&self) -> &CancelReason {
        &self.reason
    }

    /// Returns the call that was given up; `None` if it had yet to wait for something.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.cut.map(|cut| cut.site)
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.refused {
            return write!(f, "no deadline can end calls: {NO_UNWINDING}");
        }
        write!(f, "{}", self.reason)?;
        cancelled::fmt_cut(self.cut, f)
    }
}

impl fmt::Debug for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Elapsed").field(&format_args!("{self}")).finish()
    }
}

impl std::error::Error for Elapsed {}
