//! `RwLock::try_read_for`, `try_read_until`, `try_write_for`, `try_write_until`.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::sync::{RwLock, RwLockWriteGuard, TryLockError, TryLockResult};
use sylvan::{thread, time};
use sylvan_workspace::{everywhere, in_every_runtime, until};

use super::{FOR_EVER, MOMENT, settle};

fn is_time_over<G>(result: TryLockResult<G>) -> bool {
    matches!(result, Err(TryLockError::WouldBlock))
}

#[test]
fn free_lock_is_had_whatever_the_time() {
    everywhere(|_| {
        let lock = RwLock::new(0);
        for patience in [Duration::ZERO, MOMENT, FOR_EVER, Duration::MAX] {
            *lock.try_write_for(patience).unwrap() += 1;
            assert!(*lock.try_read_for(patience).unwrap() > 0);
        }
        let now = time::now();
        for deadline in [now - MOMENT, now, now + FOR_EVER] {
            *lock.try_write_until(deadline).unwrap() += 1;
            assert!(*lock.try_read_until(deadline).unwrap() > 4);
        }
        assert_eq!(*lock.try_write().unwrap(), 7);
    });
}

#[test]
fn reader_needs_no_time_beside_readers() {
    everywhere(|_| {
        let lock = RwLock::new(0);
        let first = lock.try_read_for(MOMENT).unwrap();
        let second = lock.try_read_for(Duration::ZERO).unwrap();
        let third = lock.try_read_until(time::now()).unwrap();
        assert!(is_time_over(lock.try_write()));
        drop((first, second, third));
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn held_lock_is_waited_for_as_long_as_said_and_no_shorter() {
    everywhere(|_| {
        let lock = RwLock::new(0);
        // Not by the holder, to whom a debug build would say that it waits for itself.
        let late = |call: &(dyn Fn() -> bool + Sync)| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let start = time::now();
                    assert!(call());
                    assert!(time::now() - start >= MOMENT);
                });
            });
        };
        let writer = lock.write().unwrap();
        late(&|| is_time_over(lock.try_read_for(MOMENT)));
        late(&|| is_time_over(lock.try_write_for(MOMENT)));
        late(&|| is_time_over(lock.try_read_until(time::now() + MOMENT)));
        late(&|| is_time_over(lock.try_write_until(time::now() + MOMENT)));
        let reader = RwLockWriteGuard::downgrade(writer);
        late(&|| is_time_over(lock.try_write_for(MOMENT)));
        late(&|| is_time_over(lock.try_write_until(time::now() + MOMENT)));
        drop(reader);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn no_time_is_not_waited() {
    everywhere(|_| {
        let lock = RwLock::new(0);
        let past = time::now() - MOMENT;
        let writer = lock.write().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(is_time_over(lock.try_read_for(Duration::ZERO)));
                assert!(is_time_over(lock.try_write_for(Duration::ZERO)));
                assert!(is_time_over(lock.try_read_until(past)));
                assert!(is_time_over(lock.try_write_until(past)));
            });
        });
        drop(writer);
        let reader = lock.read().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| assert!(is_time_over(lock.try_write_for(Duration::ZERO))));
        });
        drop(reader);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn lock_that_comes_free_in_time_is_had() {
    everywhere(|_| {
        for patience in [FOR_EVER, Duration::MAX] {
            let lock = RwLock::new(1);
            thread::scope(|scope| {
                let writer = lock.write().unwrap();
                let reads = scope.spawn(|| *lock.try_read_for(patience).unwrap());
                let writes = scope.spawn(|| *lock.try_write_for(patience).unwrap() += 1);
                let until = scope.spawn(|| {
                    let deadline = time::now() + FOR_EVER;
                    drop(lock.try_read_until(deadline).unwrap());
                    *lock.try_write_until(deadline).unwrap() += 1;
                });
                settle();
                assert!(!reads.is_finished() && !writes.is_finished() && !until.is_finished());
                drop(writer);
                assert!(reads.join().unwrap() >= 1);
                writes.join().unwrap();
                until.join().unwrap();
            });
            assert_eq!(lock.into_inner().unwrap(), 3);
        }
    });
}

#[test]
fn poisoned_lock_is_given_with_the_word() {
    everywhere(|_| {
        let lock = RwLock::new(1);
        let panicked = thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _guard = lock.try_write_for(FOR_EVER).unwrap();
                std::panic::resume_unwind(Box::new(()));
            });
            panics.join().is_err()
        });
        assert!(panicked && lock.is_poisoned());
        match lock.try_write_for(MOMENT) {
            Err(TryLockError::Poisoned(error)) => *error.into_inner() += 1,
            other => panic!("{other:?}"),
        }
        match lock.try_read_until(time::now()) {
            Err(TryLockError::Poisoned(error)) => assert_eq!(*error.into_inner(), 2),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn readers_come_in_again_when_a_writers_time_is_over() {
    everywhere(|_| {
        let lock = RwLock::new(0);
        let reader = lock.read().unwrap();
        thread::scope(|scope| {
            assert!(scope.spawn(|| is_time_over(lock.try_write_for(MOMENT))).join().unwrap());
            // Nobody waits any more, and the lock is with a reader.
            assert_eq!(*lock.try_read().unwrap(), 0);
            assert_eq!(scope.spawn(|| *lock.read().unwrap()).join().unwrap(), 0);
        });
        drop(reader);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn readers_who_queued_behind_a_writer_whose_time_is_over_come_in() {
    everywhere(|_| {
        let (lock, inside) = (RwLock::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let reader = lock.read().unwrap();
            let writer = scope.spawn(|| is_time_over(lock.try_write_for(MOMENT)));
            thread::yield_now();
            for _ in 0..3 {
                scope.spawn(|| {
                    drop(lock.read().unwrap());
                    inside.fetch_add(1, SeqCst);
                });
            }
            assert!(writer.join().unwrap());
            // While the first reader still has it: nothing but the writer was in their way.
            until(|| inside.load(SeqCst) == 3);
            drop(reader);
        });
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn unlock_that_meets_the_end_of_the_time_is_not_lost() {
    in_every_runtime(|_| {
        let (lock, writes) = (RwLock::new(0), AtomicUsize::new(0));
        for round in 0..20 {
            let patience = Duration::from_micros(50 * round);
            thread::scope(|scope| {
                let guard = lock.write().unwrap();
                for _ in 0..2 {
                    scope.spawn(|| drop(lock.try_read_for(patience)));
                    scope.spawn(|| {
                        if let Ok(mut guard) = lock.try_write_for(patience) {
                            *guard += 1;
                            writes.fetch_add(1, SeqCst);
                        }
                    });
                }
                // Without a deadline: they hang if a wake is lost.
                scope.spawn(|| drop(lock.read().unwrap()));
                scope.spawn(|| {
                    *lock.write().unwrap() += 1;
                    writes.fetch_add(1, SeqCst);
                });
                thread::sleep(patience);
                drop(guard);
            });
            until(|| lock.try_write().is_ok());
        }
        assert_eq!(lock.into_inner().unwrap(), writes.load(SeqCst));
    });
}
