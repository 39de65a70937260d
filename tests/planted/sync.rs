//! Bugs in programs that use locks, condition variables and the like correctly, but for one thing.

use std::collections::VecDeque;

use sylvan::sync::{Condvar, Mutex, RwLock};
use sylvan::{testing, thread};

use crate::{Twin, expect_found};

#[test]
fn condition_looked_at_once() {
    expect_found("sync::condition_looked_at_once", "expected something", |twin| {
        let (queue, filled) = (Mutex::new(VecDeque::new()), Condvar::new());
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut queue = queue.lock().unwrap();
                    match twin {
                        // One who came meanwhile, or a wait that ended for nothing.
                        Twin::Broken if queue.is_empty() => queue = filled.wait(queue).unwrap(),
                        Twin::Broken => (),
                        Twin::Mended => {
                            queue = filled.wait_while(queue, |queue| queue.is_empty()).unwrap();
                        }
                    }
                    assert!(queue.pop_front().is_some(), "expected something in the queue");
                });
            }
            for item in 0..2 {
                let (queue, filled) = (&queue, &filled);
                scope.spawn(move || {
                    queue.lock().unwrap().push_back(item);
                    filled.notify_one();
                });
            }
        });
    });
}

#[test]
fn one_notified_where_two_kinds_wait() {
    expect_found("sync::one_notified_where_two_kinds_wait", "nothing can move any more", |twin| {
        // A place for one item; those who put and those who take wait on the same variable.
        let (place, changed) = (Mutex::new(None::<u32>), Condvar::new());
        let notify = || match twin {
            Twin::Broken => changed.notify_one(),
            Twin::Mended => changed.notify_all(),
        };
        let take = || {
            let guard = place.lock().unwrap();
            *changed.wait_while(guard, |place| place.is_none()).unwrap() = None;
            notify();
        };
        let put = || {
            let guard = place.lock().unwrap();
            *changed.wait_while(guard, |place| place.is_some()).unwrap() = Some(7);
            notify();
        };
        thread::scope(|scope| {
            scope.spawn(take);
            scope.spawn(take);
            testing::wait_until_all_parked();
            scope.spawn(put);
            scope.spawn(put);
        });
    });
}

#[test]
fn notified_without_the_mutex() {
    expect_found("sync::notified_without_the_mutex", "nothing can move any more", |twin| {
        let ready = std::sync::atomic::AtomicBool::new(false);
        let (mutex, changed) = (Mutex::new(()), Condvar::new());
        let is_ready = || {
            let is_ready = ready.load(std::sync::atomic::Ordering::SeqCst);
            // Stands for a condition that takes some looking.
            thread::yield_now();
            is_ready
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut guard = mutex.lock().unwrap();
                while !is_ready() {
                    guard = changed.wait(guard).unwrap();
                }
            });
            scope.spawn(|| {
                let guard = (twin == Twin::Mended).then(|| mutex.lock().unwrap());
                ready.store(true, std::sync::atomic::Ordering::SeqCst);
                drop(guard);
                changed.notify_one();
            });
        });
    });
}

#[test]
fn found_for_reading_and_changed_for_writing() {
    expect_found("sync::found_for_reading_and_changed_for_writing", "left: 2", |twin| {
        let (cell, made) = (RwLock::new(None), Mutex::new(0));
        let get = || {
            if let Some(value) = *cell.read().unwrap() {
                return value;
            }
            let mut writer = cell.write().unwrap();
            match (twin, *writer) {
                // Somebody else may have been here between the two locks.
                (Twin::Mended, Some(value)) => value,
                _ => {
                    *made.lock().unwrap() += 1;
                    *writer.insert(7)
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(get);
            }
        });
        assert_eq!(*made.lock().unwrap(), 1);
    });
}

#[test]
fn read_again_while_a_writer_waits() {
    expect_found("sync::read_again_while_a_writer_waits", "rwlock", |twin| {
        let lock = RwLock::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let first = lock.read().unwrap();
                thread::yield_now();
                match twin {
                    Twin::Broken => assert_eq!(*first, *lock.read().unwrap()),
                    Twin::Mended => assert_eq!(*first, *first),
                }
            });
            scope.spawn(|| *lock.write().unwrap() += 1);
        });
    });
}

#[test]
fn two_locks_where_one_was_meant() {
    expect_found("sync::two_locks_where_one_was_meant", "left: 1", |twin| {
        let account = Mutex::new(0);
        let add_one = || match twin {
            Twin::Broken => {
                let balance = *account.lock().unwrap();
                *account.lock().unwrap() = balance + 1;
            }
            Twin::Mended => *account.lock().unwrap() += 1,
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(add_one);
            }
        });
        assert_eq!(account.into_inner().unwrap(), 2);
    });
}
