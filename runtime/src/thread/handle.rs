//! Who a thread is, as the program sees it: number, name, permit.
//!
//! A handle counts the header and nothing of what the thread works with, so it may be kept for
//! as long as one likes, long after thread and runtime are gone.
#![forbid(unsafe_code)]

use std::fmt;
use std::num::NonZeroU64;

use crate::sched::door;
use crate::sched::seeded::note_outsider;
use crate::sched::worker::Core;
use crate::task::numbers::shown_number;
use crate::task::{HeaderRef, current};

/// A handle to a thread, green or kernel.
///
/// As in std, it comes from [`current`] or from a join handle, and can be cloned and sent.
///
/// # Examples
///
/// ```
/// use sylvan::thread;
///
/// let parked = thread::spawn(thread::park);
/// parked.thread().unpark();
/// parked.join().unwrap();
/// ```
#[derive(Clone)]
pub struct Thread(pub(super) HeaderRef);

/// The number of a thread: unique in the process, never used again.
///
/// Numbers are not in the order of the spawns: each worker takes them in blocks. `Debug` shows the
/// number; in a seeded run ([`testing`](crate::testing)) it counts from 0, the same each time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadId(pub(super) NonZeroU64);

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadId").field(&shown_number(self.0)).finish()
    }
}

impl Thread {
    /// Returns the thread's number.
    pub fn id(&self) -> ThreadId {
        ThreadId(self.0.id)
    }

    /// Returns the name that the program gave to the thread, if it gave one.
    ///
    /// The process's first kernel thread is called `main`, as in std.
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// Gives the thread its permit: its next, or present, [`park`](crate::thread::park) returns.
    ///
    /// Never switches, so the caller may hold any lock. What the caller did before, the parked
    /// thread sees. On a thread that has ended it does nothing.
    pub fn unpark(&self) {
        door::unpark(&self.0);
        match Core::current() {
            Some(core) => {
                core.charge();
            }
            None => note_outsider(&self.0),
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// Returns a handle to the current thread, green or kernel.
///
/// # Examples
///
/// ```
/// let named = sylvan::thread::Builder::new().name("reader".to_string());
/// let name = named.spawn(|| sylvan::thread::current().name().map(str::to_owned)).unwrap();
/// assert_eq!(name.join().unwrap().as_deref(), Some("reader"));
/// ```
pub fn current() -> Thread {
    Thread(HeaderRef::new(&current::me()))
}
