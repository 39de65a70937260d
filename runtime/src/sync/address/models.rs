//! Loom models of waiting at an address: no wake is lost, whatever else ends waits meanwhile.
//!
//! The threads of a model are kernel threads to the crate, and pass the real door.

use std::time::Instant;

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

use super::{Ended, Leave, Queue, Request, wait, wait_in_queue, wake};
use crate::primitives::{AtomicU32, Ordering, check, check_within};
use crate::sched::door;
use crate::sched::door::models::{ends_cancelled, some_time, spawn_canceller};
use crate::task::{Reason, WaitKind};

#[track_caller]
fn reason() -> Reason {
    door::reason(WaitKind::Semaphore)
}

#[test]
fn change_and_wake_end_a_wait_at_a_word() {
    check(|| {
        let word = Arc::new(AtomicU32::new(0));
        let waker = {
            let word = word.clone();
            thread::spawn(move || {
                word.store(1, Ordering::Release);
                wake(Arc::as_ptr(&word).cast(), 1);
            })
        };
        // ORDERING: Acquire; pairs with the Release above.
        while word.load(Ordering::Acquire) == 0 {
            let ended = wait(&word, 0, reason(), None);
            assert!(matches!(ended, Ended::NotQueued | Ended::Granted(0)));
        }
        waker.join().unwrap();
    });
}

/// Something that is given to one waiter at a time: how many are there to be given, which are
/// granted to those who wait, and kept for those who come.
struct Gifts {
    kept: AtomicU32,
    taken: AtomicUsize,
}

/// The address of gifts is that of `kept`, which is changed under the bucket's lock alone.
impl Gifts {
    fn new() -> Arc<Gifts> {
        Arc::new(Gifts { kept: AtomicU32::new(0), taken: AtomicUsize::new(0) })
    }

    fn object(&self) -> *const () {
        std::ptr::from_ref(&self.kept).cast()
    }

    fn give(&self) {
        let mut queue = Queue::at(self.object());
        match queue.grant_first(1, |_| true) {
            Some(woken) => {
                drop(queue);
                woken.schedule();
            }
            None => {
                self.kept.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// True: got one.
    fn take(&self, deadline: Option<Instant>) -> bool {
        let leave: Leave = owe_nothing;
        let request =
            Request { object: self.object(), in_front: false, reason: reason(), deadline, leave };
        let may_wait = |_: &mut Queue| {
            let kept = self.kept.load(Ordering::Relaxed);
            if kept > 0 {
                self.kept.store(kept - 1, Ordering::Relaxed);
            }
            (kept == 0).then_some(0)
        };
        match wait_in_queue(&request, may_wait, || ()) {
            Ended::NotQueued | Ended::Granted(1) => {
                self.taken.fetch_add(1, Ordering::Relaxed);
                true
            }
            Ended::TimedOut => false,
            other => panic!("{other:?}"),
        }
    }

    fn taken_and_kept(&self) -> usize {
        let kept = self.kept.load(Ordering::Relaxed);
        self.taken.load(Ordering::Relaxed) + usize::try_from(kept).unwrap()
    }
}

unsafe fn owe_nothing(_object: *const (), _want: usize, granted: Option<u32>) {
    assert_eq!(granted, None);
}

#[test]
fn gift_that_meets_a_deadline_is_not_lost() {
    check_within(2, || {
        let gifts = Gifts::new();
        let waiter = {
            let gifts = gifts.clone();
            thread::spawn(move || gifts.take(some_time()))
        };
        let giver = {
            let gifts = gifts.clone();
            thread::spawn(move || gifts.give())
        };
        // Never ends if the gift went with the one whose time was over.
        let got = waiter.join().unwrap();
        if !got {
            assert!(gifts.take(None));
        }
        giver.join().unwrap();
        assert_eq!(gifts.taken_and_kept(), 1);
    });
}

#[test]
fn gift_goes_to_the_next_when_the_first_has_no_time_left() {
    check_within(2, || {
        let gifts = Gifts::new();
        let timed = {
            let gifts = gifts.clone();
            thread::spawn(move || usize::from(gifts.take(some_time())))
        };
        let patient = {
            let gifts = gifts.clone();
            thread::spawn(move || usize::from(gifts.take(None)))
        };
        gifts.give();
        let early = timed.join().unwrap();
        if early == 1 {
            gifts.give();
        }
        assert_eq!(patient.join().unwrap(), 1);
        assert_eq!(gifts.taken_and_kept(), 1 + early);
    });
}

#[test]
fn gift_that_meets_a_cancellation_is_not_lost() {
    check_within(2, || {
        let gifts = Gifts::new();
        let canceller = spawn_canceller();
        let giver = {
            let gifts = gifts.clone();
            thread::spawn(move || gifts.give())
        };
        let cancelled = ends_cancelled(|| assert!(gifts.take(None)));
        canceller.join().unwrap();
        giver.join().unwrap();
        assert_eq!(gifts.taken_and_kept(), 1);
        let kept = gifts.kept.load(Ordering::Relaxed);
        assert_eq!(kept, u32::from(cancelled));
    });
}

#[test]
fn one_who_waits_may_go_and_end_as_soon_as_it_is_woken() {
    check_within(2, || {
        let gifts = Gifts::new();
        // Its header lives no longer than what the waker counts.
        let waiter = {
            let gifts = gifts.clone();
            thread::spawn(move || assert!(gifts.take(None)))
        };
        gifts.give();
        waiter.join().unwrap();
    });
}
