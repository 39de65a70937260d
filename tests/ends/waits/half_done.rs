//! Operations that a deadline meets half done: a choice that is not carried out yet, a closure that
//! others wait for, a future that is waited for again.
#![forbid(unsafe_code)]

use std::future::IntoFuture;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use sylvan::channel::{self, Select};
use sylvan::sync::{Mutex, Once, OnceLock, RwLock};
use sylvan::testing::{Faults, Plan};
use sylvan::thread;
use sylvan::time::{self, Duration};
use sylvan_workspace::{everywhere, settle};

use super::{channels, locks, row_in_all_ways};
use crate::{HOUR, SOON, expect_elapsed, outlast_deadline};

/// How long there is for the first half.
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn choice_of_a_message_that_a_deadline_meets_leaves_the_message() {
    everywhere(|_| {
        for completes in [true, false] {
            let (sender, receiver) = channel::bounded(1);
            sender.send(7).unwrap();
            let outcome = time::timeout(MOMENT, || {
                let mut select = Select::new();
                select.recv(&receiver);
                let chosen = thread::shield(|| select.select());
                outlast_deadline();
                if completes {
                    // What was chosen is carried out, however late.
                    return chosen.recv(&receiver).unwrap();
                }
                thread::yield_now();
                unreachable!("a wait behind its deadline has returned");
            });
            let left: Vec<u32> = receiver.try_iter().collect();
            match outcome {
                Ok(number) => assert_eq!((number, left.len()), (7, 0)),
                Err(_) => assert_eq!(left, [7], "completes: {completes}"),
            }
            sender.send(8).unwrap();
            assert_eq!(receiver.recv(), Ok(8));
        }
    });
}

#[test]
fn choice_of_room_that_a_deadline_meets_leaves_the_room() {
    everywhere(|_| {
        for completes in [true, false] {
            let (sender, receiver) = channel::bounded(1);
            let outcome = time::timeout(MOMENT, || {
                let mut select = Select::new();
                select.send(&sender);
                let chosen = thread::shield(|| select.select());
                outlast_deadline();
                if completes {
                    return chosen.send(&sender, 7).unwrap();
                }
                thread::yield_now();
                unreachable!("a wait behind its deadline has returned");
            });
            assert_eq!(receiver.try_iter().count(), usize::from(outcome.is_ok()));
            sender.send(8).unwrap();
            assert_eq!(receiver.recv(), Ok(8));
        }
    });
}

#[test]
fn choice_of_a_meeting_that_a_deadline_meets_lets_the_other_side_go_on() {
    everywhere(|_| {
        for completes in [true, false] {
            let (sender, receiver) = channel::bounded(0);
            thread::scope(|scope| {
                let sends = scope.spawn(|| sender.send(7).unwrap());
                let outcome = time::timeout(SOON, || {
                    let mut select = Select::new();
                    select.recv(&receiver);
                    let chosen = thread::shield(|| select.select());
                    outlast_deadline();
                    if completes {
                        return chosen.recv(&receiver).unwrap();
                    }
                    thread::yield_now();
                    unreachable!("a wait behind its deadline has returned");
                });
                let number = outcome.unwrap_or_else(|_| receiver.recv().unwrap());
                assert_eq!(number, 7);
                sends.join().unwrap();
            });
            assert!(receiver.try_recv().is_err());
        }
    });
}

#[test]
fn closure_of_a_once_that_is_cut_off_leaves_it_to_those_who_wait() {
    everywhere(|_| {
        let (once, lock, calls) = (Once::new(), OnceLock::new(), AtomicUsize::new(0));
        let (begin, begun) = channel::bounded(2);
        thread::scope(|scope| {
            let first = [0, 1].map(|which| {
                let (begin, once, lock) = (begin.clone(), &once, &lock);
                scope.spawn(move || {
                    let forever = || {
                        thread::shield(|| begin.send(()).unwrap());
                        thread::sleep(HOUR);
                    };
                    time::timeout(SOON, || match which {
                        0 => once.call_once(forever),
                        _ => {
                            lock.get_or_init(|| {
                                forever();
                                7
                            });
                        }
                    })
                })
            });
            // An error, if the time was over before the closure began.
            drop(begin);
            let _ = (begun.recv(), begun.recv());
            // They wait for closures that will never be done.
            let waits = scope.spawn(|| *lock.wait());
            once.call_once(|| _ = calls.fetch_add(1, SeqCst));
            assert_eq!(*lock.get_or_init(|| 8), 8);
            assert_eq!(waits.join().unwrap(), 8);
            once.wait();
            for first in first {
                expect_elapsed(first.join().unwrap());
            }
        });
        assert_eq!(calls.load(SeqCst), 1);
    });
}

#[test]
fn future_whose_waiter_was_cut_off_is_waited_for_again() {
    everywhere(|_| {
        let (sender, receiver) = channel::bounded(1);
        let mut future = pin!(receiver.recv_async());
        for _ in 0..3 {
            // Each leaves a waker behind, and its frame is gone.
            expect_elapsed(time::timeout(SOON, || sylvan::block_on(future.as_mut())));
        }
        // To whom the last of the wakers is dead.
        sender.send(7).unwrap();
        settle();
        assert_eq!(sylvan::block_on(future.as_mut()), Ok(7));

        let joined = thread::spawn(move || {
            thread::sleep(SOON);
            sender
        });
        let mut future = pin!(joined.into_future());
        let first = time::timeout(Duration::ZERO, || sylvan::block_on(future.as_mut()));
        expect_elapsed(first);
        assert!(sylvan::block_on(future.as_mut()).is_ok());
    });
}

#[test]
fn guards_that_a_cut_drops_wake_those_who_wait_for_them() {
    everywhere(|_| {
        let (lock, shared) = (Mutex::new(0), RwLock::new(0));
        let (held, is_held) = channel::bounded(1);
        thread::scope(|scope| {
            let (lock, shared) = (&lock, &shared);
            let holds = scope.spawn(move || {
                time::timeout(SOON, || {
                    let _guards = (lock.lock().unwrap(), shared.write().unwrap());
                    thread::shield(|| held.send(()).unwrap());
                    thread::sleep(HOUR);
                })
            });
            // An error, if the time was over before.
            let _ = is_held.recv();
            let reads = [(); 2].map(|()| scope.spawn(|| *shared.read().unwrap()));
            *lock.lock().unwrap() += 1;
            for reads in reads {
                assert_eq!(reads.join().unwrap(), 0);
            }
            expect_elapsed(holds.join().unwrap());
        });
        assert!(!lock.is_poisoned() && !shared.is_poisoned());
    });
}

#[test]
fn waits_are_cut_off_although_timers_are_late_and_parks_end_for_nothing() {
    let late = Faults::none().late_timers(SOON / 2);
    Plan::new().faults(late).spurious_parks(true).explore(0..12, || {
        for rows in [&super::THREADS[..], &locks::LOCKS, &locks::SYNC, &channels::CHANNELS] {
            for row in rows {
                row_in_all_ways(row);
            }
        }
    });
}
