//! The locks and the condition variable: exclusion, order, poisoning, cancellation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use sylvan::sync::{Condvar, Mutex, RwLock, RwLockWriteGuard, TryLockError};
use sylvan::thread;
use sylvan_workspace::{everywhere, in_every_runtime, until};

#[test]
fn sections_exclude_each_other_also_over_a_yield() {
    everywhere(|_| {
        let count = Mutex::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let mut guard = count.lock().unwrap();
                        let before = *guard;
                        thread::yield_now();
                        *guard = before + 1;
                    }
                });
            }
        });
        assert_eq!(count.into_inner().unwrap(), 160);
    });
}

#[test]
fn notifications_reach_waiters_that_check_their_condition() {
    everywhere(|_| {
        let (turn, changed) = (Mutex::new(0), Condvar::new());
        thread::scope(|scope| {
            for me in 0..2 {
                let (turn, changed) = (&turn, &changed);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let guard = turn.lock().unwrap();
                        let mut guard = changed.wait_while(guard, |turn| *turn % 2 != me).unwrap();
                        *guard += 1;
                        drop(guard);
                        changed.notify_all();
                    }
                });
            }
        });
        assert_eq!(turn.into_inner().unwrap(), 100);
    });
}

#[test]
fn panic_poisons_and_cancellation_does_not() {
    in_every_runtime(|_| {
        let lock = Mutex::new(());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = lock.lock();
            std::panic::resume_unwind(Box::new("expected"));
        }));
        assert!(panicked.is_err());
        assert!(matches!(lock.try_lock(), Err(TryLockError::Poisoned(_))));
        lock.clear_poison();

        let held = AtomicU32::new(0);
        thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _guard = lock.lock().unwrap();
                held.store(1, SeqCst);
                thread::park();
            });
            until(|| held.load(SeqCst) == 1);
            holder.cancel().unwrap();
            assert!(holder.join().is_err());
        });
        assert!(!lock.is_poisoned());
    });
}

#[test]
fn cancelled_waiter_leaves_and_the_next_one_gets_the_mutex() {
    in_every_runtime(|_| {
        let lock = Mutex::new(0);
        thread::scope(|scope| {
            let guard = lock.lock().unwrap();
            let first = scope.spawn(|| *lock.lock().unwrap() += 1);
            let second = scope.spawn(|| *lock.lock().unwrap() += 10);
            first.cancel().unwrap();
            drop(guard);
            second.join().unwrap();
            // Whether it was cancelled before it waited or in its wait, or came first.
            let _ = first.join();
        });
        assert!([10, 11].contains(&lock.into_inner().unwrap()));
    });
}

#[test]
fn time_of_an_attempt_ends() {
    everywhere(|_| {
        let lock = Mutex::new(());
        thread::scope(|scope| {
            let guard = lock.lock().unwrap();
            let attempt = scope.spawn(|| lock.try_lock_for(Duration::from_millis(2)).is_err());
            assert!(attempt.join().unwrap());
            drop(guard);
        });
        assert!(lock.try_lock_for(Duration::ZERO).is_ok());
    });
}

/// How often a cancellation is let loose on a wake; each time a little later.
const ROUNDS: usize = 30;

fn yield_some(times: usize) {
    for _ in 0..times {
        thread::yield_now();
    }
}

#[test]
fn cancellation_that_meets_the_release_of_a_rwlock_takes_nothing_along() {
    in_every_runtime(|_| {
        let lock = RwLock::new(0);
        for round in 0..ROUNDS {
            thread::scope(|scope| {
                let writer = lock.write().unwrap();
                let writes = scope.spawn(|| *lock.write().unwrap() += 1);
                let reads = scope.spawn(|| drop(lock.read().unwrap()));
                // Behind either of them, and needed by nobody to come first.
                let stays = [
                    scope.spawn(|| drop(lock.read().unwrap())),
                    scope.spawn(|| *lock.write().unwrap() += 100),
                ];
                yield_some(round % 4);
                writes.cancel().unwrap();
                match round % 3 {
                    0 => drop(writer),
                    1 => drop(RwLockWriteGuard::downgrade(writer)),
                    _ => {
                        yield_some(1);
                        drop(writer);
                    }
                }
                reads.cancel().unwrap();
                for thread in stays {
                    thread.join().unwrap();
                }
                let _ = (writes.join(), reads.join());
            });
            assert!(lock.try_write().is_ok(), "a hold has gone with one who was cancelled");
        }
        assert_eq!(*lock.read().unwrap() / 100, ROUNDS);
    });
}

#[test]
fn readers_come_in_when_the_writer_that_kept_them_out_is_cancelled() {
    in_every_runtime(|_| {
        let lock = RwLock::new(0);
        thread::scope(|scope| {
            let reader = lock.read().unwrap();
            let writer = scope.spawn(|| *lock.write().unwrap() += 1);
            until(|| lock.try_read().is_err());
            let behind = scope.spawn(|| *lock.read().unwrap());
            yield_some(3);
            writer.cancel().unwrap();
            // While this reader stays.
            assert_eq!(behind.join().unwrap(), 0);
            assert!(writer.join().is_err());
            assert!(lock.try_read().is_ok());
            drop(reader);
        });
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn notification_that_meets_a_cancellation_goes_to_the_next() {
    in_every_runtime(|_| {
        for round in 0..ROUNDS {
            let (tickets, changed) = (Mutex::new(0), Condvar::new());
            let take = || {
                let guard = tickets.lock().unwrap();
                *changed.wait_while(guard, |tickets| *tickets == 0).unwrap() -= 1;
            };
            thread::scope(|scope| {
                let cancelled = scope.spawn(take);
                let stays = scope.spawn(take);
                yield_some(round % 5);
                let mut guard = tickets.lock().unwrap();
                *guard += 1;
                changed.notify_one();
                if round % 2 == 0 {
                    drop(guard);
                    cancelled.cancel().unwrap();
                } else {
                    // The one who was notified waits for the mutex now.
                    cancelled.cancel().unwrap();
                    drop(guard);
                }
                if cancelled.join().is_ok() {
                    *tickets.lock().unwrap() += 1;
                    changed.notify_one();
                }
                stays.join().unwrap();
            });
            assert_eq!(tickets.into_inner().unwrap(), 0);
        }
    });
}

#[test]
fn cancelled_waiter_of_a_condition_variable_does_not_take_the_mutex() {
    in_every_runtime(|_| {
        let (mutex, changed) = (Mutex::new(false), Condvar::new());
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let mut guard = mutex.lock().unwrap();
                *guard = true;
                drop(changed.wait_while(guard, |_| true));
            });
            until(|| *mutex.lock().unwrap());
            let guard = mutex.lock().unwrap();
            waits.cancel().unwrap();
            // It ends although the mutex is held.
            assert!(waits.join().is_err());
            drop(guard);
        });
        assert!(!mutex.is_poisoned() && mutex.try_lock().is_ok());
    });
}
