//! Whom a deadline reaches besides the code in it: threads of scopes that were opened within, arms
//! of joins, and those below them; and nobody else.
#![forbid(unsafe_code)]

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::sync::Mutex;
use sylvan::thread::{self, CancelKind, Cancelled};
use sylvan::time::{self, Duration, Instant};
use sylvan_workspace::{
    Counts, OnDrop, Shape, everywhere, in_every_runtime, text_of, until, with_every_runtime,
};

use crate::{HOUR, SOON, expect_elapsed, expect_unwound, outlast_deadline, pass_time};

/// What threads of the current one see.
fn seen_by_a_child() -> Option<Instant> {
    thread::scope(|scope| scope.spawn(time::current_deadline).join().unwrap())
}

#[test]
fn children_and_arms_see_the_deadline_and_threads_of_spawn_do_not() {
    everywhere(|shape| {
        let end = time::now() + HOUR;
        time::deadline(end, || {
            assert_eq!(seen_by_a_child(), Some(end));
            let grandchild = thread::scope(|scope| scope.spawn(seen_by_a_child).join().unwrap());
            assert_eq!(grandchild, Some(end));
            // Never joined: at the end of the scope it may run in place.
            let mut unjoined = None;
            thread::scope(|scope| drop(scope.spawn(|| unjoined = time::current_deadline())));
            assert_eq!(unjoined, Some(end));
            let (first, second) = sylvan::join(time::current_deadline, time::current_deadline);
            assert_eq!((first, second), (Some(end), Some(end)));
            let three = sylvan::join!(seen_by_a_child(), time::current_deadline(), {
                thread::yield_now();
                seen_by_a_child()
            });
            assert_eq!(three, (Some(end), Some(end), Some(end)));
            assert_eq!(thread::spawn(time::current_deadline).join().unwrap(), None);
            assert_eq!(thread::spawn(seen_by_a_child).join().unwrap(), None);
            let handle = sylvan::Handle::current();
            assert_eq!(handle.spawn(time::current_deadline).join().unwrap(), None);
            if shape.is_green() {
                let local = thread::spawn_local(time::current_deadline);
                assert_eq!(local.join().unwrap(), None);
            }
            assert_eq!(thread::shield(seen_by_a_child), None);
            let nearer = end - SOON;
            thread::shield(|| {
                time::deadline(nearer, || assert_eq!(seen_by_a_child(), Some(nearer))).unwrap();
            });
        })
        .unwrap();
        assert_eq!(seen_by_a_child(), None);
    });
}

#[test]
fn own_deadline_of_a_child_counts_if_it_is_nearer() {
    everywhere(|_| {
        let end = time::now() + HOUR;
        time::deadline(end, || {
            thread::scope(|scope| {
                let child = scope.spawn(|| {
                    time::deadline(end + HOUR, || assert_eq!(time::current_deadline(), Some(end)))
                        .unwrap();
                    let nearer = end - SOON;
                    time::deadline(nearer, || {
                        assert_eq!(time::current_deadline(), Some(nearer));
                        assert_eq!(seen_by_a_child(), Some(nearer));
                    })
                    .unwrap();
                    assert_eq!(time::current_deadline(), Some(end));
                    expect_elapsed(time::timeout(SOON, || thread::sleep(HOUR)));
                    thread::yield_now();
                });
                child.join().unwrap();
            });
            thread::yield_now();
        })
        .unwrap();
    });
}

#[test]
fn child_of_a_scope_that_was_opened_outside_has_no_deadline() {
    everywhere(|_| {
        thread::scope(|scope| {
            let mut child = None;
            let (end, ends) = sylvan::channel::bounded::<()>(0);
            expect_elapsed(time::timeout(SOON, || {
                child = Some(scope.spawn(move || {
                    let _ = ends.recv();
                    time::current_deadline()
                }));
                thread::sleep(HOUR);
            }));
            drop(end);
            assert_eq!(child.unwrap().join().unwrap(), None);
        });
    });
}

#[test]
fn scope_keeps_its_deadline_when_its_body_has_a_nearer_one() {
    everywhere(|_| {
        let end = time::now() + HOUR;
        time::deadline(end, || {
            thread::scope(|scope| {
                time::timeout(SOON, || {
                    scope.spawn(|| assert_eq!(time::current_deadline(), Some(end)));
                })
                .unwrap();
            });
        })
        .unwrap();
    });
}

#[test]
fn unstarted_child_whose_deadline_has_passed_is_never_run() {
    everywhere(|_| {
        let (ran, dropped) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let elapsed = expect_elapsed(time::timeout(Duration::ZERO, || {
            thread::scope(|scope| {
                for _ in 0..8 {
                    let counts = Counts(&dropped);
                    scope.spawn(|| {
                        let _counts = counts;
                        ran.fetch_add(1, SeqCst);
                    });
                }
                let handle = scope.spawn(|| _ = ran.fetch_add(1, SeqCst));
                until_ended(&handle);
                let payload = thread::shield(|| handle.join()).unwrap_err();
                let cancelled = payload.downcast::<Cancelled>().expect("no panic");
                assert_eq!(cancelled.reason().kind(), CancelKind::Deadline);
                assert!(cancelled.location().is_none());
            });
            thread::yield_now();
        }));
        assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
        assert_eq!((ran.load(SeqCst), dropped.load(SeqCst)), (0, 8));
    });
}

/// Waits although the deadline has passed.
fn until_ended<T>(handle: &thread::ScopedJoinHandle<'_, T>) {
    thread::shield(|| until(|| handle.is_finished()));
}

#[test]
fn join_of_a_child_that_was_cut_off_is_cut_off_and_never_gives_an_error() {
    everywhere(|_| {
        for round in 0..20 {
            let elapsed = expect_elapsed(time::timeout(Duration::from_micros(round * 20), || {
                thread::scope(|scope| {
                    let children =
                        [0, 1, 2].map(|number| scope.spawn(move || wait_in_a_way(number + round)));
                    for child in children {
                        // Whether its end or the own one comes first.
                        child.join().unwrap();
                    }
                });
            }));
            assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
        }
    });
}

fn wait_in_a_way(way: u64) {
    match way % 3 {
        0 => thread::sleep(HOUR),
        1 => loop {
            pass_time();
            thread::yield_now();
        },
        _ => drop(sylvan::join(|| thread::sleep(HOUR), || thread::sleep(HOUR))),
    }
}

#[test]
fn panic_of_a_child_is_told_from_its_cut() {
    everywhere(|_| {
        let payload = expect_unwound(|| {
            time::timeout(HOUR, || {
                sylvan::join(thread::yield_now, || -> () {
                    resume_unwind(Box::new("the arm's own"))
                })
            })
        });
        assert_eq!(text_of(&*payload), "the arm's own");
        let error = time::timeout(HOUR, || {
            thread::scope(|scope| {
                let child = scope.spawn(|| -> () { resume_unwind(Box::new("the child's own")) });
                text_of(&*child.join().unwrap_err()).to_owned()
            })
        });
        assert_eq!(error.unwrap(), "the child's own");
        thread::yield_now();
    });
}

#[test]
fn child_that_ends_late_gives_its_value() {
    everywhere(|_| {
        let outcome = time::timeout(SOON, || {
            thread::shield(|| {
                thread::scope(|scope| {
                    let child = scope.spawn(|| {
                        thread::sleep(SOON * 2);
                        7
                    });
                    child.join().unwrap()
                })
            })
        });
        assert_eq!(outcome.unwrap(), 7);
    });
}

/// Leaves of a tree of scopes that have begun, and destructors that have run.
#[derive(Default)]
struct Tally {
    begun: AtomicUsize,
    dropped: AtomicUsize,
}

fn tree_of_scopes(depth: u32, tally: &Tally) {
    tally.begun.fetch_add(1, SeqCst);
    let _counts = Counts(&tally.dropped);
    if depth == 0 {
        thread::sleep(HOUR);
    }
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| tree_of_scopes(depth - 1, tally));
        }
    });
    thread::yield_now();
    unreachable!("the deadline reaches everybody");
}

fn tree_of_arms(depth: u32, tally: &Tally) {
    tally.begun.fetch_add(1, SeqCst);
    let _counts = Counts(&tally.dropped);
    if depth == 0 {
        thread::sleep(HOUR);
    }
    sylvan::join(|| tree_of_arms(depth - 1, tally), || tree_of_arms(depth - 1, tally));
}

#[test]
fn deadline_ends_whole_trees_of_scopes_and_arms() {
    everywhere(|_| {
        for tree in [tree_of_scopes, tree_of_arms] {
            let tally = Tally::default();
            expect_elapsed(time::timeout(SOON, || tree(4, &tally)));
            assert_eq!(tally.begun.load(SeqCst), tally.dropped.load(SeqCst));
            assert!(tally.begun.load(SeqCst) > 0);
        }
    });
}

#[test]
fn deadline_in_the_middle_of_a_tree_ends_what_is_below_it_alone() {
    everywhere(|_| {
        let tally = Tally::default();
        let neighbours = AtomicUsize::new(0);
        time::timeout(HOUR, || {
            thread::scope(|scope| {
                let middle = scope.spawn(|| {
                    expect_elapsed(time::timeout(SOON, || tree_of_scopes(2, &tally)));
                    thread::yield_now();
                    expect_elapsed(time::timeout(SOON, || tree_of_arms(2, &tally)));
                    thread::yield_now();
                });
                scope.spawn(|| {
                    thread::sleep(SOON * 4);
                    neighbours.fetch_add(1, SeqCst);
                });
                middle.join().unwrap();
            });
            thread::yield_now();
        })
        .unwrap();
        assert_eq!(neighbours.load(SeqCst), 1);
        assert_eq!(tally.begun.load(SeqCst), tally.dropped.load(SeqCst));
    });
}

#[test]
fn arm_that_another_worker_has_taken_is_cut_off() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let (taken, dropped) = (AtomicBool::new(false), AtomicBool::new(false));
        let end = time::now() + SOON * 4;
        let outcome = time::deadline(end, || {
            sylvan::join(
                || {
                    // Its own worker does nothing else, so another one has to.
                    while !taken.load(SeqCst) && !thread::cancelled() {
                        std::hint::spin_loop();
                    }
                },
                || {
                    let _drop = OnDrop(|| dropped.store(true, SeqCst));
                    taken.store(true, SeqCst);
                    assert_eq!(time::current_deadline(), Some(end));
                    let within = seen_by_a_child();
                    assert!(within == Some(end), "{within:?}");
                    time::deadline(end + HOUR, || thread::sleep(HOUR)).unwrap();
                },
            )
        });
        expect_elapsed(outcome);
        assert_eq!(taken.load(SeqCst), dropped.load(SeqCst));
    });
}

#[test]
fn arm_that_another_worker_has_taken_has_its_own_timeouts() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let taken = AtomicBool::new(false);
        let outcome = time::timeout(HOUR, || {
            sylvan::join(
                || {
                    while !taken.load(SeqCst) {
                        std::hint::spin_loop();
                    }
                },
                || {
                    taken.store(true, SeqCst);
                    let elapsed = expect_elapsed(time::timeout(SOON, || thread::sleep(HOUR)));
                    thread::yield_now();
                    elapsed.reason().kind()
                },
            )
            .1
        });
        assert_eq!(outcome.unwrap(), CancelKind::Deadline);
    });
}

#[test]
fn arms_that_are_done_in_time_give_their_values_late() {
    everywhere(|_| {
        // A kernel thread may take longer to start than the first times last.
        for time in [SOON, 10 * SOON, 100 * SOON, 1_000 * SOON] {
            let are_done = AtomicBool::new(false);
            let outcome = time::timeout(time, || {
                let values = sylvan::join(|| 1, || 2);
                are_done.store(true, SeqCst);
                outlast_deadline();
                values
            });
            if are_done.load(SeqCst) {
                return assert_eq!(outcome.unwrap(), (1, 2));
            }
        }
        panic!("two arms that return took longer than five seconds");
    });
}

#[test]
fn run_inherits_the_deadline() {
    with_every_runtime(|shape, runtime| {
        if !matches!(shape, Shape::Seeded(_)) {
            // The clock of a seeded run is another one than that of its caller.
            let end = time::now() + HOUR;
            let seen = time::deadline(end, || runtime.run(time::current_deadline)).unwrap();
            assert_eq!(seen, Some(end));
        }
        runtime.run(|| {
            let end = time::now() + HOUR;
            let run = || runtime.run(seen_by_a_child);
            assert_eq!(time::deadline(end, run).unwrap(), Some(end));
            assert_eq!(thread::shield(|| time::deadline(end, run)).unwrap(), Some(end));
            assert_eq!(time::deadline(end, || thread::shield(run)).unwrap(), None);
            assert_eq!(run(), None);
        });
    });
}

#[test]
fn scope_that_a_destructor_opens_while_unwinding_has_no_deadline() {
    everywhere(|_| {
        let seen = Mutex::new(Vec::new());
        expect_elapsed(time::timeout(SOON, || {
            let _opens = OnDrop(|| {
                let arms = sylvan::join(seen_by_a_child, seen_by_a_child);
                seen.lock().unwrap().extend([seen_by_a_child(), arms.0, arms.1]);
            });
            thread::sleep(HOUR);
        }));
        assert_eq!(seen.into_inner().unwrap(), [None; 3]);
    });
}

#[test]
fn child_that_a_child_spawns_into_the_same_scope_has_the_deadline() {
    everywhere(|_| {
        let end = time::now() + HOUR;
        let seen = Mutex::new(Vec::new());
        time::deadline(end, || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    // A nearer one of its own is not for its sibling.
                    time::timeout(SOON, || {
                        scope.spawn(|| seen.lock().unwrap().push(time::current_deadline()));
                    })
                    .unwrap();
                });
            });
        })
        .unwrap();
        assert_eq!(seen.into_inner().unwrap(), [Some(end)]);
        expect_elapsed(time::timeout(SOON, || {
            thread::scope(|scope| {
                scope.spawn(|| drop(scope.spawn(|| thread::sleep(HOUR))));
            });
            thread::yield_now();
        }));
    });
}
