//! `WaitGroup`: waiting for threads that nobody has counted beforehand.
//!
//! The members count themselves: each clone is one. When the last has gone it sets an event, for
//! which those wait who have given up their own clone. A group that has come to zero stays there,
//! since only a clone can be cloned; so the event is never reset.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use crate::primitives::{AtomicUsize, Ordering};
use crate::sync::event::RawEvent;
use crate::task::WaitKind;

/// Lets threads wait until all clones of it have been dropped. Not in std.
///
/// crossbeam's, for threads of any kind. A [`Barrier`](crate::sync::Barrier) has to know beforehand
/// how many come, and makes all of them wait; where the threads end anyway a
/// [scope](crate::thread::scope) does.
///
/// # Examples
///
/// ```
/// use sylvan::sync::WaitGroup;
/// use sylvan::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use sylvan::thread;
///
/// static DONE: AtomicU32 = AtomicU32::new(0);
///
/// let group = WaitGroup::new();
/// for _ in 0..4 {
///     let group = group.clone();
///     thread::spawn(move || {
///         DONE.fetch_add(1, Relaxed);
///         drop(group);
///     });
/// }
/// group.wait();
/// assert_eq!(DONE.load(Relaxed), 4);
/// ```
pub struct WaitGroup {
    inner: Arc<Inner>,
}

struct Inner {
    /// How many clones there are. It cannot overflow: each has a reference to this, and those are
    /// bounded.
    count: AtomicUsize,
    /// Set when there are none any more.
    done: RawEvent,
}

impl WaitGroup {
    /// Returns a group with this one as its only member.
    #[must_use]
    pub fn new() -> WaitGroup {
        let inner = Inner { count: AtomicUsize::new(1), done: RawEvent::new() };
        WaitGroup { inner: Arc::new(inner) }
    }

    /// Drops this member, and waits until all others have been dropped. Several may do so, and wait
    /// for each other.
    ///
    /// # Blocking
    ///
    /// Waits for the others; a cancellation ends the wait, and is delivered here also if there are
    /// none. This member has gone in any case, so the others do not wait for a thread that was
    /// cancelled here. Other threads may have their turns. A kernel thread blocks.
    #[track_caller]
    pub fn wait(self) {
        let inner = self.inner.clone();
        drop(self);
        inner.done.wait_until(WaitKind::WaitGroup, None);
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        // ORDERING: AcqRel; the last one sees what all others did, and its `set` publishes that.
        if self.inner.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.inner.done.set();
        }
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        let inner = self.inner.clone();
        // ORDERING: Relaxed; it is not zero, for this one counts.
        inner.count.fetch_add(1, Ordering::Relaxed);
        WaitGroup { inner }
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // ORDERING: Relaxed; a look.
        let count = self.inner.count.load(Ordering::Relaxed);
        f.debug_struct("WaitGroup").field("count", &count).finish()
    }
}
