//! `Mutex` and panics: who poisons it, what a poisoned one still gives, and how it is mended.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::panics::{OnDrop, expect_failure, fail, fail_here, fail_in_a_thread};
use super::sync::atomic::{AtomicBool, Ordering::SeqCst};
use super::sync::{Arc, Mutex, PoisonError, TryLockError};
use super::{everywhere, settle, thread};

fn poisoned<T: Send>(value: T) -> Mutex<T> {
    let mutex = Mutex::new(value);
    fail_in_a_thread(|| {
        let _guard = mutex.lock().unwrap();
        fail();
    });
    mutex
}

#[test]
fn panic_with_the_guard_in_hand_poisons() {
    everywhere(|| {
        let mutex = Mutex::new(1);
        assert!(!mutex.is_poisoned());
        fail_in_a_thread(|| {
            let mut guard = mutex.lock().unwrap();
            *guard = 2;
            fail();
        });
        assert!(mutex.is_poisoned());
        // The lock was given back, and the value is what the panicking thread has left.
        assert_eq!(*mutex.lock().unwrap_err().into_inner(), 2);
        assert!(mutex.is_poisoned(), "taking the lock does not mend it");
    });
}

#[test]
fn panic_that_the_same_thread_catches_poisons() {
    everywhere(|| {
        let mutex = Mutex::new(1);
        fail_here(|| {
            let _guard = mutex.lock().unwrap();
            fail();
        });
        assert!(mutex.is_poisoned());
        let other = Mutex::new(1);
        fail_here(|| {
            let _guard = other.try_lock().unwrap();
            fail();
        });
        assert!(other.is_poisoned());
    });
}

#[test]
fn panic_through_the_hook_poisons() {
    everywhere(|| {
        let mutex = Mutex::new(());
        let panic = AssertUnwindSafe(|| {
            let _guard = mutex.lock().unwrap();
            panic!("expected: this panic is part of a test");
        });
        assert!(catch_unwind(panic).is_err());
        assert!(mutex.is_poisoned());
    });
}

#[test]
fn panic_without_the_guard_does_not_poison() {
    everywhere(|| {
        let mutex = Mutex::new(1);
        fail_in_a_thread(|| {
            drop(mutex.lock().unwrap());
            fail();
        });
        assert!(!mutex.is_poisoned());
        fail_in_a_thread(|| {
            std::mem::forget(mutex.lock().unwrap());
            fail();
        });
        assert!(!mutex.is_poisoned(), "a guard that is never dropped poisons nothing");
    });
}

#[test]
fn guard_taken_while_panicking_does_not_poison() {
    everywhere(|| {
        let mutex = Mutex::new(1);
        fail_in_a_thread(|| {
            let _locks = OnDrop(|| {
                assert!(thread::panicking());
                *mutex.lock().unwrap() += 1;
                *mutex.try_lock().unwrap() += 1;
            });
            fail();
        });
        assert!(!mutex.is_poisoned());
        assert_eq!(*mutex.lock().unwrap(), 3);
    });
}

#[test]
fn panic_caught_while_the_guard_lives_does_not_poison() {
    everywhere(|| {
        let mutex = Mutex::new(1);
        let guard = mutex.lock().unwrap();
        fail_here(|| fail());
        drop(guard);
        assert!(!mutex.is_poisoned());
    });
}

#[test]
fn neighbours_that_lock_while_somebody_panics_do_not_poison() {
    everywhere(|| {
        let (mutex, done) = (Mutex::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                // Others have their turns while this thread unwinds.
                let _waits = OnDrop(|| {
                    while !done.load(SeqCst) {
                        thread::yield_now();
                    }
                });
                fail();
            });
            let neighbours: [_; 4] = std::array::from_fn(|_| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let mut guard = mutex.lock().unwrap();
                        thread::yield_now();
                        *guard += 1;
                        assert!(!thread::panicking());
                        drop(guard);
                        *mutex.lock().unwrap() += 1;
                    }
                })
            });
            for neighbour in neighbours {
                neighbour.join().unwrap();
            }
            done.store(true, SeqCst);
            expect_failure(panicking.join());
        });
        assert!(!mutex.is_poisoned());
        assert_eq!(*mutex.lock().unwrap(), 80);
    });
}

#[test]
fn guard_dropped_while_unwinding_poisons_although_others_run_in_between() {
    everywhere(|| {
        let (mutex, ran) = (Mutex::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let _guard = mutex.lock().unwrap();
                // Dropped before the guard: lets the neighbour run while this thread unwinds.
                let _waits = OnDrop(|| {
                    while !ran.load(SeqCst) {
                        thread::yield_now();
                    }
                });
                fail();
            });
            scope.spawn(|| {
                assert!(!thread::panicking());
                ran.store(true, SeqCst);
            });
            expect_failure(panicking.join());
        });
        assert!(mutex.is_poisoned());
    });
}

#[test]
fn waiters_of_a_lock_that_gets_poisoned_are_told() {
    everywhere(|| {
        let (mutex, held) = (Mutex::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let _guard = mutex.lock().unwrap();
                held.store(true, SeqCst);
                settle();
                fail();
            });
            while !held.load(SeqCst) {
                thread::yield_now();
            }
            let waiters: [_; 3] = std::array::from_fn(|_| {
                scope.spawn(|| match mutex.lock() {
                    Ok(_) => panic!("the lock was free before the panic was over"),
                    Err(error) => *error.into_inner() += 1,
                })
            });
            expect_failure(panicking.join());
            for waiter in waiters {
                waiter.join().unwrap();
            }
        });
        assert_eq!(*mutex.lock().unwrap_err().into_inner(), 3);
    });
}

#[test]
fn every_way_to_the_value_says_that_it_is_poisoned_and_gives_it() {
    everywhere(|| {
        let mut mutex = poisoned(String::from("a"));
        let mut error = mutex.lock().unwrap_err();
        assert_eq!(**error.get_ref(), "a");
        error.get_mut().push('b');
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        error.into_inner().push('c');

        match mutex.try_lock() {
            Err(TryLockError::Poisoned(error)) => error.into_inner().push('d'),
            other => panic!("{other:?}"),
        }
        let error: PoisonError<&mut String> = mutex.get_mut().unwrap_err();
        error.into_inner().push('e');
        let error: PoisonError<String> = mutex.into_inner().unwrap_err();
        assert_eq!(error.into_inner(), "abcde");
    });
}

#[test]
fn clear_poison_mends_and_a_next_panic_poisons_again() {
    everywhere(|| {
        let mut mutex = poisoned(1);
        mutex.clear_poison();
        assert!(!mutex.is_poisoned());
        assert_eq!(*mutex.lock().unwrap(), 1);
        assert_eq!(*mutex.try_lock().unwrap(), 1);
        assert_eq!(*mutex.get_mut().unwrap(), 1);
        mutex.clear_poison();
        fail_here(|| {
            let _guard = mutex.lock().unwrap();
            fail();
        });
        assert!(mutex.is_poisoned());
        {
            // As the documentation of std's `clear_poison` does it: with the guard in hand.
            let mut guard = mutex.lock().unwrap_or_else(|error| {
                mutex.clear_poison();
                error.into_inner()
            });
            *guard = 5;
        }
        assert_eq!(mutex.into_inner().unwrap(), 5);
    });
}

#[test]
fn panic_with_the_guard_of_a_poisoned_lock_keeps_it_poisoned() {
    everywhere(|| {
        let mutex = poisoned(1);
        fail_here(|| {
            let _guard = mutex.lock().unwrap_err().into_inner();
            fail();
        });
        assert!(mutex.is_poisoned());
        drop(mutex.lock().unwrap_err().into_inner());
        assert!(mutex.is_poisoned(), "a guard that goes well does not mend");
    });
}

#[test]
fn debug_says_poisoned_and_shows_the_value_all_the_same() {
    everywhere(|| {
        let mutex = poisoned(7);
        assert_eq!(format!("{mutex:?}"), "Mutex { data: 7, poisoned: true, .. }");
        let error = mutex.lock().unwrap_err();
        let text = format!("{mutex:?}").replace("\"<locked>\"", "<locked>");
        assert_eq!(text, "Mutex { data: <locked>, poisoned: true, .. }");
        assert_eq!(format!("{error:?}"), "PoisonError { .. }");
        let guard = error.into_inner();
        assert_eq!(format!("{guard:?} {guard}"), "7 7");
        drop(guard);
        let error = mutex.lock().unwrap_err();
        assert_eq!(error.to_string(), "poisoned lock: another task failed inside");
        let text = mutex.try_lock().unwrap_err().to_string();
        assert_eq!(text, "try_lock failed because the operation would block");
    });
}

#[test]
fn poisoned_unsized_value_is_given_out() {
    everywhere(|| {
        let mutex: Arc<Mutex<[u8]>> = Arc::new(poisoned([1, 2, 3]));
        assert_eq!(mutex.lock().unwrap_err().into_inner().len(), 3);
        mutex.clear_poison();
        assert_eq!(mutex.lock().unwrap()[0], 1);
    });
}
