//! Nobody waits for ever: the valve of the locks, and crowds of waiters.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::sync::{Condvar, Mutex, RwLock};
use sylvan::thread;
use sylvan_workspace::{Shape, everywhere, in_every_runtime, until};

/// So many sections may go before a waiter: four losses, the hand-over, and what it takes to begin.
const MOST: usize = 8;

#[test]
fn mutex_that_is_never_left_alone_is_had_after_a_bounded_number_of_sections() {
    everywhere(|shape| {
        let (lock, asks, done) = (Mutex::new(()), AtomicBool::new(false), AtomicBool::new(false));
        let sections = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Whoever looks finds it locked: it is released and taken again in one turn.
                while !done.load(SeqCst) {
                    let _guard = lock.lock().unwrap();
                    if asks.load(SeqCst) {
                        sections.fetch_add(1, SeqCst);
                    }
                    thread::yield_now();
                }
            });
            scope.spawn(|| {
                until(|| lock.try_lock().is_err());
                asks.store(true, SeqCst);
                let guard = lock.lock().unwrap();
                done.store(true, SeqCst);
                drop(guard);
            });
        });
        // Where both run at the same time a section takes no turn of the other's, and a seed may
        // give one of them many turns in a row.
        if shape == Shape::ManyToOne {
            assert!(sections.load(SeqCst) <= MOST, "{sections:?} sections went before");
        }
    });
}

#[test]
fn writer_gets_in_although_the_readers_never_leave_together() {
    everywhere(|_| {
        let (lock, done) = (RwLock::new(0), AtomicBool::new(false));
        let readers = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(SeqCst) {
                        let _guard = lock.read().unwrap();
                        readers.fetch_add(1, SeqCst);
                        thread::yield_now();
                    }
                });
            }
            until(|| readers.load(SeqCst) >= 3);
            *lock.write().unwrap() += 1;
            done.store(true, SeqCst);
        });
        assert_eq!(lock.into_inner().unwrap(), 1);
    });
}

#[test]
fn readers_get_in_although_a_writer_always_comes_again() {
    everywhere(|_| {
        let (lock, done) = (RwLock::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while done.load(SeqCst) < 3 {
                    *lock.write().unwrap() += 1;
                    let mut guard = lock.write().unwrap();
                    thread::yield_now();
                    *guard += 1;
                }
            });
            for _ in 0..3 {
                scope.spawn(|| {
                    until(|| lock.try_write().is_err());
                    drop(lock.read().unwrap());
                    done.fetch_add(1, SeqCst);
                });
            }
        });
    });
}

#[test]
fn ten_thousand_wait_for_one_mutex_and_none_is_forgotten() {
    in_every_runtime(|shape| {
        // Kernel threads are not so cheap.
        let count = if shape.is_green() { 10_000 } else { 200 };
        let (lock, started) = (Mutex::new(0), AtomicUsize::new(0));
        let other = Mutex::new(0);
        thread::scope(|scope| {
            let guard = lock.lock().unwrap();
            let threads: Vec<_> = (0..count)
                .map(|number| {
                    let (lock, started) = (&lock, &started);
                    scope.spawn(move || {
                        started.fetch_add(1, SeqCst);
                        // Some have a deadline, which does not come.
                        let hour = std::time::Duration::from_secs(3600);
                        match number % 3 {
                            0 => *lock.try_lock_for(hour).unwrap() += 1,
                            _ => *lock.lock().unwrap() += 1,
                        }
                    })
                })
                .collect();
            until(|| started.load(SeqCst) == count);
            // Whatever its bucket, another lock is as quick as ever.
            for _ in 0..100 {
                *other.lock().unwrap() += 1;
            }
            // From anywhere in the queue.
            let cancelled = count / 2;
            for thread in threads.iter().step_by(2) {
                thread.cancel().unwrap();
            }
            drop(guard);
            let had = threads.into_iter().filter_map(|thread| thread.join().ok()).count();
            assert!(had >= count - cancelled);
            assert_eq!(*lock.lock().unwrap(), had);
        });
        assert!(lock.try_lock().is_ok());
    });
}

#[test]
fn notification_of_all_wakes_thousands() {
    in_every_runtime(|shape| {
        let count = if shape.is_green() { 5_000 } else { 200 };
        let (state, changed) = (Mutex::new((0, false)), Condvar::new());
        thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    let mut guard = state.lock().unwrap();
                    guard.0 += 1;
                    drop(changed.wait_while(guard, |state| !state.1).unwrap());
                });
            }
            until(|| state.lock().unwrap().0 == count);
            state.lock().unwrap().1 = true;
            changed.notify_all();
        });
    });
}

/// So many addresses that some share a bucket of the table of those who wait, which has 65,536.
#[test]
fn waiters_of_many_addresses_get_what_is_theirs() {
    in_every_runtime(|shape| {
        if !shape.is_green() {
            return;
        }
        let locks: Vec<Mutex<usize>> = (0..2_000).map(Mutex::new).collect();
        let started = AtomicUsize::new(0);
        thread::scope(|scope| {
            let guards: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap()).collect();
            let threads: Vec<_> = (0..3 * locks.len())
                .map(|number| {
                    let (lock, started) = (&locks[number % locks.len()], &started);
                    scope.spawn(move || {
                        started.fetch_add(1, SeqCst);
                        *lock.lock().unwrap() += 10_000;
                    })
                })
                .collect();
            until(|| started.load(SeqCst) == threads.len());
            // The first, the second or the last of each queue.
            let cancelled: Vec<_> = (0..locks.len()).map(|lock| lock + lock % 3 * 2_000).collect();
            for thread in &cancelled {
                threads[*thread].cancel().unwrap();
            }
            for thread in &cancelled {
                until(|| threads[*thread].is_finished());
            }
            // In an order that is not that of their coming.
            for (number, mut guard) in guards.into_iter().enumerate().rev() {
                assert_eq!(*guard, number);
                *guard += 10_000;
            }
        });
        for (number, lock) in locks.into_iter().enumerate() {
            assert_eq!(lock.into_inner().unwrap(), number + 30_000);
        }
    });
}
