//! `RwLock` and panics: writers poison it, readers never do.
#![forbid(unsafe_code)]

use super::panics::{OnDrop, expect_failure, fail, fail_here, fail_in_a_thread};
use super::sync::atomic::{AtomicBool, Ordering::SeqCst};
use super::sync::{PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use super::{everywhere, settle, thread, until};

fn poisoned<T: Send + Sync>(value: T) -> RwLock<T> {
    let lock = RwLock::new(value);
    fail_in_a_thread(|| {
        let _guard = lock.write().unwrap();
        fail();
    });
    lock
}

#[test]
fn panic_of_a_writer_poisons() {
    everywhere(|| {
        let lock = RwLock::new(1);
        fail_in_a_thread(|| {
            *lock.write().unwrap() = 2;
            fail();
        });
        assert!(!lock.is_poisoned(), "the guard had gone before");
        fail_in_a_thread(|| {
            let mut guard = lock.write().unwrap();
            *guard = 3;
            fail();
        });
        assert!(lock.is_poisoned());
        assert_eq!(*lock.read().unwrap_err().into_inner(), 3);
        let other = RwLock::new(1);
        fail_here(|| {
            let _guard = other.try_write().unwrap();
            fail();
        });
        assert!(other.is_poisoned());
    });
}

#[test]
fn panic_of_a_reader_does_not_poison() {
    everywhere(|| {
        let lock = RwLock::new(1);
        fail_in_a_thread(|| {
            let _guard = lock.read().unwrap();
            fail();
        });
        fail_here(|| {
            let _guard = lock.try_read().unwrap();
            fail();
        });
        assert!(!lock.is_poisoned());
        assert_eq!(*lock.try_write().unwrap(), 1);
    });
}

#[test]
fn panic_after_a_downgrade_does_not_poison() {
    everywhere(|| {
        let lock = RwLock::new(1);
        fail_in_a_thread(|| {
            let _guard = RwLockWriteGuard::downgrade(lock.write().unwrap());
            fail();
        });
        assert!(!lock.is_poisoned());
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn downgrade_while_panicking_does_not_poison_what_was_locked_while_panicking() {
    everywhere(|| {
        let lock = RwLock::new(1);
        fail_in_a_thread(|| {
            let _locks = OnDrop(|| {
                *lock.write().unwrap() += 1;
                let reader = RwLockWriteGuard::downgrade(lock.write().unwrap());
                assert_eq!(*reader, 2);
            });
            fail();
        });
        assert!(!lock.is_poisoned());
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn neighbours_that_lock_while_somebody_panics_do_not_poison() {
    everywhere(|| {
        let (lock, done) = (RwLock::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let _waits = OnDrop(|| until(|| done.load(SeqCst)));
                fail();
            });
            let neighbours: [_; 4] = std::array::from_fn(|_| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let mut guard = lock.write().unwrap();
                        thread::yield_now();
                        *guard += 1;
                        drop(guard);
                        drop(lock.read().unwrap());
                    }
                })
            });
            for neighbour in neighbours {
                neighbour.join().unwrap();
            }
            done.store(true, SeqCst);
            expect_failure(panicking.join());
        });
        assert!(!lock.is_poisoned());
        assert_eq!(*lock.read().unwrap(), 40);
    });
}

#[test]
fn waiters_of_a_lock_that_gets_poisoned_are_told() {
    everywhere(|| {
        let (lock, held) = (RwLock::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let _guard = lock.write().unwrap();
                held.store(true, SeqCst);
                settle();
                fail();
            });
            until(|| held.load(SeqCst));
            let readers: [_; 2] = std::array::from_fn(|_| scope.spawn(|| lock.read().is_err()));
            let writers: [_; 2] = std::array::from_fn(|_| {
                scope.spawn(|| match lock.write() {
                    Ok(_) => false,
                    Err(error) => {
                        *error.into_inner() += 1;
                        true
                    }
                })
            });
            expect_failure(panicking.join());
            for waiter in readers.into_iter().chain(writers) {
                assert!(waiter.join().unwrap(), "a waiter was not told");
            }
        });
        assert_eq!(lock.into_inner().unwrap_err().into_inner(), 2);
    });
}

#[test]
fn every_way_to_the_value_says_that_it_is_poisoned_and_gives_it() {
    everywhere(|| {
        let mut lock = poisoned(String::from("a"));
        let reader = lock.read().unwrap_err();
        assert_eq!(**reader.get_ref(), "a");
        match lock.try_read() {
            Err(TryLockError::Poisoned(error)) => assert_eq!(*error.into_inner(), "a"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        drop(reader);
        lock.write().unwrap_err().into_inner().push('b');
        match lock.try_write() {
            Err(TryLockError::Poisoned(mut error)) => error.get_mut().push('c'),
            other => panic!("{other:?}"),
        }
        let error: PoisonError<&mut String> = lock.get_mut().unwrap_err();
        error.into_inner().push('d');
        let error: PoisonError<String> = lock.into_inner().unwrap_err();
        assert_eq!(error.into_inner(), "abcd");
    });
}

#[test]
fn clear_poison_mends_and_a_next_panic_poisons_again() {
    everywhere(|| {
        let mut lock = poisoned(1);
        lock.clear_poison();
        assert!(!lock.is_poisoned());
        assert_eq!(*lock.read().unwrap(), 1);
        assert_eq!(*lock.write().unwrap(), 1);
        assert_eq!(*lock.get_mut().unwrap(), 1);
        fail_here(|| {
            let _guard = lock.write().unwrap();
            fail();
        });
        assert!(lock.is_poisoned());
        drop(lock.write());
        drop(lock.read());
        assert!(lock.is_poisoned(), "a guard that goes well does not mend");
        lock.clear_poison();
        assert_eq!(lock.into_inner().unwrap(), 1);
    });
}

#[test]
fn debug_says_poisoned_and_shows_the_value_all_the_same() {
    everywhere(|| {
        let lock = poisoned(7);
        assert_eq!(format!("{lock:?}"), "RwLock { data: 7, poisoned: true, .. }");
        let writer = lock.write().unwrap_err().into_inner();
        assert_eq!(format!("{lock:?}"), "RwLock { data: <locked>, poisoned: true, .. }");
        assert_eq!(format!("{writer:?}"), "7");
        drop(writer);
        let reader = lock.read();
        assert_eq!(format!("{lock:?} {reader:?}"), {
            "RwLock { data: 7, poisoned: true, .. } Err(PoisonError { .. })"
        });
    });
}
