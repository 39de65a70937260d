//! `Once` and `OnceState`: one call, waiters, poison and how it is forced.
#![forbid(unsafe_code)]

use super::panics::{expect_failure, fail, fail_here, panic_of};
use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use super::sync::{Once, OnceState};
use super::{everywhere, settle, thread, until};

const POISONED: &str = "Once instance has previously been poisoned";

fn poisoned() -> Once {
    let once = Once::new();
    fail_here(|| once.call_once(|| fail()));
    once
}

#[test]
fn one_call_runs_and_all_others_see_its_end() {
    everywhere(|| {
        let (once, runs, value) = (Once::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    once.call_once(|| {
                        runs.fetch_add(1, SeqCst);
                        thread::yield_now();
                        value.store(7, SeqCst);
                    });
                    assert_eq!(value.load(SeqCst), 7, "the call was not over");
                });
            }
        });
        assert_eq!(runs.load(SeqCst), 1);
        once.call_once(|| panic!("it ran twice"));
        once.call_once_force(|_| panic!("it ran twice"));
    });
}

#[test]
fn is_completed_when_the_call_is_over_and_not_before() {
    everywhere(|| {
        let once = Once::new();
        assert!(!once.is_completed());
        once.call_once(|| assert!(!once.is_completed()));
        assert!(once.is_completed());
        assert!(!poisoned().is_completed());
        let forced = Once::new();
        forced.call_once_force(|_| assert!(!forced.is_completed()));
        assert!(forced.is_completed());
    });
}

#[test]
fn closure_may_be_used_up_and_borrow() {
    everywhere(|| {
        let (once, mut kept, text) = (Once::new(), None, String::from("moved"));
        once.call_once(|| kept = Some(text));
        assert_eq!(kept.as_deref(), Some("moved"));
    });
}

#[test]
fn callers_wait_until_the_call_is_over() {
    everywhere(|| {
        let (once, begun) = (Once::new(), AtomicBool::new(false));
        let (go, passed) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                once.call_once(|| {
                    begun.store(true, SeqCst);
                    until(|| go.load(SeqCst));
                });
            });
            until(|| begun.load(SeqCst));
            let calls: [fn(&Once); 4] = [
                |once| once.call_once(|| unreachable!("it ran twice")),
                |once| once.call_once_force(|_| unreachable!("it ran twice")),
                Once::wait,
                Once::wait_force,
            ];
            for call in calls {
                let (once, passed) = (&once, &passed);
                scope.spawn(move || {
                    call(once);
                    passed.fetch_add(1, SeqCst);
                });
            }
            for _ in 0..50 {
                thread::yield_now();
            }
            assert_eq!(passed.load(SeqCst), 0);
            go.store(true, SeqCst);
        });
        assert_eq!(passed.load(SeqCst), 4);
    });
}

#[test]
fn wait_begun_before_any_call_ends_with_it() {
    everywhere(|| {
        let (once, done) = (Once::new(), AtomicBool::new(false));
        thread::scope(|scope| {
            for wait in [Once::wait, Once::wait_force] {
                let (once, done) = (&once, &done);
                scope.spawn(move || {
                    wait(once);
                    assert!(done.load(SeqCst));
                });
            }
            settle();
            once.call_once(|| done.store(true, SeqCst));
        });
        once.wait();
        once.wait_force();
    });
}

#[test]
fn panic_poisons_and_later_calls_and_waits_panic() {
    everywhere(|| {
        let once = poisoned();
        assert_eq!(panic_of(|| once.call_once(|| unreachable!("it is poisoned"))), POISONED);
        assert_eq!(panic_of(|| once.call_once(|| unreachable!("it still is"))), POISONED);
        assert_eq!(panic_of(|| once.wait()), POISONED);
        assert!(!once.is_completed());
    });
}

#[test]
fn call_once_force_runs_on_a_poisoned_one_and_mends_it() {
    everywhere(|| {
        let once = poisoned();
        let mut ran = false;
        once.call_once_force(|state: &OnceState| {
            assert!(state.is_poisoned());
            assert_eq!(format!("{state:?}"), "OnceState { poisoned: true }");
            ran = true;
        });
        assert!(ran && once.is_completed());
        once.call_once(|| unreachable!("it is completed"));
        once.wait();
    });
}

#[test]
fn call_once_force_on_a_new_one_is_told_that_nothing_is_wrong() {
    everywhere(|| {
        let (once, mut ran) = (Once::new(), false);
        once.call_once_force(|state| {
            assert!(!state.is_poisoned());
            assert_eq!(format!("{state:?}"), "OnceState { poisoned: false }");
            ran = true;
        });
        assert!(ran && once.is_completed());
    });
}

#[test]
fn forced_call_that_panics_leaves_it_poisoned() {
    everywhere(|| {
        for once in [Once::new(), poisoned()] {
            fail_here(|| once.call_once_force(|_| fail()));
            assert_eq!(panic_of(|| once.call_once(|| unreachable!("it is poisoned"))), POISONED);
            once.call_once_force(|state| assert!(state.is_poisoned()));
            assert!(once.is_completed());
        }
    });
}

#[test]
fn wait_force_outlasts_the_poison() {
    everywhere(|| {
        let (once, done) = (poisoned(), AtomicBool::new(false));
        thread::scope(|scope| {
            let waiting: [_; 2] = std::array::from_fn(|_| {
                scope.spawn(|| {
                    once.wait_force();
                    assert!(done.load(SeqCst));
                })
            });
            settle();
            assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
            once.call_once_force(|_| done.store(true, SeqCst));
            for waiting in waiting {
                waiting.join().unwrap();
            }
        });
    });
}

#[test]
fn callers_that_wait_while_the_call_panics_are_told_or_take_over() {
    everywhere(|| {
        let (once, begun) = (Once::new(), AtomicBool::new(false));
        let go = AtomicBool::new(false);
        thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                once.call_once(|| {
                    begun.store(true, SeqCst);
                    until(|| go.load(SeqCst));
                    fail();
                });
            });
            until(|| begun.load(SeqCst));
            let told = scope.spawn(|| panic_of(|| once.call_once(|| unreachable!("poisoned"))));
            let waited = scope.spawn(|| panic_of(|| once.wait()));
            for _ in 0..50 {
                thread::yield_now();
            }
            go.store(true, SeqCst);
            expect_failure(panicking.join());
            assert_eq!(told.join().unwrap(), POISONED);
            assert_eq!(waited.join().unwrap(), POISONED);
        });

        let (once, begun) = (Once::new(), AtomicBool::new(false));
        let (go, taken_over) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                once.call_once(|| {
                    begun.store(true, SeqCst);
                    until(|| go.load(SeqCst));
                    fail();
                });
            });
            until(|| begun.load(SeqCst));
            for _ in 0..3 {
                scope.spawn(|| {
                    once.call_once_force(|state| {
                        assert!(state.is_poisoned());
                        taken_over.fetch_add(1, SeqCst);
                    });
                    assert!(once.is_completed());
                });
            }
            for _ in 0..50 {
                thread::yield_now();
            }
            go.store(true, SeqCst);
            expect_failure(panicking.join());
        });
        assert_eq!(taken_over.load(SeqCst), 1);
    });
}

#[test]
fn one_call_may_need_another_once() {
    everywhere(|| {
        let (outer, inner) = (Once::new(), Once::new());
        outer.call_once(|| inner.call_once(thread::yield_now));
        assert!(outer.is_completed() && inner.is_completed());
    });
}

#[test]
fn statics_need_no_initialiser_and_debug_says_nothing() {
    static ONCE: Once = Once::new();
    everywhere(|| {
        ONCE.call_once(|| ());
        assert!(ONCE.is_completed());
        let row = [const { Once::new() }; 2];
        row[0].call_once(|| ());
        assert!(!row[1].is_completed());
        for once in [Once::new(), poisoned()] {
            assert_eq!(format!("{once:?}"), "Once { .. }");
        }
        assert_eq!(format!("{ONCE:?}"), "Once { .. }");
    });
}
