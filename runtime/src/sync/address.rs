//! Waiting at an address: the one place where locks and the like make threads wait for each other.
//!
//! A lock should be a few bytes, and it has waiters rarely. So who waits does not stand in the lock
//! but here, under the lock's address: in one of many *buckets*, each a short lock and lists of
//! waiters. A waiter is a node on the stack of the thread that waits, so nothing is allocated.
//! Green threads and kernel threads wait alike, for both wait at the door.
//!
//! # The protocol
//!
//! *Waiting.* The thread begins its wait, which has a number from then on; it locks the bucket,
//! asks the primitive once more whether there is anything to wait for, and enters its node. Then it
//! unlocks the bucket and leaves by the door.
//!
//! *Waking.* Under the bucket's lock the waker takes out the first node, writes into it what the
//! waiter is granted, and ends the wait by its number in the waiter's state word. From that very
//! change on the node may be gone, so whatever of it is needed was read before. If the change
//! fails, a deadline or a cancellation has ended the wait already: the waiter is on its way to this
//! bucket in order to take its node out and has to stop at the lock, so the node is still there; it
//! is granted nothing, and the next waiter has its turn. So a wake is never lost on one who has
//! gone, and there is nothing to be passed on later. To make the thread run, which may take the
//! time of a system call, is put off until the bucket is unlocked. Between the two changes a green
//! thread stays where it is, for only the waker can schedule it; a kernel thread may go on by
//! itself, and even end, so of its header the waker counts a reference, before it makes the change.
//!
//! *Leaving.* Whoever comes back from the door otherwise than by a wake, and be it by unwinding,
//! takes its node out if it is still in, and then does what the primitive owes those behind it: the
//! `leave` of the request. The same is done for a thread that is leaked where it waits. One that
//! was granted something and is leaked before it could know leaves with that grant.
//!
//! Why nothing is lost: what there is to wait for is looked at under the bucket's lock, and whoever
//! changes it takes that lock afterwards, at least if the primitive's own word says that somebody
//! waits; and that is said before the look.
//!
//! Waiters of one address come first in, first out, save for those who enter in front: woken ones
//! who came too late to what they were woken for.
//!
//! The file never calls user code and never waits under a bucket's lock.

#[cfg(all(loom, test))]
pub(crate) mod models;
mod queue;

use std::time::Instant;

use crate::clock;
use crate::primitives::{AtomicU32, Ordering};
use crate::sched::door;
use crate::sched::woken::Woken;
use crate::sync::address::queue::Waiter;
use crate::task::{Cause, Reason, Unlink};

pub(in crate::sync) use queue::Queue;

/// Who wants to wait, and where.
pub(in crate::sync) struct Request {
    /// The object that is waited for; no other one that threads wait for lies at its address.
    pub(in crate::sync) object: *const (),
    /// Whether it stands in front of those who wait already.
    pub(in crate::sync) in_front: bool,
    /// Why; the object is filled in.
    pub(in crate::sync) reason: Reason,
    pub(in crate::sync) deadline: Option<Instant>,
    pub(in crate::sync) leave: Leave,
}

/// Called with the object when a waiter has left the queue without a wake, or was leaked, with
/// what it wants and what it had been granted if it was. Does what is owed to those who wait behind
/// it.
pub(in crate::sync) type Leave = unsafe fn(object: *const (), want: usize, granted: Option<u32>);

/// How a wait at an address ended.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// It did not begin: there was nothing to wait for.
    NotQueued,
    /// By a wake, which granted this.
    Granted(u32),
    /// By its deadline.
    TimedOut,
    /// Without a cause, as a seeded run does it to waits whose condition is the program's.
    ForNothing,
}

/// Waits at the request's address, if `may_wait` under the lock of its queue says so. What it then
/// gives is what the waiter wants, in the words of the object, for those who wake. As soon as they
/// can find the waiter `once_queued` is called, which must not wait.
// SUSPENDS
pub(in crate::sync) fn wait_in_queue(
    request: &Request,
    may_wait: impl FnOnce(&mut Queue) -> Option<usize>,
    once_queued: impl FnOnce(),
) -> Ended {
    let pending = door::begin(false);
    let waiter = Waiter::new(request, pending.header(), pending.sequence());
    let mut queue = Queue::at(request.object);
    let Some(want) = may_wait(&mut queue) else {
        drop(queue);
        pending.abandon();
        return Ended::NotQueued;
    };
    // SAFETY: S1: `place` takes it out before this frame ends, however it does, unless a waker has.
    // S2: it is ours and has not entered yet.
    unsafe { queue.enter(&waiter, want, request.in_front) };
    drop(queue);
    let place = Place(&waiter);
    once_queued();
    let unlink = Unlink { waiter: std::ptr::from_ref(&waiter).cast(), call: leave_leaked };
    let reason = Reason { object: request.object.addr(), ..request.reason };
    let cause = pending.wait_in_queue(reason, request.deadline, Some(unlink));
    if cause == Cause::Woken {
        std::mem::forget(place);
        return Ended::Granted(waiter.granted().unwrap_or_default());
    }
    drop(place);
    // A seeded run may say that a deadline has come which has not, or which there is not.
    match request.deadline {
        Some(deadline) if cfg!(loom) || deadline <= clock::now() => Ended::TimedOut,
        _ => Ended::ForNothing,
    }
}

/// A place in a queue; its drop leaves it.
struct Place<'a>(&'a Waiter);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // SAFETY: S1: it is in the caller's frame. The wait has ended otherwise than by a wake, so
        // nothing was granted, or this call is forgotten.
        unsafe { leave(self.0) };
    }
}

/// Takes `waiter` out of its queue, if it is still in, and does what is owed then.
///
/// # Safety
/// S1: the waiter's wait is over, or never will be, and this is the first call for it.
unsafe fn leave(waiter: &Waiter) {
    let mut queue = Queue::at(waiter.object());
    queue.leave(waiter);
    let granted = waiter.granted();
    drop(queue);
    // SAFETY: the object is alive: its user is in the call that waits, or leaked in it.
    unsafe { (waiter.on_leave())(waiter.object(), waiter.want(), granted) };
}

/// [`Unlink`] for a waiter.
///
/// # Safety
/// S1: `waiter` is a [`Waiter`] on the stack of a thread that is leaked in its wait.
unsafe fn leave_leaked(waiter: *const ()) {
    // SAFETY: S1: it lives, and its thread never goes on.
    let waiter = unsafe { &*waiter.cast::<Waiter>() };
    // SAFETY: S1: as above; a thread is leaked once.
    unsafe { leave(waiter) };
}

/// Waits at `word` as long as it is `expected`: the futex of kernel threads, for threads of either
/// kind. Its wakers change the word first and [`wake`] then.
// SUSPENDS
pub(crate) fn wait(
    word: &AtomicU32,
    expected: u32,
    reason: Reason,
    deadline: Option<Instant>,
) -> Ended {
    let request = Request {
        object: std::ptr::from_ref(word).cast(),
        in_front: false,
        reason,
        deadline,
        leave: pass_on,
    };
    // ORDERING: Relaxed; a waker changes the word before it locks the bucket, so either this look
    // sees the change, or the waker the waiter.
    wait_in_queue(&request, |_| (word.load(Ordering::Relaxed) == expected).then_some(0), || ())
}

/// [`Leave`] of [`wait`]: a wake that hit a leaked thread goes on.
///
/// # Safety
/// None; it does not touch the object.
unsafe fn pass_on(object: *const (), _want: usize, granted: Option<u32>) {
    if granted.is_some() {
        wake(object, 1);
    }
}

/// Wakes at most `count` of those who wait for `object` now. It is not touched itself.
pub(crate) fn wake(object: *const (), count: usize) {
    Queue::at(object).wake(count, 0, |_| true);
}

impl Queue {
    /// Wakes at most `count` of those who wait here now, as long as the first of them wants what
    /// `is_meant` says, and grants each `grant`. Unlocks the queue. The object is not touched, and
    /// may go as soon as one of them was woken.
    pub(crate) fn wake(mut self, mut count: usize, grant: u32, is_meant: impl Fn(usize) -> bool) {
        let object = self.object();
        // Those who come after this call began are not meant.
        let until = self.next_ticket();
        loop {
            let mut woken = Woken::batch();
            let mut is_done = false;
            for place in &mut woken {
                is_done = count == 0 || !self.front_came_before(until);
                if !is_done {
                    *place = self.grant_first(grant, &is_meant);
                    is_done = place.is_none();
                }
                if is_done {
                    break;
                }
                count -= 1;
            }
            drop(self);
            Woken::schedule_all(&mut woken);
            if is_done {
                return;
            }
            self = Queue::at(object);
        }
    }
}
