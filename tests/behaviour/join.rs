//! `join(a, b)`: both values, or the first payload, whether `b` was taken by somebody or not.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::{join, thread};
use sylvan_workspace::{Counts, everywhere, in_every_runtime, text_of, until};

#[test]
fn join_gives_both_values_and_lends() {
    everywhere(|_| {
        let (mut left, mut right) = (vec![1], vec![2]);
        let (a, b) = join(
            || {
                left.push(3);
                left.len()
            },
            || {
                right.push(4);
                "b"
            },
        );
        assert_eq!((a, b, left[1], right[1]), (2, "b", 3, 4));
    });
}

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = join(|| fib(n - 1), || fib(n - 2));
    a + b
}

#[test]
fn recursion_through_join_adds_up() {
    everywhere(|shape| {
        if shape.is_green() {
            assert_eq!(fib(18), 2584);
        } else {
            assert_eq!(fib(8), 21);
        }
    });
}

#[test]
fn arms_that_wait_both_come_back() {
    everywhere(|_| {
        for _ in 0..20 {
            let (a, b) = join(
                || {
                    thread::yield_now();
                    thread::sleep(Duration::from_micros(50));
                    1
                },
                || {
                    thread::sleep(Duration::from_micros(100));
                    thread::yield_now();
                    2
                },
            );
            assert_eq!((a, b), (1, 2));
        }
    });
}

#[test]
fn many_joins_at_once_keep_their_slots_apart() {
    in_every_runtime(|shape| {
        if !shape.is_green() {
            return;
        }
        let threads: Vec<_> = (0..200_u64)
            .map(|n| {
                thread::spawn(move || {
                    for round in 0..10 {
                        let wait = || {
                            if (n + round) % 3 == 0 {
                                thread::yield_now();
                            }
                        };
                        let a = || {
                            wait();
                            n * 2
                        };
                        let b = || {
                            wait();
                            n * 2 + round
                        };
                        assert_eq!(join(a, b), (n * 2, n * 2 + round));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn panics_of_arms_in_every_combination_give_the_first_payload() {
    everywhere(|shape| {
        for stolen in [false, true] {
            if stolen && !shape.is_parallel() {
                continue;
            }
            for (a_panics, b_panics) in [(false, true), (true, false), (true, true)] {
                let drops = AtomicUsize::new(0);
                let taken = AtomicBool::new(false);
                let held = Counts(&drops);
                let result = catch_unwind(AssertUnwindSafe(|| {
                    join(
                        || {
                            // Not a switch point: somebody else has to take `b`.
                            while stolen && !taken.load(SeqCst) {
                                std::hint::spin_loop();
                            }
                            assert!(!a_panics, "expected in a test: a");
                            Counts(&drops)
                        },
                        || {
                            let _held = held;
                            taken.store(true, SeqCst);
                            assert!(!b_panics, "expected in a test: b");
                        },
                    )
                }));
                let expected =
                    if a_panics { "expected in a test: a" } else { "expected in a test: b" };
                let payload = result.err().expect("one of the arms has panicked");
                assert_eq!(text_of(&*payload), expected, "stolen: {stolen}");
                let expected = if a_panics { 1 } else { 2 };
                assert_eq!(drops.load(SeqCst), expected, "a value was kept, or dropped twice");
            }
        }
    });
}

#[test]
fn arm_that_is_unwound_waits_for_the_stolen_other() {
    everywhere(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let (taken, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let result = catch_unwind(AssertUnwindSafe(|| {
            join(
                || {
                    while !taken.load(SeqCst) {
                        std::hint::spin_loop();
                    }
                    panic!("expected in a test");
                },
                || {
                    taken.store(true, SeqCst);
                    for _ in 0..50 {
                        thread::yield_now();
                    }
                    thread::sleep(Duration::from_millis(1));
                    ended.store(true, SeqCst);
                },
            )
        }));
        assert!(result.is_err());
        assert!(ended.load(SeqCst), "join has left while the other arm borrowed from it");
    });
}

#[test]
fn other_arm_is_taken_while_the_first_is_stuck() {
    // `a` waits for `b` without a switch point: only another worker can help.
    everywhere(|shape| {
        if !shape.is_parallel() {
            return;
        }
        for _ in 0..5 {
            let (sender, receiver) = std::sync::mpsc::channel();
            let (a, ()) = join(move || receiver.recv().unwrap(), move || sender.send(4).unwrap());
            assert_eq!(a, 4);
        }
    });
}

#[test]
fn arm_that_spawns_leaves_the_spawned_alone() {
    // An unrelated thread on the parent's stack could wait for what the parent does next.
    in_every_runtime(|_| {
        for _ in 0..20 {
            let done = Arc::new(AtomicBool::new(false));
            let inner = done.clone();
            let (unrelated, ()) =
                join(|| thread::spawn(move || until(|| inner.load(SeqCst))), || ());
            done.store(true, SeqCst);
            unrelated.join().unwrap();
        }
    });
}

#[test]
fn scopes_in_arms_and_joins_in_scopes_nest() {
    everywhere(|_| {
        let count = AtomicUsize::new(0);
        let leaf = || {
            thread::yield_now();
            count.fetch_add(1, SeqCst);
        };
        let scoped = || {
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| join(leaf, leaf));
                }
            });
        };
        join(scoped, || join(scoped, leaf));
        assert_eq!(count.load(SeqCst), 13);
    });
}

#[test]
fn joins_of_arms_that_do_nothing_let_the_neighbour_run() {
    everywhere(|_| {
        let ran = Arc::new(AtomicBool::new(false));
        let inner = ran.clone();
        let neighbour = thread::spawn(move || inner.store(true, SeqCst));
        while !ran.load(SeqCst) {
            join(|| (), || ());
        }
        neighbour.join().unwrap();
    });
}

#[test]
fn joins_of_arms_that_do_nothing_deliver_a_cancellation() {
    everywhere(|_| {
        let started = Arc::new(AtomicBool::new(false));
        let inner = started.clone();
        let handle: thread::JoinHandle<()> = thread::spawn(move || {
            inner.store(true, SeqCst);
            loop {
                join(|| (), || ());
            }
        });
        until(|| started.load(SeqCst));
        handle.cancel().unwrap();
        let payload = handle.join().expect_err("a cancelled thread gives no value");
        assert!(payload.is::<thread::Cancelled>());
    });
}

#[test]
fn permit_given_during_a_join_is_kept() {
    everywhere(|_| {
        let me = thread::current();
        join(thread::yield_now, || me.unpark());
        thread::park();
    });
}
