//! The back end for systems that are not Linux: the crate `polling`, in its edge-triggered mode.
//!
//! It costs more per wait than the kernel's own calls (two and a half times, measured on Linux),
//! and it does not tell a hang-up of the peer from data in the same words everywhere. So it is
//! asked for less: whoever reads goes on until the descriptor says that it would block.
//!
//! On Linux it is built by `--cfg sylvan_portable_reactor`, so that its tests run here too.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use polling::{Event, PollMode, Poller};

use crate::os::Ready;

pub(crate) struct Backend(Poller);

/// Room for what one wait brings.
pub(crate) struct Events(polling::Events);

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Events {
        let capacity = NonZeroUsize::new(capacity).expect("room for one event at least");
        Events(polling::Events::with_capacity(capacity))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Ready)> + '_ {
        self.0.iter().map(|event| {
            let ends = event.is_interrupt() || event.is_err().unwrap_or(false);
            let (read, write) = (event.readable || ends, event.writable || ends);
            (from_key(event.key), Ready { read, write, read_ends: ends })
        })
    }
}

/// `polling` keeps the largest key to itself, which is our doorbell's: all are moved by one. None
/// of ours is 0 less one, for no generation and index are both full.
fn to_key(key: u64) -> usize {
    key.wrapping_add(1) as usize
}

fn from_key(key: usize) -> u64 {
    (key as u64).wrapping_sub(1)
}

impl Backend {
    pub(crate) fn new() -> io::Result<Backend> {
        Poller::new().map(Backend)
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let interest = Event::all(to_key(key)).with_interrupt();
        // SAFETY: whoever adds a descriptor removes it before it is closed.
        let added = unsafe { self.0.add_with_mode(fd.as_raw_fd(), interest, PollMode::Edge) };
        match added {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.0.modify_with_mode(fd, interest, PollMode::Edge)
            }
            result => result,
        }
    }

    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.delete(fd)
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        match self.0.wait(&mut events.0, timeout) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
            _ => Ok(()),
        }
    }
}
