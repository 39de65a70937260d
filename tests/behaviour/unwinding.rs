//! Threads that wait while they unwind: neither they nor their neighbours may be taken in.
//!
//! std counts panics per kernel thread. A destructor that waits lets neighbours run on that kernel
//! thread, and without care they would look panicking: std's locks would be poisoned by them.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sylvan::thread;
use sylvan_workspace::{OnDrop, everywhere, in_every_runtime, text_of, until};

#[test]
fn neighbours_of_a_destructor_that_waits_do_not_look_panicking() {
    in_every_runtime(|shape| {
        if !shape.is_green() {
            return;
        }
        let lock = Rc::new(Mutex::new(0));
        let go_on = Rc::new(AtomicBool::new(false));
        let waits = Rc::new(AtomicBool::new(false));
        let (waits_inside, go_on_inside) = (waits.clone(), go_on.clone());
        // Local, so that all of them are neighbours on one worker.
        let unwinding = thread::spawn_local(move || {
            let _waits = OnDrop(|| {
                assert!(thread::panicking());
                waits_inside.store(true, SeqCst);
                until(|| go_on_inside.load(SeqCst));
                assert!(thread::panicking(), "the wait has ended the unwinding");
            });
            panic!("expected in a test");
        });
        let neighbour_lock = lock.clone();
        let neighbour = thread::spawn_local(move || {
            until(|| waits.load(SeqCst));
            assert!(!thread::panicking(), "a neighbour unwinds, not this thread");
            *neighbour_lock.lock().unwrap() += 1;
            // A panic of its own is a panic of its own.
            let caught = std::panic::catch_unwind(|| panic!("expected in a test"));
            assert!(caught.is_err() && !thread::panicking());
        });
        neighbour.join().unwrap();
        assert!(!thread::panicking());
        assert!(!lock.is_poisoned());
        go_on.store(true, SeqCst);
        assert_eq!(text_of(&*unwinding.join().unwrap_err()), "expected in a test");
        assert_eq!(*lock.lock().unwrap(), 1);
    });
}

#[test]
fn lock_held_by_the_panicking_thread_is_poisoned_after_the_wait() {
    everywhere(|_| {
        let lock = Arc::new(Mutex::new(0));
        let inner = lock.clone();
        let result = thread::spawn(move || {
            let _held = inner.lock().unwrap();
            // Dropped before the guard.
            let _waits = OnDrop(|| thread::sleep(Duration::from_millis(1)));
            panic!("expected in a test");
        });
        assert!(result.join().is_err());
        assert!(lock.is_poisoned(), "the wait has hidden the panic from std");
    });
}

#[test]
fn many_threads_unwind_and_wait_at_once() {
    in_every_runtime(|_| {
        let count = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..40)
            .map(|n| {
                let count = count.clone();
                thread::spawn(move || {
                    let inner = count;
                    let _waits = OnDrop(move || {
                        for _ in 0..3 {
                            assert!(thread::panicking());
                            thread::yield_now();
                            thread::sleep(Duration::from_micros(n * 10));
                        }
                        assert!(thread::panicking());
                        inner.fetch_add(1, SeqCst);
                    });
                    thread::yield_now();
                    panic!("expected in a test");
                })
            })
            .collect();
        for thread in threads {
            assert!(!thread::panicking());
            assert_eq!(text_of(&*thread.join().unwrap_err()), "expected in a test");
        }
        assert_eq!(count.load(SeqCst), 40);
        assert!(!thread::panicking());
    });
}

#[test]
fn destructor_spawns_joins_and_scopes_during_unwinding() {
    everywhere(|_| {
        let reached = Arc::new(AtomicUsize::new(0));
        let inner = reached.clone();
        let result = thread::spawn(move || {
            let _acts = OnDrop(|| {
                assert!(!thread::spawn(thread::panicking).join().unwrap());
                let mut seen = true;
                thread::scope(|scope| {
                    scope.spawn(|| seen = thread::panicking());
                });
                assert!(!seen, "a child of a panicking parent looked panicking");
                let lock = Mutex::new(());
                thread::scope(|scope| {
                    scope.spawn(|| drop(lock.lock().unwrap()));
                });
                assert!(!lock.is_poisoned());
                assert_eq!(sylvan::join(|| 1, || 2), (1, 2));
                inner.fetch_add(1, SeqCst);
            });
            panic!("expected in a test");
        });
        assert!(result.join().is_err());
        assert_eq!(reached.load(SeqCst), 1);
    });
}

#[test]
fn payload_whose_drop_panics_or_waits_ends_with_its_thread() {
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            thread::yield_now();
        }
    }
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("expected in a test: drop");
        }
    }
    everywhere(|_| {
        drop(thread::spawn(|| std::panic::panic_any(Waits)));
        drop(thread::spawn(|| std::panic::panic_any(Panics)));
        // Forgotten: to drop it here would unwind this thread.
        std::mem::forget(thread::spawn(|| std::panic::panic_any(Panics)).join().unwrap_err());
        assert_eq!(thread::spawn(|| 1).join().unwrap(), 1);
    });
}
