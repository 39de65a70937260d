//! `Condvar` without time: waits, notifications, poison.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::panics::{fail, fail_here};
use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use super::sync::{Condvar, Mutex, TryLockError};
use super::{everywhere, settle, thread, until};

#[test]
fn wait_gives_the_lock_away_and_returns_with_it() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(false), Condvar::new());
        thread::scope(|scope| {
            let mut ready = mutex.lock().unwrap();
            scope.spawn(|| {
                // Comes in only because the wait has given the lock away.
                *mutex.lock().unwrap() = true;
                condvar.notify_one();
            });
            while !*ready {
                ready = condvar.wait(ready).unwrap();
                assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
            }
        });
        assert!(*mutex.try_lock().unwrap(), "the lock is still held");
    });
}

#[test]
fn each_notify_one_serves_one_waiter() {
    everywhere(|| {
        let (tokens, condvar) = (Mutex::new(0), Condvar::new());
        let served = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut tokens = tokens.lock().unwrap();
                    while *tokens == 0 {
                        tokens = condvar.wait(tokens).unwrap();
                    }
                    *tokens -= 1;
                    served.fetch_add(1, SeqCst);
                });
            }
            settle();
            assert_eq!(served.load(SeqCst), 0);
            for count in 1..=4 {
                *tokens.lock().unwrap() += 1;
                condvar.notify_one();
                until(|| served.load(SeqCst) == count);
                assert_eq!(*tokens.lock().unwrap(), 0);
            }
        });
    });
}

#[test]
fn notify_all_serves_everybody_who_waits() {
    everywhere(|| {
        let (open, condvar) = (Mutex::new(false), Condvar::new());
        let waiting = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    let mut open = open.lock().unwrap();
                    waiting.fetch_add(1, SeqCst);
                    while !*open {
                        open = condvar.wait(open).unwrap();
                    }
                });
            }
            // Counted under the lock: once it can be had, all of them wait.
            until(|| waiting.load(SeqCst) == 10);
            *open.lock().unwrap() = true;
            condvar.notify_all();
        });
    });
}

#[test]
fn notifications_may_come_with_the_lock_in_hand_or_without() {
    everywhere(|| {
        let (turn, condvar) = (Mutex::new(0), Condvar::new());
        let play = |mine: usize| {
            for _ in 0..40 {
                let mut turn = turn.lock().unwrap();
                while *turn % 2 != mine {
                    turn = condvar.wait(turn).unwrap();
                }
                *turn += 1;
                if *turn % 3 == 0 {
                    drop(turn);
                    condvar.notify_one();
                } else {
                    condvar.notify_one();
                    drop(turn);
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| play(0));
            scope.spawn(|| play(1));
        });
        assert_eq!(*turn.lock().unwrap(), 80);
    });
}

#[test]
fn notifications_without_waiters_do_no_harm() {
    everywhere(|| {
        let condvar = Condvar::new();
        condvar.notify_one();
        condvar.notify_all();
        let mutex = Mutex::new(1);
        let guard = condvar.wait_while(mutex.lock().unwrap(), |value| *value == 0).unwrap();
        assert_eq!(*guard, 1);
    });
}

#[test]
fn wait_while_looks_first_and_after_each_notification() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(3), Condvar::new());
        // Nobody notifies: returns at once.
        let guard = condvar.wait_while(mutex.lock().unwrap(), |_| false).unwrap();
        assert_eq!(*guard, 3);
        drop(guard);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut looks = 0;
                let guard = mutex.lock().unwrap();
                let guard = condvar.wait_while(guard, |value| {
                    looks += 1;
                    *value > 0
                });
                assert_eq!(*guard.unwrap(), 0);
                looks
            });
            for left in (0..3).rev() {
                *mutex.lock().unwrap() = left;
                condvar.notify_all();
                thread::yield_now();
            }
            assert!(waiting.join().unwrap() >= 1);
        });
    });
}

#[test]
fn condition_of_wait_while_may_change_the_value() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(vec![1, 2, 3]), Condvar::new());
        let mut popped = None;
        let guard = condvar.wait_while(mutex.lock().unwrap(), |values: &mut Vec<i32>| {
            popped = values.pop();
            popped.is_none()
        });
        assert_eq!(*guard.unwrap(), [1, 2]);
        assert_eq!(popped, Some(3));
    });
}

#[test]
fn bounded_queue_keeps_order_and_loses_nothing() {
    everywhere(|| {
        let queue = Mutex::new(VecDeque::new());
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        thread::scope(|scope| {
            let consumers: [_; 3] = std::array::from_fn(|_| {
                scope.spawn(|| {
                    let mut seen = Vec::new();
                    loop {
                        let queue = queue.lock().unwrap();
                        let mut queue = filled.wait_while(queue, |queue| queue.is_empty()).unwrap();
                        let item: Option<u32> = queue.pop_front().unwrap();
                        drop(queue);
                        emptied.notify_one();
                        match item {
                            Some(item) => seen.push(item),
                            None => return seen,
                        }
                    }
                })
            });
            for item in (0..60).map(Some).chain([None; 3]) {
                let queue = queue.lock().unwrap();
                let mut queue = emptied.wait_while(queue, |queue| queue.len() == 4).unwrap();
                queue.push_back(item);
                filled.notify_one();
            }
            let mut all = Vec::new();
            for consumer in consumers {
                let seen = consumer.join().unwrap();
                assert!(seen.is_sorted(), "{seen:?}");
                all.extend(seen);
            }
            all.sort_unstable();
            assert_eq!(all, (0..60).collect::<Vec<_>>());
        });
    });
}

#[test]
fn condvar_serves_one_mutex_after_another() {
    everywhere(|| {
        let (condvar, mutexes) = (Condvar::new(), [Mutex::new(false), Mutex::new(false)]);
        for mutex in &mutexes {
            thread::scope(|scope| {
                let ready = mutex.lock().unwrap();
                scope.spawn(|| {
                    *mutex.lock().unwrap() = true;
                    condvar.notify_all();
                });
                assert!(*condvar.wait_while(ready, |ready| !*ready).unwrap());
            });
        }
    });
}

#[test]
fn waiter_is_told_that_the_lock_got_poisoned() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(false), Condvar::new());
        let waiting = AtomicUsize::new(0);
        thread::scope(|scope| {
            let plain = scope.spawn(|| {
                let mut guard = mutex.lock().unwrap();
                waiting.fetch_add(1, SeqCst);
                loop {
                    guard = match condvar.wait(guard) {
                        Ok(guard) => guard,
                        Err(error) => break assert!(**error.get_ref()),
                    }
                }
            });
            let with_condition = scope.spawn(|| {
                let guard = mutex.lock().unwrap();
                waiting.fetch_add(1, SeqCst);
                let error = condvar.wait_while(guard, |ready| !*ready).unwrap_err();
                assert!(*error.into_inner());
            });
            // Counted under the lock: whoever has it next comes after both have begun to wait.
            until(|| waiting.load(SeqCst) == 2);
            fail_here(|| {
                let mut guard = mutex.lock().unwrap();
                *guard = true;
                condvar.notify_all();
                fail();
            });
            plain.join().unwrap();
            with_condition.join().unwrap();
        });
        assert!(mutex.is_poisoned());
    });
}

#[test]
fn wait_with_the_guard_of_a_poisoned_lock_says_so() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(false), Condvar::new());
        fail_here(|| {
            let _guard = mutex.lock().unwrap();
            fail();
        });
        let guard = mutex.lock().unwrap_err().into_inner();
        thread::scope(|scope| {
            scope.spawn(|| {
                *mutex.lock().unwrap_err().into_inner() = true;
                condvar.notify_all();
            });
            let error = condvar.wait(guard).unwrap_err();
            let mut guard = error.into_inner();
            while !*guard {
                guard = condvar.wait(guard).unwrap_err().into_inner();
            }
            // A condition that does not hold: no wait, and no word about the poison.
            let guard = condvar.wait_while(guard, |_| false).unwrap();
            assert!(*guard);
        });
        assert!(mutex.is_poisoned());
    });
}

#[test]
fn panic_in_the_condition_poisons_and_leaves_the_lock_free() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        fail_here(|| {
            drop(condvar.wait_while(mutex.lock().unwrap(), |_| fail()));
        });
        assert!(mutex.is_poisoned());
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
        condvar.notify_all();
    });
}

#[test]
fn made_by_default_in_statics_and_printed() {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    static CONDVAR: Condvar = Condvar::new();
    everywhere(|| {
        *MUTEX.lock().unwrap() = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                *MUTEX.lock().unwrap() += 1;
                CONDVAR.notify_one();
            });
            let guard = CONDVAR.wait_while(MUTEX.lock().unwrap(), |value| *value == 0).unwrap();
            assert_eq!(*guard, 1);
        });
        assert_eq!(format!("{:?}", Condvar::new()), "Condvar { .. }");
        Condvar::default().notify_one();
    });
}
