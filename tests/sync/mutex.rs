//! The mutex and the condition variable: exclusion, order, poisoning, cancellation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use sylvan::sync::{Condvar, Mutex, TryLockError};
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
