//! How many descriptors this process may have. Also part of `tests/stress`.

use std::io;

use libc::rlimit;

/// How many descriptors the process may have: now, and at most.
pub(crate) fn limits() -> (u64, u64) {
    let mut limits = rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives as long as the call, which writes it.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    (limits.rlim_cur, limits.rlim_max)
}

/// Says how many descriptors the process may have from now on.
pub(crate) fn limit(count: u64) {
    let limits = rlimit { rlim_cur: count, rlim_max: limits().1 };
    // SAFETY: the structure lives as long as the call, which only reads it.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}
