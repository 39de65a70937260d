//! The calls by which a thread waits for nobody in particular: park, sleep, yield.
#![forbid(unsafe_code)]

use std::io;
use std::num::NonZero;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::clock;
use crate::sched::door;
use crate::sched::spawn;
use crate::task::{Cause, Reason, WaitKind};

/// Waits until the current thread is given a permit, and takes it.
///
/// A permit that was given before lets it return at once. Unlike std's, it never returns without
/// one; code that was written for std's may rely on nothing more, and need not change.
///
/// # Blocking
///
/// Waits for [`Thread::unpark`](crate::thread::Thread::unpark). A cancellation ends the wait by
/// unwinding. A kernel thread blocks.
#[track_caller]
pub fn park() {
    park_until(None, Location::caller());
}

/// Waits for a permit, but no longer than `timeout`.
///
/// # Blocking
///
/// As [`park`]. With a zero timeout it takes a permit that is there and returns.
///
/// # Units
///
/// Waits are exact to some 16 µs plus what the kernel adds; a timeout that no clock will ever show
/// is none.
#[track_caller]
pub fn park_timeout(timeout: Duration) {
    let deadline = clock::deadline_in(timeout);
    park_until(deadline, Location::caller());
}

// SUSPENDS
#[inline(always)]
fn park_until(deadline: Option<Instant>, site: &'static Location<'static>) {
    door::switch_point();
    if door::try_take_permit() {
        return;
    }
    door::wait_unannounced(true, Reason::new(WaitKind::Park, site), deadline);
}

/// Waits for `duration`; other threads of the worker run meanwhile.
///
/// # Blocking
///
/// Waits for the time to pass; nothing ends it before, save what cuts the thread off. A kernel
/// thread blocks.
///
/// # Units
///
/// Never shorter, and exact to some 16 µs plus what the kernel adds. Zero returns, after other
/// threads may have run. A kernel thread of no runtime has the kernel's timer slack besides, 50 µs
/// unless the program has set another; those of runtimes have none, and the one that runs an N:1
/// runtime has its own back when that returns.
#[track_caller]
pub fn sleep(duration: Duration) {
    sleep_to(clock::deadline_in(duration), Location::caller());
}

/// Waits until `deadline`.
///
/// # Blocking
///
/// As [`sleep`]. Returns at once when the deadline has passed.
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    sleep_to(Some(deadline), Location::caller());
}

// SUSPENDS
fn sleep_to(deadline: Option<Instant>, site: &'static Location<'static>) {
    loop {
        door::switch_point();
        let cause = door::wait_unannounced(false, Reason::new(WaitKind::Sleep, site), deadline);
        if cause == Cause::TimedOut {
            return;
        }
    }
}

/// Lets other threads run, if there are any that can.
///
/// # Blocking
///
/// Waits for nobody, but other threads of the worker may have their turns before it returns. A
/// cancellation is delivered here. On a kernel thread it is std's.
pub fn yield_now() {
    door::yield_now();
}

/// Returns how many threads can run at the same time: the workers of the current runtime, or on a
/// kernel thread of no runtime what std says.
///
/// # Errors
///
/// As std's, outside of runtimes.
pub fn available_parallelism() -> io::Result<NonZero<usize>> {
    match spawn::member_runtime() {
        Some(shared) => Ok(NonZero::new(shared.config.workers).expect("a runtime has a worker")),
        None => std::thread::available_parallelism(),
    }
}
