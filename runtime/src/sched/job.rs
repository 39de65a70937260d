//! What lies in a deque: a thread that has not started, or a slot that offers an arm of a `join`.
//!
//! Both fit in one word, told apart by the lowest bit, so that an entry is copied by thieves
//! without a look at what it means. An entry owns what it names: the scheduler's reference to the
//! header, or the right to free the slot's tombstone.

use std::ptr::NonNull;

use crate::sched::slot::Slot;
use crate::task::Header;

/// See the file's comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Job(NonNull<u8>);

// SAFETY: it names things that are `Sync` and that belong to no kernel thread before they start.
unsafe impl Send for Job {}

/// A job, looked at.
pub(crate) enum Kind {
    /// The scheduler's reference to a thread that has not started.
    Thread(NonNull<Header>),
    /// A slot.
    Arm(&'static Slot),
}

const ARM: usize = 1;

impl Job {
    pub(crate) fn thread(header: NonNull<Header>) -> Job {
        Job(header.cast())
    }

    pub(crate) fn arm(slot: &'static Slot) -> Job {
        Job(NonNull::from(slot).cast::<u8>().map_addr(|address| address | ARM))
    }

    pub(crate) fn kind(self) -> Kind {
        if self.0.addr().get() & ARM == 0 {
            return Kind::Thread(self.0.cast());
        }
        let slot = self.0.as_ptr().map_addr(|address| address & !ARM).cast::<Slot>();
        // SAFETY: made from a `&'static Slot`, which is freed only when no entry names it.
        Kind::Arm(unsafe { &*slot })
    }
}
