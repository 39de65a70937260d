//! Destructors that run because of a deadline, and not in its unwinding: of closures that never
//! ran, of thread-locals, of values that nobody gets. They run to their end, and may wait.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::sync::Mutex;
use sylvan::thread;
use sylvan::time::{self, Duration};
use sylvan_workspace::{OnDrop, everywhere, in_child, in_every_runtime};

use crate::{HOUR, SOON, expect_elapsed, outlast_deadline};

/// Waits in its destructor, and counts when that was not cut short.
struct Waits<'a> {
    lock: &'a Mutex<usize>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        thread::yield_now();
        thread::sleep(Duration::from_micros(1));
        *self.lock.lock().unwrap() += 1;
    }
}

#[test]
fn captures_of_a_child_that_never_ran_are_dropped_to_the_end() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        expect_elapsed(time::timeout(Duration::ZERO, || {
            thread::scope(|scope| {
                for _ in 0..4 {
                    let waits = Waits { lock: &lock };
                    scope.spawn(move || drop(waits));
                }
            });
            thread::yield_now();
        }));
        assert_eq!(*lock.lock().unwrap(), 4);
    });
}

#[test]
fn captures_of_an_arm_that_never_ran_are_dropped_to_the_end() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        let began = AtomicUsize::new(0);
        for _ in 0..4 {
            let waits = Waits { lock: &lock };
            expect_elapsed(time::timeout(SOON, || {
                sylvan::join(
                    || {
                        outlast_deadline();
                        thread::yield_now();
                    },
                    || {
                        began.fetch_add(1, SeqCst);
                        // What runs in time, or is about to be cut off itself, shall not count.
                        thread::shield(|| drop(waits));
                    },
                )
            }));
        }
        assert_eq!(*lock.lock().unwrap(), 4, "{began:?} of them had begun");
    });
}

#[test]
fn value_of_an_arm_whose_other_one_was_cut_off_is_dropped_to_the_end() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let lock = Mutex::new(0);
        let taken = AtomicBool::new(false);
        expect_elapsed(time::timeout(SOON, || {
            sylvan::join(
                || {
                    while !taken.load(SeqCst) && !thread::cancelled() {
                        std::hint::spin_loop();
                    }
                    Waits { lock: &lock }
                },
                || {
                    taken.store(true, SeqCst);
                    thread::sleep(HOUR);
                },
            )
        }));
        assert_eq!(*lock.lock().unwrap(), 1);
    });
}

/// The same for a value that nobody borrows for.
struct WaitsShared(Arc<Mutex<usize>>);

impl Drop for WaitsShared {
    fn drop(&mut self) {
        drop(Waits { lock: &self.0 });
    }
}

sylvan::thread_local! {
    static LOCAL: RefCell<Option<WaitsShared>> = const { RefCell::new(None) };
}

#[test]
fn thread_locals_of_a_child_that_was_cut_off_are_dropped_to_the_end() {
    in_every_runtime(|_| {
        let lock = Arc::new(Mutex::new(0));
        let set = Arc::new(AtomicUsize::new(0));
        expect_elapsed(time::timeout(SOON, || {
            thread::scope(|scope| {
                for _ in 0..4 {
                    let (lock, set) = (lock.clone(), set.clone());
                    scope.spawn(move || {
                        LOCAL.set(Some(WaitsShared(lock)));
                        set.fetch_add(1, SeqCst);
                        thread::sleep(HOUR);
                    });
                }
            });
            thread::yield_now();
        }));
        assert_eq!(*lock.lock().unwrap(), set.load(SeqCst));
    });
}

#[test]
fn thread_locals_of_a_cancelled_thread_are_dropped_to_the_end() {
    in_every_runtime(|_| {
        let lock = Arc::new(Mutex::new(0));
        let set = Arc::new(AtomicUsize::new(0));
        let (own, its) = (lock.clone(), set.clone());
        let handle = thread::spawn(move || {
            LOCAL.set(Some(WaitsShared(own)));
            its.fetch_add(1, SeqCst);
            thread::sleep(HOUR);
        });
        sylvan_workspace::settle();
        handle.cancel().unwrap();
        assert!(handle.join().is_err());
        assert_eq!(*lock.lock().unwrap(), set.load(SeqCst));
    });
}

#[test]
fn captures_of_a_cancelled_thread_that_never_ran_are_dropped_to_the_end() {
    in_every_runtime(|_| {
        let lock = Arc::new(Mutex::new(0));
        for _ in 0..4 {
            let waits = WaitsShared(lock.clone());
            let handle = thread::spawn(move || {
                let _waits = waits;
                thread::sleep(HOUR);
            });
            handle.cancel().unwrap();
            assert!(handle.join().is_err());
        }
        assert_eq!(*lock.lock().unwrap(), 4);
    });
}

const STARTS_LATE: &str =
    "corners::destructors::default_runtime_starts_in_a_destructor_while_its_thread_unwinds";

#[test]
fn default_runtime_starts_in_a_destructor_while_its_thread_unwinds() {
    let child = in_child(STARTS_LATE, &[], || {
        let outcome = time::timeout(SOON, || {
            let _starts = OnDrop(|| println!("{}", thread::spawn(|| 7).join().unwrap()));
            thread::sleep(HOUR);
        });
        expect_elapsed(outcome);
        // The hook is there: it says which green thread has panicked.
        let named = thread::Builder::new().name("loud".to_owned());
        assert!(named.spawn(|| panic!("on purpose")).unwrap().join().is_err());
    });
    assert!(child.status.success(), "{}", child.stderr);
    assert!(child.stdout.contains('7'), "{}", child.stdout);
    assert!(child.stderr.contains("green thread 'loud'"), "{}", child.stderr);
}
