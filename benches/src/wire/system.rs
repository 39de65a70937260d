//! What generator and bare server need of the kernel, and std does not offer: epoll, and closing a
//! connection without leaving its port behind.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// An epoll. It reports each arrival once, so whoever is told must read what has arrived.
pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Poller {
    pub(super) fn new() -> Poller {
        // SAFETY: takes a number and touches no memory of ours.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        check(epoll);
        // SAFETY: the descriptor is new and nobody else's.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        Poller { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; BATCH] }
    }

    /// Reports arrivals at `socket` by `key`, until it is closed.
    pub(super) fn add(&self, socket: &impl AsFd, key: u64) {
        let interest = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events: interest, u64: key };
        let (epoll, socket) = (self.epoll.as_raw_fd(), socket.as_fd().as_raw_fd());
        // SAFETY: both descriptors are open, and the event is only read.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket, &mut event) });
    }

    /// Waits for arrivals, and puts their keys into `keys` in place of what is there.
    pub(super) fn wait(&mut self, keys: &mut Vec<u64>) {
        keys.clear();
        let (epoll, events) = (self.epoll.as_raw_fd(), self.events.as_mut_ptr());
        let count = loop {
            // SAFETY: there is room for a batch of events.
            let count = unsafe { libc::epoll_wait(epoll, events, BATCH as libc::c_int, -1) };
            if count >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                break count;
            }
        };
        check(count);
        keys.extend(self.events[..count as usize].iter().map(|event| event.u64));
    }
}

/// Most events of one wait: as many as tokio and sylvan take, so that the floor is no other game.
const BATCH: usize = 1024;

/// Has the coming close of `stream` reset the connection: no side then waits for a minute in case
/// packets are late, and a port can be used again at once.
pub(super) fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (socket, size) = (stream.as_raw_fd(), size_of_val(&linger) as libc::socklen_t);
    let linger = (&raw const linger).cast();
    // SAFETY: the descriptor is open, and the option is of that size.
    check(unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_LINGER, linger, size) });
}

/// Panics with the reason if a system call failed.
#[track_caller]
fn check(result: libc::c_int) {
    assert!(result >= 0, "a system call failed: {}", io::Error::last_os_error());
}
