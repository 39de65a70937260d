//! A deadline and what it races with at the same instant of a virtual clock, in the order that each
//! of many seeds decides: either the value or `Elapsed`, and nothing lost or doubled.
//!
//! Both outcomes must have been seen in the end, or the two have never met.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

use sylvan::channel::{self, Select, SendTimeoutError, broadcast, oneshot};
use sylvan::sync::{Barrier, Condvar, Event, Mutex, RwLock, Semaphore};
use sylvan::testing::{Plan, Strategy};
use sylvan::thread::{self, CancelKind, Cancelled};
use sylvan::time::{self, Instant};

use crate::{HOUR, SOON, expect_unwound};

const SEEDS: u64 = 300;

/// Runs `meeting` under each seed, with the instant at which all shall happen. It says whether the
/// deadline was first.
fn under_seeds(meeting: fn(Instant) -> bool) {
    let [values, deadlines] = outcomes_of(meeting);
    let both = values > 0 && deadlines > 0;
    assert!(both, "{values} values, {deadlines} deadlines: the two have never met");
}

/// How often it was the value, and how often the deadline.
fn outcomes_of(meeting: fn(Instant) -> bool) -> [usize; 2] {
    let seen = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    for strategy in ["random", "pct"] {
        let strategy: Strategy = strategy.parse().expect("a strategy");
        let seen = seen.clone();
        Plan::new().strategy(strategy).explore(0..SEEDS / 2, move || {
            let end = time::now() + SOON;
            seen[usize::from(meeting(end))].fetch_add(1, SeqCst);
            // Nothing is left of the deadline or of the wait.
            thread::sleep(SOON);
            assert!(!thread::cancelled());
        });
    }
    [0, 1].map(|which: usize| seen[which].load(SeqCst))
}

#[test]
fn message_that_meets_a_deadline_is_received_once() {
    under_seeds(|end| {
        let (sender, receiver) = channel::unbounded();
        let sends = thread::spawn(move || {
            thread::sleep_until(end);
            sender.send(7).unwrap();
        });
        let outcome = time::deadline(end, || receiver.recv().unwrap());
        sends.join().unwrap();
        match outcome {
            Ok(number) => assert_eq!((number, receiver.len()), (7, 0)),
            Err(_) => assert_eq!(receiver.try_recv(), Ok(7)),
        }
        receiver.try_recv().unwrap_err();
        outcome.is_err()
    });
}

#[test]
fn message_that_meets_deadlines_of_two_receivers_is_received_once() {
    under_seeds(|end| {
        let (sender, receiver) = channel::bounded(1);
        let other = receiver.clone();
        let behind = thread::spawn(move || time::deadline(end, || other.recv().unwrap()).ok());
        let sends = thread::spawn(move || {
            thread::sleep_until(end);
            sender.send(7).unwrap();
            sender
        });
        let outcome = time::deadline(end, || {
            let mut select = Select::new();
            select.recv(&receiver);
            select.select().recv(&receiver).unwrap()
        });
        // It lives on, so that nobody is told that it has gone.
        let _sender = sends.join().unwrap();
        let taken = [outcome.ok(), behind.join().unwrap(), receiver.try_recv().ok()];
        assert_eq!(taken.iter().flatten().collect::<Vec<_>>(), [&7], "{taken:?}");
        taken[2].is_some()
    });
}

#[test]
fn meeting_without_room_is_had_by_both_sides_or_by_none() {
    under_seeds(|end| {
        let (sender, receiver) = channel::bounded(0);
        let sends = thread::spawn(move || {
            thread::sleep_until(end);
            match sender.send_deadline(7, end) {
                Ok(()) => true,
                Err(SendTimeoutError::Timeout(7) | SendTimeoutError::Disconnected(7)) => false,
                Err(other) => panic!("{other}"),
            }
        });
        let outcome = time::deadline(end, || receiver.recv().unwrap());
        let was_sent = sends.join().unwrap();
        assert_eq!(outcome.is_ok(), was_sent);
        outcome.is_err()
    });
}

#[test]
fn both_sides_of_a_meeting_with_deadlines_agree() {
    under_seeds(|end| {
        let (sender, receiver) = channel::bounded(0);
        let receives = thread::spawn(move || {
            thread::sleep_until(end);
            time::deadline(end + SOON, || receiver.recv().unwrap()).ok()
        });
        let sent = time::deadline(end, || sender.send(7).unwrap());
        drop(sender);
        let received = receives.join();
        match &sent {
            Ok(()) => assert_eq!(received.unwrap(), Some(7)),
            // The other end has gone, by which the receiver fails.
            Err(_) => assert!(!matches!(received, Ok(Some(_)))),
        }
        sent.is_err()
    });
}

#[test]
fn oneshot_that_meets_a_deadline_goes_to_the_receiver_or_back() {
    under_seeds(|end| {
        let (sender, receiver) = oneshot::channel();
        let sends = thread::spawn(move || {
            thread::sleep_until(end);
            sender.send(7).is_ok()
        });
        let outcome = time::deadline(end, || receiver.recv().unwrap());
        let was_sent = sends.join().unwrap();
        assert!(was_sent || outcome.is_err());
        outcome.is_err()
    });
}

#[test]
fn broadcast_that_meets_a_deadline_is_seen_once() {
    // A receiver that was woken looks at its deadline first, so it may well be the deadline always.
    let [_, deadlines] = outcomes_of(|end| {
        let (sender, mut receiver) = broadcast::channel(2);
        let sends = thread::spawn(move || {
            thread::sleep_until(end);
            sender.send(7).unwrap();
            sender
        });
        let outcome = time::deadline(end, || receiver.recv().unwrap());
        let _sender = sends.join().unwrap();
        if outcome.is_err() {
            assert_eq!(receiver.try_recv(), Ok(7));
        }
        assert!(receiver.try_recv().is_err());
        outcome.is_err()
    });
    assert!(deadlines > 0);
}

#[test]
fn permit_that_meets_a_deadline_is_neither_lost_nor_doubled() {
    under_seeds(|end| {
        let semaphore = Arc::new(Semaphore::new(0));
        let [gives, behind] = [semaphore.clone(), semaphore.clone()];
        let gives = thread::spawn(move || {
            thread::sleep_until(end);
            gives.add_permits(1);
        });
        let outcome = time::deadline(end, || semaphore.acquire().forget());
        gives.join().unwrap();
        if outcome.is_ok() {
            assert_eq!(semaphore.available_permits(), 0);
            semaphore.add_permits(1);
        }
        thread::spawn(move || behind.acquire().forget()).join().unwrap();
        assert_eq!(semaphore.available_permits(), 0);
        outcome.is_err()
    });
}

#[test]
fn permits_for_the_one_behind_are_passed_on_by_the_deadline_in_front() {
    under_seeds(|end| {
        let semaphore = Arc::new(Semaphore::new(0));
        let [gives, behind] = [semaphore.clone(), semaphore.clone()];
        let gives = thread::spawn(move || {
            thread::sleep_until(end);
            gives.add_permits(2);
        });
        let behind = thread::spawn(move || {
            thread::sleep_until(end - SOON / 2);
            behind.acquire().forget();
        });
        let outcome = time::deadline(end, || semaphore.acquire_many(2).forget());
        gives.join().unwrap();
        if outcome.is_ok() {
            semaphore.add_permits(1);
        }
        behind.join().unwrap();
        assert_eq!(semaphore.available_permits(), usize::from(outcome.is_err()));
        outcome.is_err()
    });
}

#[test]
fn lock_that_is_released_at_the_deadline_is_free_afterwards() {
    under_seeds(|end| {
        let lock = Arc::new((Mutex::new(0), RwLock::new(0)));
        let (held, is_held) = channel::bounded(0);
        let own = lock.clone();
        let holds = thread::spawn(move || {
            let guards = (own.0.lock().unwrap(), own.1.write().unwrap());
            held.send(()).unwrap();
            thread::sleep_until(end);
            drop(guards);
        });
        is_held.recv().unwrap();
        let other = lock.clone();
        let reads = thread::spawn(move || time::deadline(end, || *other.1.read().unwrap()).is_ok());
        let outcome = time::deadline(end, || *lock.0.lock().unwrap() += 1);
        holds.join().unwrap();
        let _ = reads.join().unwrap();
        assert_eq!(*lock.0.lock().unwrap(), i32::from(outcome.is_ok()));
        *lock.1.write().unwrap() += 1;
        outcome.is_err()
    });
}

#[test]
fn notification_that_meets_a_deadline_goes_to_the_next_waiter() {
    under_seeds(|end| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let take_one = |pair: &(Mutex<u32>, Condvar)| {
            let guard = pair.0.lock().unwrap();
            let mut guard = pair.1.wait_while(guard, |tokens| *tokens == 0).unwrap();
            *guard -= 1;
        };
        let (gives, behind) = (pair.clone(), pair.clone());
        let gives = thread::spawn(move || {
            thread::sleep_until(end);
            *gives.0.lock().unwrap() += 1;
            // One for one: if the one in front is cut off, it must not take it along.
            gives.1.notify_one();
        });
        let behind = thread::spawn(move || {
            thread::sleep_until(end - SOON / 2);
            take_one(&behind);
        });
        let outcome = time::deadline(end, || take_one(&pair));
        gives.join().unwrap();
        if outcome.is_ok() {
            *pair.0.lock().unwrap() += 1;
            pair.1.notify_one();
        }
        behind.join().unwrap();
        assert_eq!(*pair.0.lock().unwrap(), 0);
        outcome.is_err()
    });
}

#[test]
fn arrival_that_meets_a_deadline_counts_for_all_or_for_none() {
    under_seeds(|end| {
        let barrier = Arc::new(Barrier::new(2));
        let other = barrier.clone();
        let arrives = thread::spawn(move || {
            thread::sleep_until(end);
            other.wait().is_leader()
        });
        let outcome = time::deadline(end, || barrier.wait().is_leader());
        if outcome.is_err() {
            // The other one waits alone, or was let go by the one that was cut off.
            thread::sleep(SOON);
            if !arrives.is_finished() {
                assert!(barrier.wait().is_leader());
            }
        }
        arrives.join().unwrap();
        outcome.is_err()
    });
}

#[test]
fn event_and_permit_of_a_thread_stay_for_those_who_were_cut_off() {
    under_seeds(|end| {
        let event = Arc::new(Event::new());
        let (sets, me) = (event.clone(), thread::current());
        let sets = thread::spawn(move || {
            thread::sleep_until(end);
            sets.set();
            me.unpark();
        });
        let outcome = time::deadline(end, || event.wait());
        sets.join().unwrap();
        event.wait();
        // The permit is still to be had, whichever wait was cut off.
        thread::park();
        outcome.is_err()
    });
}

#[test]
fn permit_of_a_thread_that_meets_its_deadline_is_taken_once() {
    under_seeds(|end| {
        let me = thread::current();
        let unparks = thread::spawn(move || {
            thread::sleep_until(end);
            me.unpark();
        });
        let outcome = time::deadline(end, thread::park);
        unparks.join().unwrap();
        let again = time::timeout(SOON, thread::park);
        assert_ne!(outcome.is_ok(), again.is_ok(), "{outcome:?}, {again:?}");
        outcome.is_err()
    });
}

#[test]
fn end_of_a_thread_that_meets_the_joiners_deadline_is_no_end_of_both() {
    under_seeds(|end| {
        let ended = Arc::new(AtomicU32::new(0));
        let its = ended.clone();
        let joined = thread::spawn(move || {
            thread::sleep_until(end);
            its.fetch_add(1, SeqCst);
            7
        });
        let outcome = time::deadline(end, || joined.join().unwrap());
        thread::sleep(SOON);
        assert_eq!(ended.load(SeqCst), 1);
        assert!(matches!(outcome, Ok(7) | Err(_)));
        outcome.is_err()
    });
}

#[test]
fn cancellation_that_meets_a_deadline_ends_the_thread_and_is_told_as_itself() {
    under_seeds(|end| {
        let elapsed = Arc::new(AtomicU32::new(0));
        let its = elapsed.clone();
        let handle = thread::spawn(move || {
            let outcome = time::deadline(end, || thread::sleep(HOUR));
            let kind = outcome.unwrap_err().reason().kind();
            assert_eq!(kind, CancelKind::Deadline);
            its.fetch_add(1, SeqCst);
            let _ = expect_unwound(|| thread::sleep(HOUR));
            thread::sleep(HOUR);
        });
        thread::sleep_until(end);
        handle.cancel_with("at the same instant").unwrap();
        let payload = handle.join().unwrap_err();
        let cancelled = payload.downcast::<Cancelled>().expect("no panic");
        assert_eq!(cancelled.reason().kind(), CancelKind::Requested);
        assert_eq!(cancelled.reason().message(), Some("at the same instant"));
        elapsed.load(SeqCst) == 1
    });
}
