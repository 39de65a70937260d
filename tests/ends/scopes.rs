//! Cancelling the threads of a scope, whatever they are at, and nobody else.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::thread::{self, Cancelled, Scope, ScopedJoinHandle};
use sylvan::time;
use sylvan_workspace::{
    Counts, OnDrop, everywhere, in_every_runtime, on_foreign_thread, outside, settle, until,
};

use crate::staging::{HOUR, Stage, WAITS, settle_in};

const MOMENT: Duration = Duration::from_micros(100);

#[track_caller]
fn expect_cancelled<T>(child: ScopedJoinHandle<'_, T>) {
    let payload = child.join().err().expect("a cancelled child gives no value");
    assert!(payload.is::<Cancelled>(), "the child was not cancelled, it panicked");
}

/// Waits as its own thread may that nobody has cancelled.
#[track_caller]
fn expect_unhurt() {
    assert!(!thread::cancelled() && thread::cancel_reason().is_none());
    thread::yield_now();
    thread::sleep(MOMENT);
}

#[test]
fn children_are_cut_off_in_each_kind_of_wait_and_the_opener_goes_on() {
    everywhere(|_| {
        for (name, wait) in WAITS {
            let (gone, returned) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let stage = Stage::new();
            let value = stage.hold(|| {
                thread::scope(|scope| {
                    let spawn = || {
                        let counts = Counts(&gone);
                        scope.spawn(|| {
                            let _counts = counts;
                            wait(&stage);
                            returned.fetch_add(1, SeqCst);
                        })
                    };
                    let joined = [(); 2].map(|()| spawn());
                    drop([(); 2].map(|()| spawn()));
                    settle_in(name);
                    scope.cancel().unwrap();
                    joined.into_iter().for_each(expect_cancelled);
                    expect_unhurt();
                    5
                })
            });
            expect_unhurt();
            assert_eq!(value, 5);
            assert_eq!((gone.load(SeqCst), returned.load(SeqCst)), (4, 0), "{name}");
        }
    });
}

#[test]
fn child_that_is_spawned_into_a_cancelled_scope_never_runs() {
    everywhere(|_| {
        let (ran, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.cancel().unwrap();
            for _ in 0..5 {
                let counts = Counts(&gone);
                scope.spawn(|| {
                    let _counts = counts;
                    ran.fetch_add(1, SeqCst);
                });
            }
            expect_cancelled(scope.spawn(|| ran.fetch_add(1, SeqCst)));
        });
        assert_eq!((ran.load(SeqCst), gone.load(SeqCst)), (0, 5));
        expect_unhurt();
    });
}

#[test]
fn child_that_computes_sees_that_its_scope_was_cancelled() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let (computing, seen) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                computing.store(true, SeqCst);
                while !thread::cancelled() {
                    std::hint::spin_loop();
                }
                seen.store(true, SeqCst);
            });
            // By a kernel thread: the child may keep the opener's own worker busy.
            std::thread::scope(|kernel| {
                kernel.spawn(|| {
                    while !computing.load(SeqCst) {
                        std::thread::yield_now();
                    }
                    scope.cancel().unwrap();
                });
            });
        });
        assert!(seen.load(SeqCst));
        expect_unhurt();
    });
}

#[test]
fn child_may_cancel_its_own_scope_and_ends_with_it() {
    everywhere(|_| {
        let (waiting, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let _counts = Counts(&gone);
                    waiting.fetch_add(1, SeqCst);
                    thread::sleep(HOUR);
                });
            }
            until(|| waiting.load(SeqCst) == 3);
            let child = scope.spawn(|| {
                scope.cancel_with("by one of us").unwrap();
                thread::yield_now();
                unreachable!("it is one of them");
            });
            expect_cancelled(child);
            expect_unhurt();
        });
        assert_eq!(gone.load(SeqCst), 3);
    });
}

#[test]
fn kernel_thread_of_no_runtime_may_cancel_a_scope() {
    in_every_runtime(|_| {
        thread::scope(|scope| {
            let children = [(); 3].map(|()| scope.spawn(|| thread::sleep(HOUR)));
            settle();
            let registered = outside();
            on_foreign_thread(|| {
                let _registered = registered;
                scope.cancel().unwrap();
            });
            children.into_iter().for_each(expect_cancelled);
            expect_unhurt();
        });
    });
}

#[test]
fn scope_whose_children_have_ended_keeps_their_values() {
    everywhere(|_| {
        thread::scope(|scope| {
            let children = [1, 2, 3].map(|number| scope.spawn(move || number));
            until(|| children.iter().all(|child| child.is_finished()));
            scope.cancel().unwrap();
            scope.cancel().unwrap();
            assert_eq!(children.map(|child| child.join().unwrap()), [1, 2, 3]);
        });
        assert!(thread::scope(|scope| scope.cancel().is_ok()));
        expect_unhurt();
    });
}

/// Spawns a child that opens a scope with children, down to `depth`, where all wait.
fn spawn_tree<'scope>(
    scope: &'scope Scope<'scope, '_>,
    depth: usize,
    waiting: &'scope AtomicUsize,
    gone: &'scope AtomicUsize,
) {
    scope.spawn(move || {
        let _counts = Counts(gone);
        if depth == 0 {
            waiting.fetch_add(1, SeqCst);
            thread::sleep(HOUR);
            unreachable!("nothing else ends this sleep");
        }
        thread::scope(|inner| {
            spawn_tree(inner, depth - 1, waiting, gone);
            spawn_tree(inner, depth - 1, waiting, gone);
        });
    });
}

#[test]
fn grandchildren_end_with_the_scope_and_neighbouring_scopes_do_not() {
    everywhere(|_| {
        let (waiting, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|outer| {
            let beside = outer.spawn(|| {
                settle();
                expect_unhurt();
                6
            });
            thread::scope(|scope| {
                spawn_tree(scope, 3, &waiting, &gone);
                // Opened by the same thread, not by a child of the scope.
                thread::scope(|inner| {
                    let child = inner.spawn(|| {
                        until(|| gone.load(SeqCst) == 15);
                        expect_unhurt();
                        7
                    });
                    until(|| waiting.load(SeqCst) == 8);
                    scope.cancel().unwrap();
                    assert_eq!(child.join().unwrap(), 7);
                });
            });
            assert_eq!(beside.join().unwrap(), 6);
        });
        assert_eq!(gone.load(SeqCst), 15);
        expect_unhurt();
    });
}

#[test]
fn shield_of_a_child_keeps_the_cancellation_of_its_scope_away() {
    everywhere(|_| {
        let (within, go) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let child = scope.spawn(|| {
                thread::shield(|| {
                    let mut napped = false;
                    thread::scope(|inner| {
                        inner.spawn(|| {
                            within.store(true, SeqCst);
                            until(|| go.load(SeqCst));
                            expect_unhurt();
                            napped = true;
                        });
                    });
                    expect_unhurt();
                    assert!(napped);
                });
                assert!(thread::cancelled());
                thread::yield_now();
            });
            until(|| within.load(SeqCst));
            scope.cancel().unwrap();
            settle_in("yield");
            go.store(true, SeqCst);
            expect_cancelled(child);
        });
    });
}

#[test]
fn scope_in_a_shield_or_a_destructor_can_be_cancelled_by_name() {
    everywhere(|_| {
        let cancel = || {
            thread::scope(|scope| {
                let child = scope.spawn(|| thread::sleep(HOUR));
                settle();
                scope.cancel().unwrap();
                expect_cancelled(child);
                expect_cancelled(scope.spawn(|| ()));
            });
        };
        thread::shield(cancel);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _opens = OnDrop(cancel);
            std::panic::resume_unwind(Box::new("expected"));
        }));
        assert!(outcome.is_err());
        expect_unhurt();
    });
}

#[test]
fn cancelled_scope_ends_while_its_opener_waits_for_it() {
    everywhere(|_| {
        let gone = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                let counts = Counts(&gone);
                scope.spawn(|| {
                    let _counts = counts;
                    thread::sleep(HOUR);
                });
            }
            scope.spawn(|| {
                settle();
                scope.cancel().unwrap();
            });
        });
        assert_eq!(gone.load(SeqCst), 3);
        expect_unhurt();
    });
}

#[test]
fn scope_that_is_cancelled_within_a_timeout_or_a_group_leaves_them_alone() {
    everywhere(|_| {
        let cancel = || {
            thread::scope(|scope| {
                let child = scope.spawn(|| thread::sleep(HOUR));
                drop(scope.spawn(|| thread::sleep(HOUR)));
                scope.cancel().unwrap();
                expect_cancelled(child);
            });
            expect_unhurt();
            8
        };
        assert_eq!(time::timeout(HOUR, cancel).unwrap(), 8);
        let group =
            thread::group(|group| Ok::<_, ()>((group.spawn(|| Ok(cancel())).join(), cancel())));
        assert_eq!(group, Ok((8, 8)));
    });
}
