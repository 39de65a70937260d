//! Scopes: threads that borrow have ended when the scope returns, however it returns.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::thread::{self, Builder};
use sylvan_workspace::{Counts, everywhere, in_every_runtime, text_of, until};

#[test]
fn scope_lends_and_waits() {
    everywhere(|_| {
        let mut numbers = vec![0; 100];
        let text = String::from("borrowed");
        thread::scope(|scope| {
            for (n, number) in numbers.iter_mut().enumerate() {
                let text = &text;
                scope.spawn(move || {
                    if n % 3 == 0 {
                        thread::yield_now();
                    }
                    *number = n + text.len();
                });
            }
        });
        assert!(numbers.iter().enumerate().all(|(n, number)| *number == n + 8));
    });
}

#[test]
fn scope_gives_the_value_of_its_body() {
    everywhere(|_| {
        assert_eq!(thread::scope(|_| 3), 3);
        let joined = thread::scope(|scope| scope.spawn(|| 4).join().unwrap());
        assert_eq!(joined, 4);
    });
}

#[test]
fn scoped_handle_tells_thread_result_and_end() {
    everywhere(|_| {
        let go = AtomicBool::new(false);
        thread::scope(|scope| {
            let builder = Builder::new().name("scoped".to_owned());
            let handle = builder.spawn_scoped(scope, || until(|| go.load(SeqCst))).unwrap();
            assert_eq!(handle.thread().name(), Some("scoped"));
            assert!(!handle.is_finished());
            go.store(true, SeqCst);
            until(|| handle.is_finished());
            handle.join().unwrap();
        });
    });
}

#[test]
fn scoped_child_has_its_own_identity_and_permit() {
    everywhere(|_| {
        let parent = thread::current();
        parent.unpark();
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    assert_ne!(thread::current().id(), parent.id());
                    assert_eq!(thread::current().name(), None);
                    // The parent's permit is not the child's: this one waits for its own.
                    let own = thread::current();
                    let waker = thread::spawn(move || own.unpark());
                    thread::park();
                    waker.join().unwrap();
                });
            }
        });
        assert_eq!(thread::current().id(), parent.id());
        // The permit that was given before the scope is still there.
        thread::park();
    });
}

#[test]
fn child_spawns_into_its_own_scope() {
    everywhere(|_| {
        let count = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    scope.spawn(|| {
                        thread::yield_now();
                        count.fetch_add(1, SeqCst);
                    });
                    count.fetch_add(1, SeqCst);
                });
            }
        });
        assert_eq!(count.load(SeqCst), 10);
    });
}

#[test]
fn nested_scopes_wait_from_the_inside_out() {
    everywhere(|_| {
        let ended = AtomicUsize::new(0);
        thread::scope(|outer| {
            outer.spawn(|| {
                thread::scope(|inner| {
                    for _ in 0..10 {
                        inner.spawn(|| {
                            thread::yield_now();
                            ended.fetch_add(1, SeqCst);
                        });
                    }
                });
                assert_eq!(ended.load(SeqCst), 10);
            });
            thread::scope(|inner| {
                inner.spawn(thread::yield_now);
                outer.spawn(thread::yield_now);
            });
        });
    });
}

#[test]
fn scope_body_that_panics_waits_and_passes_its_payload_on() {
    everywhere(|_| {
        let ended = AtomicBool::new(false);
        let result = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        thread::yield_now();
                    }
                    ended.store(true, SeqCst);
                });
                // Unjoined panic of a child: the body's own payload wins.
                scope.spawn(|| panic!("expected in a test: child"));
                panic!("expected in a test: body");
            });
        }));
        assert!(ended.load(SeqCst), "the scope left before its thread had ended");
        assert_eq!(text_of(&*result.unwrap_err()), "expected in a test: body");
    });
}

#[test]
fn unjoined_panic_fails_the_scope_after_all_have_ended() {
    everywhere(|_| {
        let ended = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|scope| {
                for n in 0..20 {
                    let ended = &ended;
                    scope.spawn(move || {
                        thread::yield_now();
                        ended.fetch_add(1, SeqCst);
                        assert_ne!(n, 10, "expected in a test");
                    });
                }
            });
        }));
        assert_eq!(ended.load(SeqCst), 20);
        assert_eq!(text_of(&*result.unwrap_err()), "a scoped thread panicked");
    });
}

#[test]
fn joined_panic_does_not_fail_the_scope() {
    everywhere(|_| {
        thread::scope(|scope| {
            let failed = scope.spawn(|| panic!("expected in a test"));
            assert_eq!(text_of(&*failed.join().unwrap_err()), "expected in a test");
        });
    });
}

#[test]
fn handle_dropped_after_a_panic_fails_the_scope() {
    everywhere(|_| {
        let result = catch_unwind(|| {
            thread::scope(|scope| {
                let failed = scope.spawn(|| resume_unwind(Box::new(1_u8)));
                until(|| failed.is_finished());
                drop(failed);
            });
        });
        assert_eq!(text_of(&*result.unwrap_err()), "a scoped thread panicked");
    });
}

#[test]
fn results_that_borrow_are_dropped_within_the_scope() {
    everywhere(|_| {
        let drops = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    thread::yield_now();
                    Counts(&drops)
                });
            }
        });
        assert_eq!(drops.load(SeqCst), 10);
    });
}

#[test]
fn scope_with_children_of_every_kind_of_wait_returns() {
    everywhere(|_| {
        let other = thread::spawn(|| thread::sleep(Duration::from_millis(1)));
        thread::scope(|scope| {
            scope.spawn(|| thread::sleep(Duration::from_millis(1)));
            scope.spawn(|| thread::park_timeout(Duration::from_millis(1)));
            scope.spawn(|| other.join().unwrap());
            let parked = scope.spawn(thread::park);
            scope.spawn(move || {
                thread::yield_now();
                parked.thread().unpark();
                parked.join().unwrap();
            });
        });
    });
}

#[test]
fn child_on_a_large_stack_ends_with_the_others() {
    everywhere(|_| {
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for n in 0..10 {
                let sum = &sum;
                let bytes = if n % 2 == 0 { 4 << 20 } else { 64 << 10 };
                let builder = Builder::new().stack_size(bytes);
                builder.spawn_scoped(scope, move || sum.fetch_add(n, SeqCst)).unwrap();
            }
        });
        assert_eq!(sum.load(SeqCst), 45);
    });
}

#[test]
fn scope_end_runs_no_unrelated_thread_on_the_parents_stack() {
    // An unrelated thread there could wait for what the parent does next, for ever.
    in_every_runtime(|_| {
        for _ in 0..20 {
            let done = std::sync::Arc::new(AtomicBool::new(false));
            let inner = done.clone();
            let mut unrelated = None;
            thread::scope(|scope| {
                scope.spawn(|| ());
                unrelated = Some(thread::spawn(move || until(|| inner.load(SeqCst))));
            });
            done.store(true, SeqCst);
            unrelated.unwrap().join().unwrap();
        }
    });
}
