//! The kernel of a model: one descriptor that can be read from and written to, and its edges.
//!
//! It stands for `os::Epoll` and for the system calls of a socket, so that everything above them is
//! the real code: the poller with its keys, the readiness, and the collection of events. One lock
//! makes each call one step, and lets loom know which calls are about the same thing.
//!
//! Some protocols look without their lock first whether there is anything. [`take_after_a_look`]
//! does, so nothing but the caller's own orderings keeps what it sees from being out of date.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use crate::os::Ready;
use crate::primitives::{AtomicBool, Mutex, MutexGuard, Ordering};

/// The number of the descriptor that there is. All others are doorbells, which a model has no use
/// for.
pub(crate) const FD: RawFd = 1 << 20;

/// Room for the events of one wait.
pub(crate) struct Events(Vec<(u64, Ready)>);

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Events {
        Events(Vec::with_capacity(capacity))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Ready)> + '_ {
        self.0.iter().copied()
    }
}

/// The kernel's side of a poller.
pub(crate) struct Backend {
    number: usize,
}

impl Backend {
    pub(crate) fn new() -> io::Result<Backend> {
        let mut kernel = kernel();
        let number = kernel.watches.len();
        kernel.watches.push(Watch { key: None, edge: None });
        Ok(Backend { number })
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        if fd.as_raw_fd() == FD {
            let mut kernel = kernel();
            let ready = kernel.ready();
            let watch = &mut kernel.watches[self.number];
            watch.key = Some(key);
            watch.note(ready);
        }
        Ok(())
    }

    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        if fd.as_raw_fd() == FD {
            let mut kernel = kernel();
            let watch = &mut kernel.watches[self.number];
            (watch.key, watch.edge) = (None, None);
        }
        Ok(())
    }

    /// Takes what has come, and does not wait for it.
    pub(crate) fn wait(&self, events: &mut Events, _timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        let watch = &mut kernel().watches[self.number];
        if let (Some(key), Some(ready)) = (watch.key, watch.edge.take()) {
            events.0.push((key, ready));
        }
        Ok(())
    }
}

struct Kernel {
    watches: Vec<Watch>,
    bytes: u32,
    /// Whether those bytes are all that there will be.
    ended: bool,
    /// Whether there is no room to write. So it is at first, for most models only read.
    full: bool,
}

struct Watch {
    key: Option<u64>,
    edge: Option<Ready>,
}

loom::lazy_static! {
    static ref KERNEL: Mutex<Kernel> =
        Mutex::new(Kernel { watches: Vec::new(), bytes: 0, ended: false, full: true });
    /// Whether anything has come ever; what a look without the lock sees.
    static ref HAS_COME: AtomicBool = AtomicBool::new(false);
}

fn kernel() -> MutexGuard<'static, Kernel> {
    KERNEL.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Kernel {
    fn ready(&self) -> Ready {
        Ready { read: self.bytes > 0 || self.ended, write: !self.full, read_ends: self.ended }
    }

    /// Tells everybody who watches. An edge says all that is so, as the real one does.
    fn tell(&mut self) {
        let ready = self.ready();
        for watch in self.watches.iter_mut().filter(|watch| watch.key.is_some()) {
            watch.note(ready);
        }
    }
}

impl Watch {
    fn note(&mut self, ready: Ready) {
        if ready.read || ready.write {
            self.edge = Some(ready);
        }
    }
}

/// Bytes come.
pub(crate) fn push(count: u32) {
    let mut kernel = kernel();
    // ORDERING: Relaxed; see `take_after_a_look`.
    HAS_COME.store(true, Ordering::Relaxed);
    kernel.bytes += count;
    kernel.tell();
}

/// No more will come.
pub(crate) fn end() {
    let mut kernel = kernel();
    kernel.ended = true;
    kernel.tell();
}

/// Takes up to `room` bytes; 0 at the end. `None`: the call would block.
pub(crate) fn take(room: u32) -> Option<u32> {
    let mut kernel = kernel();
    let count = kernel.bytes.min(room);
    kernel.bytes -= count;
    (count > 0 || kernel.ended).then_some(count)
}

/// The same where nothing ends, with a look first.
pub(crate) fn take_after_a_look(room: u32) -> Option<u32> {
    // ORDERING: Relaxed; what the protocol of sylvan does must be enough.
    if HAS_COME.load(Ordering::Relaxed) { take(room) } else { None }
}

/// There is room to write from now on.
pub(crate) fn make_room() {
    let mut kernel = kernel();
    kernel.full = false;
    kernel.tell();
}

/// Writes a byte. `None`: the call would block.
pub(crate) fn write() -> Option<()> {
    (!kernel().full).then_some(())
}
