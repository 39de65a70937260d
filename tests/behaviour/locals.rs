//! Thread-local variables of green threads, in place or not, over waits, and at the end.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use sylvan::thread;
use sylvan_workspace::everywhere;

sylvan::thread_local! {
    static NUMBER: Cell<u64> = const { Cell::new(1) };
    static LIST: RefCell<Vec<u64>> = RefCell::new(vec![7]);
}

#[test]
fn each_thread_has_its_own_value_over_waits() {
    everywhere(|_| {
        NUMBER.set(100);
        let threads: Vec<_> = (0..50)
            .map(|n| {
                thread::spawn(move || {
                    assert_eq!(NUMBER.get(), 1);
                    NUMBER.set(n);
                    for round in 0..5 {
                        LIST.with_borrow_mut(|list| list.push(n));
                        thread::yield_now();
                        assert_eq!(NUMBER.get(), n);
                        assert_eq!(LIST.with_borrow(|list| list.len()), round + 2);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(NUMBER.replace(1), 100);
        assert_eq!(LIST.with_borrow(Vec::len), 1);
    });
}

#[test]
fn reference_is_held_over_a_wait() {
    everywhere(|_| {
        let threads: Vec<_> = (0..20)
            .map(|n| {
                thread::spawn(move || {
                    LIST.with(|list| {
                        let mut list = list.borrow_mut();
                        list.push(n);
                        thread::yield_now();
                        list.push(n + 1);
                        thread::yield_now();
                        assert_eq!(*list, [7, n, n + 1]);
                    });
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn scope_children_have_their_own_values_and_the_parent_keeps_its() {
    everywhere(|_| {
        NUMBER.set(5);
        thread::scope(|scope| {
            for n in 0..20 {
                scope.spawn(move || {
                    assert_eq!(NUMBER.replace(n), 1);
                    thread::scope(|inner| {
                        inner.spawn(|| assert_eq!(NUMBER.replace(99), 1));
                    });
                    assert_eq!(NUMBER.get(), n);
                });
            }
        });
        assert_eq!(NUMBER.replace(1), 5);
    });
}

/// Does something when its thread ends.
struct AtEnd(RefCell<Option<Box<dyn FnOnce()>>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if let Some(act) = self.0.borrow_mut().take() {
            act();
        }
    }
}

sylvan::thread_local! {
    static AT_END: AtEnd = const { AtEnd(RefCell::new(None)) };
}

fn at_end(act: impl FnOnce() + 'static) {
    AT_END.with(|at_end| *at_end.0.borrow_mut() = Some(Box::new(act)));
}

#[test]
fn values_are_dropped_before_join_returns() {
    everywhere(|_| {
        let drops = Arc::new(AtomicUsize::new(0));
        for panics in [false, true] {
            let inner = drops.clone();
            let result = thread::spawn(move || {
                at_end(move || {
                    inner.fetch_add(1, SeqCst);
                });
                thread::yield_now();
                assert!(!panics, "expected in a test");
            });
            assert_eq!(result.join().is_err(), panics);
        }
        assert_eq!(drops.load(SeqCst), 2);
    });
}

#[test]
fn values_of_scope_children_are_dropped_before_the_scope_ends() {
    everywhere(|_| {
        let drops = Arc::new(AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..20 {
                let drops = drops.clone();
                scope.spawn(move || at_end(move || _ = drops.fetch_add(1, SeqCst)));
            }
        });
        assert_eq!(drops.load(SeqCst), 20);
    });
}

#[test]
fn destructor_that_waits_spawns_and_joins_finds_its_thread_alive() {
    everywhere(|_| {
        let reached = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..20)
            .map(|n| {
                let reached = reached.clone();
                thread::spawn(move || {
                    let own = thread::current().id();
                    at_end(move || {
                        assert_eq!(thread::current().id(), own);
                        thread::yield_now();
                        thread::current().unpark();
                        thread::park();
                        assert_eq!(thread::spawn(move || n).join().unwrap(), n);
                        thread::scope(|scope| {
                            scope.spawn(thread::yield_now);
                        });
                        assert_eq!(sylvan::join(|| 1, || 2), (1, 2));
                        assert_eq!(thread::current().id(), own);
                        reached.fetch_add(1, SeqCst);
                    });
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(reached.load(SeqCst), 20);
    });
}

#[test]
fn first_arm_sees_its_callers_values() {
    // An arm is no thread; the first always runs where the call stands.
    everywhere(|_| {
        NUMBER.set(8);
        let (a, ()) = sylvan::join(|| NUMBER.get(), || ());
        assert_eq!(a, 8);
        NUMBER.set(1);
    });
}
