//! Waiting for many descriptors at once: the kernel's `epoll`, edge-triggered.
//!
//! The calls are used as they are. A wait has nanoseconds (`epoll_pwait2`, Linux 5.11); a kernel
//! that lacks that call is asked in milliseconds, rounded up, so that no wait ends too early.
//!
//! A descriptor is registered for both directions, for the end of the peer's sending, which tells
//! an empty socket from a finished one, and for urgent data, in front of which a read stops
//! although more has come.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::os::Ready;

/// An epoll instance.
pub(crate) struct Epoll(OwnedFd);

/// Room for what one wait brings.
pub(crate) struct Events(Vec<libc::epoll_event>);

/// What a registered descriptor is watched for, besides errors and hang-ups, which always come.
const INTEREST: i32 =
    libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET;

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Events {
        Events(Vec::with_capacity(capacity))
    }

    /// What has come: the key of each descriptor, and for what it is ready.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Ready)> + '_ {
        self.0.iter().map(|event| (event.u64, ready(event.events as i32)))
    }
}

fn ready(events: i32) -> Ready {
    let failed = libc::EPOLLERR | libc::EPOLLHUP;
    let ends = libc::EPOLLRDHUP | failed;
    Ready {
        read: events & (libc::EPOLLIN | libc::EPOLLPRI | ends) != 0,
        write: events & (libc::EPOLLOUT | failed) != 0,
        read_ends: events & (libc::EPOLLPRI | ends) != 0,
    }
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: a plain call.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `fd` for everything, under `key`. What it is ready for already comes as an event.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        match self.control(libc::EPOLL_CTL_ADD, fd, key) {
            // A registration that nobody has taken back, of a descriptor with this number which
            // was closed behind our back while a duplicate of it lives on.
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {
                self.control(libc::EPOLL_CTL_MOD, fd, key)
            }
            result => result,
        }
    }

    /// Watches `fd` no more.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0)
    }

    fn control(&self, operation: i32, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: INTEREST as u32, u64: key };
        // SAFETY: both descriptors are open for the whole call, and the event lives in this frame.
        let result = unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until a descriptor is ready, for at most `timeout`; without one, for as long as it
    /// takes. A signal ends the wait early, with nothing.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        match self.wait_once(&mut events.0, timeout) {
            Ok(count) => {
                // SAFETY: the kernel has filled in so many.
                unsafe { events.0.set_len(count) };
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn wait_once(
        &self,
        events: &mut Vec<libc::epoll_event>,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let (room, capacity) = (events.as_mut_ptr(), events.capacity() as i32);
        let coarse = timeout.map_or(Some(-1), |timeout| timeout.is_zero().then_some(0));
        if let Some(milliseconds) = coarse {
            return self.wait_coarse(room, capacity, milliseconds);
        }
        let timeout = timeout.unwrap_or_default();
        // ORDERING: Relaxed; a note about the kernel that nothing else depends on.
        if !NO_PWAIT2.load(Ordering::Relaxed) {
            match self.wait_exact(room, capacity, timeout) {
                Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
                    NO_PWAIT2.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
        self.wait_coarse(room, capacity, i32::try_from(milliseconds).unwrap_or(i32::MAX))
    }

    fn wait_coarse(
        &self,
        room: *mut libc::epoll_event,
        capacity: i32,
        milliseconds: i32,
    ) -> io::Result<usize> {
        let no_mask: *const libc::sigset_t = ptr::null();
        // SAFETY: there is room for `capacity` events, the caller's alone; no mask is given.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait,
                self.0.as_raw_fd(),
                room,
                capacity,
                milliseconds,
                no_mask,
                0_usize,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn wait_exact(
        &self,
        room: *mut libc::epoll_event,
        capacity: i32,
        timeout: Duration,
    ) -> io::Result<usize> {
        let timeout = super::futex::timespec(timeout);
        let no_mask: *const libc::sigset_t = ptr::null();
        // SAFETY: as above; the time lives in this frame, and no mask is given.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.as_raw_fd(),
                room,
                capacity,
                &raw const timeout,
                no_mask,
                0_usize,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

/// Whether the kernel was found to lack `epoll_pwait2`.
static NO_PWAIT2: AtomicBool = AtomicBool::new(false);
