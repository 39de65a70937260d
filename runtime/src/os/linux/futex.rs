//! Putting a kernel thread to sleep on a word, and waking whoever sleeps on it.
//!
//! The kernel's own pair is used as it is: compare-and-sleep and wake, for one process
//! (`FUTEX_PRIVATE_FLAG`: no look-up of the page), with a timeout that is relative and counts on
//! the monotonic clock.
//!
//! A return of `futex_wait` promises nothing about the word: callers loop on their own condition.

#![cfg_attr(loom, allow(dead_code, reason = "models have no futex"))]

use std::io;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Why [`futex_wait`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FutexWait {
    /// Somebody woke us, a signal came, or the word had changed already.
    Woken,
    /// The timeout passed.
    TimedOut,
}

/// Sleeps while `*word == expected`, for at most `timeout`; without one, for as long as it takes.
///
/// A timeout that the kernel cannot express (more than 2^63 seconds) counts as the longest it can.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> FutexWait {
    let limit = timeout.map(timespec);
    let limit_address = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: `word` is borrowed for the whole call, so its memory is valid while the kernel reads
    // it; `limit` lives in this frame.
    let result = unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), operation, expected, limit_address)
    };
    if result == 0 {
        return FutexWait::Woken;
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ETIMEDOUT) => FutexWait::TimedOut,
        Some(libc::EAGAIN | libc::EINTR) => FutexWait::Woken,
        _ => unreachable!("a futex wait on a valid word was refused: {error}"),
    }
}

/// Wakes at most `count` kernel threads that sleep on `word`, and says how many it woke.
///
/// `word` is a raw pointer and may dangle: a waiter that saw its condition hold may have freed
/// the word before the wake is sent. The kernel compares the address with those that it has
/// queued and does not read it; for an address that is no longer mapped it answers `EFAULT`,
/// which means that nobody can be asleep there. Where the address was reused for another futex
/// the wake is spurious, which every caller of [`futex_wait`] tolerates.
pub(crate) fn futex_wake(word: *const AtomicU32, count: u32) -> usize {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // The kernel takes a signed number; a larger count means "all".
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: the kernel uses the address as a key only, so a dangling one harms nobody.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word, operation, count) };
    usize::try_from(woken).unwrap_or(0)
}

pub(super) fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
