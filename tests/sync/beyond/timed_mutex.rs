//! `Mutex::try_lock_for` and `try_lock_until`.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::sync::{Mutex, MutexGuard, TryLockError, TryLockResult};
use sylvan::{thread, time};
use sylvan_workspace::{everywhere, in_every_runtime, until};

use super::{FOR_EVER, MOMENT, settle};

fn is_time_over<T>(result: TryLockResult<MutexGuard<'_, T>>) -> bool {
    matches!(result, Err(TryLockError::WouldBlock))
}

#[test]
fn free_lock_is_had_whatever_the_time() {
    everywhere(|_| {
        let mutex = Mutex::new(0);
        for patience in [Duration::ZERO, MOMENT, FOR_EVER, Duration::MAX] {
            *mutex.try_lock_for(patience).unwrap() += 1;
        }
        let now = time::now();
        for deadline in [now - MOMENT, now, now + FOR_EVER] {
            *mutex.try_lock_until(deadline).unwrap() += 1;
        }
        assert_eq!(*mutex.try_lock().unwrap(), 7);
    });
}

#[test]
fn guard_is_a_guard_like_any_other() {
    everywhere(|_| {
        let mutex = Mutex::new(0);
        let guard = mutex.try_lock_for(MOMENT).unwrap();
        assert!(is_time_over(mutex.try_lock()));
        drop(guard);
        let guard = mutex.try_lock_until(time::now() + MOMENT).unwrap();
        assert!(is_time_over(mutex.try_lock()));
        drop(guard);
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn held_lock_is_waited_for_as_long_as_said_and_no_shorter() {
    everywhere(|_| {
        let mutex = Mutex::new(0);
        let guard = mutex.lock().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let start = time::now();
                assert!(is_time_over(mutex.try_lock_for(MOMENT)));
                assert!(time::now() - start >= MOMENT);
                let deadline = time::now() + MOMENT;
                assert!(is_time_over(mutex.try_lock_until(deadline)));
                assert!(time::now() >= deadline);
            });
        });
        drop(guard);
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn no_time_is_not_waited() {
    everywhere(|_| {
        let mutex = Mutex::new(0);
        let guard = mutex.lock().unwrap();
        // Who holds it waits for these before it lets go: a wait would be one for ever.
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(is_time_over(mutex.try_lock_for(Duration::ZERO)));
                assert!(is_time_over(mutex.try_lock_until(time::now())));
                assert!(is_time_over(mutex.try_lock_until(time::now() - MOMENT)));
            });
        });
        drop(guard);
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn lock_that_comes_free_in_time_is_had() {
    everywhere(|_| {
        type Call = fn(&Mutex<i32>) -> TryLockResult<MutexGuard<'_, i32>>;
        let calls: [Call; 3] = [
            |mutex| mutex.try_lock_for(FOR_EVER),
            |mutex| mutex.try_lock_for(Duration::MAX),
            |mutex| mutex.try_lock_until(time::now() + FOR_EVER),
        ];
        for call in calls {
            let mutex = Mutex::new(0);
            let guard = mutex.lock().unwrap();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| *call(&mutex).unwrap() += 1);
                settle();
                assert!(!waiting.is_finished());
                drop(guard);
                waiting.join().unwrap();
            });
            assert_eq!(mutex.into_inner().unwrap(), 1);
        }
    });
}

#[test]
fn poisoned_lock_is_given_with_the_word() {
    everywhere(|_| {
        let mutex = Mutex::new(1);
        let panicked = thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _guard = mutex.try_lock_for(FOR_EVER).unwrap();
                std::panic::resume_unwind(Box::new(()));
            });
            panics.join().is_err()
        });
        assert!(panicked && mutex.is_poisoned());
        for patience in [Duration::ZERO, MOMENT] {
            match mutex.try_lock_for(patience) {
                Err(TryLockError::Poisoned(error)) => *error.into_inner() += 1,
                other => panic!("{other:?}"),
            }
        }
        let held = mutex.lock().unwrap_err().into_inner();
        assert_eq!(*held, 3);
        let late = || is_time_over(mutex.try_lock_for(MOMENT));
        let over = thread::scope(|scope| scope.spawn(late).join().unwrap());
        assert!(over, "the time was over, poisoned or not");
        drop(held);
        let error = mutex.try_lock_until(time::now() + MOMENT).unwrap_err();
        assert!(error.to_string().contains("poison"));
    });
}

#[test]
fn waiter_whose_time_is_over_leaves_the_others_in_their_places() {
    everywhere(|_| {
        let (mutex, had) = (Mutex::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let guard = mutex.lock().unwrap();
            let plain = || {
                *mutex.lock().unwrap() += 1;
                had.fetch_add(1, SeqCst);
            };
            scope.spawn(plain);
            let timed: [_; 3] =
                std::array::from_fn(|_| scope.spawn(|| is_time_over(mutex.try_lock_for(MOMENT))));
            scope.spawn(plain);
            for timed in timed {
                assert!(timed.join().unwrap());
            }
            assert_eq!(had.load(SeqCst), 0);
            drop(guard);
            until(|| had.load(SeqCst) == 2);
        });
        assert_eq!(mutex.into_inner().unwrap(), 2);
    });
}

#[test]
fn unlock_that_meets_the_end_of_the_time_is_not_lost() {
    // Whoever wins: a waiter either has the lock, or has passed the wake on to the next.
    in_every_runtime(|_| {
        let mutex = Mutex::new(0);
        let had = AtomicUsize::new(0);
        for round in 0..20 {
            let patience = Duration::from_micros(50 * round);
            thread::scope(|scope| {
                let guard = mutex.lock().unwrap();
                for _ in 0..3 {
                    scope.spawn(|| {
                        if let Ok(mut guard) = mutex.try_lock_for(patience) {
                            *guard += 1;
                            had.fetch_add(1, SeqCst);
                        }
                    });
                }
                // Without a deadline: it hangs if the wake is lost.
                scope.spawn(|| {
                    *mutex.lock().unwrap() += 1;
                    had.fetch_add(1, SeqCst);
                });
                thread::sleep(patience);
                drop(guard);
            });
            assert!(mutex.try_lock().is_ok());
        }
        assert_eq!(mutex.into_inner().unwrap(), had.load(SeqCst));
        assert!(had.load(SeqCst) >= 20);
    });
}

#[test]
fn unsized_value_can_be_locked_in_time() {
    everywhere(|_| {
        let mutex: Box<Mutex<[u8]>> = Box::new(Mutex::new([1, 2]));
        let guard = mutex.try_lock_for(MOMENT).unwrap();
        assert_eq!(guard.len(), 2);
    });
}
