//! `WaitGroup`: waits until all who belong to it are done.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use crate::primitives::{AtomicUsize, Ordering};
use crate::sched::door;
use crate::sync::event::RawEvent;
use crate::task::WaitKind;

/// Lets threads wait until all others that belong to a group are done.
///
/// As crossbeam's; not in std. Each clone is one who belongs to the group, until it is dropped or
/// waits itself.
///
/// # Examples
///
/// ```
/// use sylvan::sync::WaitGroup;
/// use sylvan::thread;
///
/// let group = WaitGroup::new();
/// for _ in 0..3 {
///     let group = group.clone();
///     thread::spawn(move || {
///         // Some work, and then:
///         drop(group);
///     });
/// }
/// group.wait();
/// ```
pub struct WaitGroup {
    group: Arc<Group>,
}

struct Group {
    members: AtomicUsize,
    done: RawEvent,
}

impl WaitGroup {
    /// Returns a group of one, which is the caller.
    #[must_use]
    pub fn new() -> WaitGroup {
        let (members, done) = (AtomicUsize::new(1), RawEvent::new());
        WaitGroup { group: Arc::new(Group { members, done }) }
    }

    /// Leaves the group, and waits until all others have left it.
    ///
    /// # Blocking
    ///
    /// Waits until nobody is left. A cancellation ends the wait, but the caller has left. A kernel
    /// thread blocks.
    #[track_caller]
    pub fn wait(self) {
        let reason = door::reason(WaitKind::WaitGroup);
        let group = self.group.clone();
        drop(self);
        door::switch_point();
        group.done.wait(reason, None);
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        // ORDERING: Relaxed; the group has a member, who is cloned.
        self.group.members.fetch_add(1, Ordering::Relaxed);
        WaitGroup { group: self.group.clone() }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        // ORDERING: AcqRel; who is the last to leave hands on what all have done before.
        if self.group.members.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.group.done.set();
        }
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
        let members = self.group.members.load(Ordering::Relaxed);
        f.debug_struct("WaitGroup").field("members", &members).finish()
    }
}
