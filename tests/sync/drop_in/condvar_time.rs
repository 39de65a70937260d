//! `Condvar` with a timeout: time over, notified in time, zero, and longer than every clock.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::panics::{fail, fail_here};
use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use super::sync::{Condvar, Mutex, TryLockError, WaitTimeoutResult};
use super::{everywhere, now, thread, until};

const MOMENT: Duration = Duration::from_millis(3);
/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[test]
fn wait_timeout_ends_with_its_time_and_not_before() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(5), Condvar::new());
        let mut guard = mutex.lock().unwrap();
        loop {
            let start = now();
            let (again, result) = condvar.wait_timeout(guard, MOMENT).unwrap();
            assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
            if result.timed_out() {
                assert!(now() - start >= MOMENT);
                assert_eq!(*again, 5);
                break;
            }
            // Woken for no reason, which std allows.
            guard = again;
        }
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn wait_timeout_gives_the_lock_away() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(0), Condvar::new());
        thread::scope(|scope| {
            let mut guard = mutex.lock().unwrap();
            scope.spawn(|| *mutex.lock().unwrap() = 1);
            // Nobody notifies: the value is seen after the time.
            while *guard == 0 {
                guard = condvar.wait_timeout(guard, MOMENT).unwrap().0;
            }
        });
    });
}

#[test]
fn wait_timeout_that_is_notified_in_time_has_not_timed_out() {
    everywhere(|| {
        for patience in [FOR_EVER, Duration::MAX] {
            let (mutex, condvar) = (Mutex::new(false), Condvar::new());
            thread::scope(|scope| {
                let mut ready = mutex.lock().unwrap();
                scope.spawn(|| {
                    *mutex.lock().unwrap() = true;
                    condvar.notify_one();
                });
                while !*ready {
                    let (again, result) = condvar.wait_timeout(ready, patience).unwrap();
                    assert!(!result.timed_out());
                    ready = again;
                }
            });
        }
    });
}

#[test]
fn zero_timeout_is_over_at_once() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(5), Condvar::new());
        let guard = mutex.lock().unwrap();
        let (guard, result) = condvar.wait_timeout(guard, Duration::ZERO).unwrap();
        assert!(result.timed_out());
        assert_eq!(*guard, 5);
        let waited = condvar.wait_timeout_while(guard, Duration::ZERO, |value| *value == 5);
        let (guard, result) = waited.unwrap();
        assert!(result.timed_out());
        drop(guard);
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn wait_timeout_while_ends_with_its_time_and_not_before() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(5), Condvar::new());
        let start = now();
        let guard = mutex.lock().unwrap();
        let (guard, result) = condvar.wait_timeout_while(guard, MOMENT, |_| true).unwrap();
        assert!(result.timed_out());
        assert!(now() - start >= MOMENT);
        assert_eq!(*guard, 5);
    });
}

#[test]
fn notifications_do_not_lengthen_wait_timeout_while() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(false), Condvar::new());
        thread::scope(|scope| {
            let noise = scope.spawn(|| {
                while !*mutex.lock().unwrap() {
                    condvar.notify_all();
                    // Shorter than the patience below: if each wake began it anew, it would
                    // never be over.
                    thread::sleep(MOMENT / 10);
                }
            });
            let guard = mutex.lock().unwrap();
            let waited = condvar.wait_timeout_while(guard, MOMENT, |_| true).unwrap();
            let (mut stop, result) = waited;
            assert!(result.timed_out());
            *stop = true;
            drop(stop);
            noise.join().unwrap();
        });
    });
}

#[test]
fn wait_timeout_while_whose_condition_is_over_has_not_timed_out() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        for patience in [Duration::ZERO, FOR_EVER, Duration::MAX] {
            let guard = mutex.lock().unwrap();
            let waited = condvar.wait_timeout_while(guard, patience, |value| *value == 0);
            let (guard, result) = waited.unwrap();
            assert!(!result.timed_out());
            assert_eq!(*guard, 1);
        }
        thread::scope(|scope| {
            *mutex.lock().unwrap() = 0;
            let guard = mutex.lock().unwrap();
            scope.spawn(|| {
                *mutex.lock().unwrap() = 2;
                condvar.notify_all();
            });
            let waited = condvar.wait_timeout_while(guard, Duration::MAX, |value| *value == 0);
            let (guard, result) = waited.unwrap();
            assert_eq!((*guard, result.timed_out()), (2, false));
        });
    });
}

#[test]
fn condition_that_changes_as_the_time_is_over_has_not_timed_out() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(0), Condvar::new());
        let mut looks = 0;
        let waited = condvar.wait_timeout_while(mutex.lock().unwrap(), Duration::ZERO, |value| {
            looks += 1;
            *value += 1;
            *value < 2
        });
        // The second look comes only if a wait of no time can still be woken; std looks before it
        // asks what the time is, and once more after the wait.
        let (guard, result) = waited.unwrap();
        assert_eq!(result.timed_out(), *guard < 2);
        assert_eq!(looks, *guard);
    });
}

#[test]
#[allow(deprecated, reason = "it is stable nevertheless")]
fn wait_timeout_ms_says_whether_it_was_woken() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(0), Condvar::new());
        let mut guard = mutex.lock().unwrap();
        loop {
            let start = now();
            let (again, woken) = condvar.wait_timeout_ms(guard, 2).unwrap();
            guard = again;
            if !woken {
                assert!(now() - start >= Duration::from_millis(2));
                break;
            }
        }
    });
}

#[test]
fn waiter_with_a_timeout_is_told_that_the_lock_got_poisoned() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(false), Condvar::new());
        let waiting = AtomicUsize::new(0);
        thread::scope(|scope| {
            let timeout = scope.spawn(|| {
                let mut guard = mutex.lock().unwrap();
                waiting.fetch_add(1, SeqCst);
                loop {
                    guard = match condvar.wait_timeout(guard, FOR_EVER) {
                        Ok((guard, _)) => guard,
                        Err(error) => {
                            let (guard, result) = error.into_inner();
                            assert!(*guard);
                            break assert!(!result.timed_out());
                        }
                    }
                }
            });
            let with_condition = scope.spawn(|| {
                let guard = mutex.lock().unwrap();
                waiting.fetch_add(1, SeqCst);
                let waited = condvar.wait_timeout_while(guard, FOR_EVER, |ready| !*ready);
                assert!(*waited.unwrap_err().into_inner().0);
            });
            // Counted under the lock: whoever has it next comes after both have begun to wait.
            until(|| waiting.load(SeqCst) == 2);
            fail_here(|| {
                let mut guard = mutex.lock().unwrap();
                *guard = true;
                condvar.notify_all();
                fail();
            });
            timeout.join().unwrap();
            with_condition.join().unwrap();
        });
    });
}

#[test]
fn time_over_on_a_poisoned_lock_says_both() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        fail_here(|| {
            let _guard = mutex.lock().unwrap();
            fail();
        });
        let guard = mutex.lock().unwrap_err().into_inner();
        let (guard, result) = condvar.wait_timeout(guard, Duration::ZERO).unwrap_err().into_inner();
        assert!(result.timed_out());
        let waited = condvar.wait_timeout_while(guard, Duration::ZERO, |_| true);
        // Without a wait there is nobody to say that it is poisoned.
        let (guard, result) = match waited {
            Ok(pair) => pair,
            Err(error) => error.into_inner(),
        };
        assert!(result.timed_out());
        assert_eq!(*guard, 1);
    });
}

#[test]
fn panic_in_the_condition_poisons() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        fail_here(|| {
            drop(condvar.wait_timeout_while(mutex.lock().unwrap(), FOR_EVER, |_| fail()));
        });
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
    });
}

#[test]
fn results_are_copied_compared_and_printed() {
    everywhere(|| {
        let (mutex, condvar) = (Mutex::new(1), Condvar::new());
        let result = |patience, condition: bool| -> WaitTimeoutResult {
            let guard = mutex.lock().unwrap();
            condvar.wait_timeout_while(guard, patience, |_| condition).unwrap().1
        };
        let (over, in_time) = (result(Duration::ZERO, true), result(FOR_EVER, false));
        let copy = over;
        #[allow(clippy::clone_on_copy, reason = "it can be cloned, too")]
        let clone = over.clone();
        assert_eq!((copy, clone), (over, over));
        assert_ne!(over, in_time);
        assert_eq!(
            format!("{over:?} {in_time:?}"),
            "WaitTimeoutResult(true) WaitTimeoutResult(false)"
        );
    });
}
