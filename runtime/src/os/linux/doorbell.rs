//! Ending a kernel thread's wait for descriptors: a descriptor of its own, an `eventfd`, which is
//! ready when somebody has rung. And that wait itself, for one other descriptor: `poll`.

#![cfg_attr(loom, allow(dead_code, reason = "models have no descriptors"))]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// See the file's comment.
pub(crate) struct Doorbell(OwnedFd);

impl Doorbell {
    pub(crate) fn new() -> io::Result<Doorbell> {
        // SAFETY: a plain call.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Doorbell(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Rings. Each ring is an edge to those who watch for edges, whether the last was answered or
    /// not; only after 2^64 rings without an answer the counter is full, and then it is ready too.
    pub(crate) fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the descriptor is ours, and the eight bytes live in this frame.
        let written = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        debug_assert!(written == 8 || io::Error::last_os_error().kind() == WOULD_BLOCK);
    }

    /// Answers all rings so far.
    fn answer(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: as above.
        let read =
            unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        debug_assert!(read == 8 || io::Error::last_os_error().kind() == WOULD_BLOCK);
    }
}

const WOULD_BLOCK: io::ErrorKind = io::ErrorKind::WouldBlock;

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Why [`poll`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Polled {
    /// The descriptor is ready, or has failed: an attempt will tell.
    Ready,
    /// Somebody has rung, the time is over, or a signal came.
    LookAgain,
}

/// Waits until `fd` can be read from, or written to, or until somebody rings, for at most
/// `timeout`.
pub(crate) fn poll(
    fd: BorrowedFd<'_>,
    to_write: bool,
    doorbell: &Doorbell,
    timeout: Option<Duration>,
) -> Polled {
    let events = if to_write { libc::POLLOUT } else { libc::POLLIN };
    let mut both = [
        libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 },
        libc::pollfd { fd: doorbell.0.as_raw_fd(), events: libc::POLLIN, revents: 0 },
    ];
    let limit = timeout.map(super::futex::timespec);
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both entries and the time live in this frame; no mask is given.
    let count = unsafe { libc::ppoll(both.as_mut_ptr(), 2, limit, ptr::null()) };
    if both[1].revents != 0 {
        doorbell.answer();
    }
    // What the kernel refuses, for lack of memory, the attempt may survive.
    let refused = count < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted;
    if refused || both[0].revents != 0 { Polled::Ready } else { Polled::LookAgain }
}
