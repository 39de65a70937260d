//! What no method of a socket does: the system calls by which the tests bring a socket into a
//! state that std has no call for, or see one that std does not show.
//!
//! Each takes the descriptor as it is, std's or ours, and must leave it open.

use std::ffi::{c_int, c_void};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Lets the next close of a TCP socket send a reset instead of an end.
pub(crate) fn reset_when_closed(socket: &impl AsFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_option(socket, libc::SO_LINGER, &linger);
}

/// Makes the buffers of both directions small. Not as small as can be: then TCP goes on by its
/// timers, a fifth of a second each.
pub(crate) fn shrink_buffers(socket: &impl AsFd) {
    let size: c_int = 8192;
    set_option(socket, libc::SO_SNDBUF, &size);
    set_option(socket, libc::SO_RCVBUF, &size);
}

/// Lets so many connections wait for `accept`, and one more: that is how Linux counts.
pub(crate) fn set_backlog(listener: &impl AsFd, connections: c_int) {
    let fd = listener.as_fd().as_raw_fd();
    // SAFETY: no memory is passed, and the borrow keeps the descriptor open.
    let result = unsafe { libc::listen(fd, connections) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Shuts a socket down that has no method for it, which is a listener.
pub(crate) fn shut_down(socket: &impl AsFd, how: Shutdown) {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: no memory is passed, and the borrow keeps the descriptor open.
    let result = unsafe { libc::shutdown(fd, how) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Whether the system is told not to wait in calls on this socket.
pub(crate) fn is_nonblocking(socket: &impl AsFd) -> bool {
    flags(socket, libc::F_GETFL) & libc::O_NONBLOCK != 0
}

/// Whether the descriptor goes when a program is executed.
pub(crate) fn is_close_on_exec(socket: &impl AsFd) -> bool {
    flags(socket, libc::F_GETFD) & libc::FD_CLOEXEC != 0
}

/// The bytes that can be read at once.
pub(crate) fn unread(socket: &impl AsFd) -> usize {
    let mut bytes: c_int = 0;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: FIONREAD writes one `int`, which lives as long as the call.
    let result = unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut bytes) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    bytes.try_into().expect("no negative count")
}

fn flags(socket: &impl AsFd, command: c_int) -> c_int {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: both commands pass no memory, and the borrow keeps the descriptor open.
    let flags = unsafe { libc::fcntl(fd, command) };
    assert_ne!(flags, -1, "{}", io::Error::last_os_error());
    flags
}

fn set_option<T>(socket: &impl AsFd, name: c_int, value: &T) {
    let fd = socket.as_fd().as_raw_fd();
    let length = size_of::<T>().try_into().expect("options are small");
    let value: *const c_void = std::ptr::from_ref(value).cast();
    // SAFETY: the value is `length` bytes long and lives as long as the call, which only reads it.
    let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, value, length) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Owns a descriptor again that was given out as a number.
pub(crate) fn take(number: RawFd) -> OwnedFd {
    // SAFETY: the callers have it from `into_raw_fd`, and give it nobody else.
    unsafe { OwnedFd::from_raw_fd(number) }
}
