//! Cancellation: it unwinds from the next wait, goes down the tree of scopes, and nowhere else.
#![forbid(unsafe_code)]

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::thread::{self, Cancelled, JoinHandle};
use sylvan_workspace::{Child, Counts, everywhere, in_child, in_every_runtime, until};

const FOR_EVER: Duration = Duration::from_secs(3600);

/// A flag that a thread raises and others wait for.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn raise(&self) {
        self.0.store(true, SeqCst);
    }

    fn is_raised(&self) -> bool {
        self.0.load(SeqCst)
    }

    fn wait(&self) {
        until(|| self.is_raised());
    }
}

/// Raises its flag when it is dropped.
struct RaiseOnDrop(Flag);

impl Drop for RaiseOnDrop {
    fn drop(&mut self) {
        self.0.raise();
    }
}

#[track_caller]
fn expect_cancelled<T>(handle: JoinHandle<T>) {
    let payload = handle.join().err().expect("a cancelled thread gives no value");
    assert!(payload.is::<Cancelled>(), "the thread was not cancelled, it panicked");
}

/// A wait of some kind that would last for ever.
type Wait = fn();

const WAITS: [(&str, Wait); 7] = [
    ("park", || {
        loop {
            thread::park();
        }
    }),
    ("park with a timeout", || {
        loop {
            thread::park_timeout(FOR_EVER);
        }
    }),
    ("sleep", || thread::sleep(FOR_EVER)),
    ("yield", || {
        loop {
            thread::yield_now();
        }
    }),
    ("short sleeps", || {
        loop {
            thread::sleep(Duration::from_micros(10));
        }
    }),
    ("join", || {
        // The joined thread runs on when this join is unwound, and is ended by hand after it.
        let ends = Flag::default();
        let _raise = RaiseOnDrop(ends.clone());
        thread::spawn(move || ends.wait()).join().unwrap();
    }),
    ("a scope's join", || {
        thread::scope(|scope| {
            // The child is cancelled too: its end may come first.
            let _ = scope.spawn(|| thread::sleep(FOR_EVER)).join();
            thread::park();
        });
    }),
];

/// Cancels and joins its thread when it is dropped, as structured code does.
struct Kept(Option<JoinHandle<()>>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            handle.cancel().unwrap();
            expect_cancelled(handle);
        }
    }
}

#[test]
fn waiting_thread_is_unwound_and_its_joiner_told() {
    everywhere(|_| {
        for (name, wait) in WAITS {
            let (started, dropped) = (Flag::default(), Flag::default());
            let (inner, guard) = (started.clone(), RaiseOnDrop(dropped.clone()));
            let handle = thread::spawn(move || {
                let _guard = guard;
                inner.raise();
                wait();
            });
            started.wait();
            // Lets it get to its wait; if it does not, the next check point is as good.
            for _ in 0..3 {
                thread::yield_now();
            }
            handle.cancel().unwrap();
            expect_cancelled(handle);
            assert!(dropped.is_raised(), "no destructor has run for {name}");
        }
    });
}

#[test]
fn joined_thread_runs_on_when_its_joiner_is_cancelled() {
    everywhere(|_| {
        let go = Flag::default();
        let (inner, ended) = (go.clone(), Flag::default());
        let raised = ended.clone();
        let joined = thread::spawn(move || {
            inner.wait();
            raised.raise();
        });
        let started = Flag::default();
        let inner = started.clone();
        let joiner = thread::spawn(move || {
            inner.raise();
            joined.join().unwrap();
        });
        started.wait();
        thread::yield_now();
        joiner.cancel().unwrap();
        expect_cancelled(joiner);
        assert!(!ended.is_raised());
        go.raise();
        ended.wait();
    });
}

#[test]
fn running_thread_sees_the_cancellation_and_is_unwound_at_its_next_wait() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let (started, seen) = (Flag::default(), Flag::default());
        let (inner, saw) = (started.clone(), seen.clone());
        let handle = thread::spawn(move || {
            inner.raise();
            // No wait: nothing unwinds here.
            while !thread::cancelled() {
                std::hint::spin_loop();
            }
            saw.raise();
            thread::park();
            unreachable!("a wait after the cancellation has returned");
        });
        // By a kernel thread, for the worker that it spins on may be this thread's own.
        let canceller = std::thread::spawn(move || {
            started.wait();
            handle.cancel().unwrap();
            expect_cancelled(handle);
        });
        until(|| canceller.is_finished());
        canceller.join().unwrap();
        assert!(seen.is_raised());
    });
}

#[test]
fn thread_cancelled_by_itself_is_unwound_at_its_next_wait() {
    everywhere(|_| {
        let slot = Arc::new(std::sync::Mutex::new(None::<JoinHandle<()>>));
        let inner = slot.clone();
        let (go, passed) = (Flag::default(), Flag::default());
        let (wait, reached) = (go.clone(), passed.clone());
        let handle = thread::spawn(move || {
            wait.wait();
            inner.lock().unwrap().as_ref().unwrap().cancel().unwrap();
            assert!(thread::cancelled());
            reached.raise();
            thread::yield_now();
            unreachable!("a wait after the cancellation has returned");
        });
        *slot.lock().unwrap() = Some(handle);
        go.raise();
        passed.wait();
        let handle = slot.lock().unwrap().take().unwrap();
        expect_cancelled(handle);
    });
}

#[test]
fn unstarted_thread_never_starts_and_drops_its_captures() {
    in_every_runtime(|shape| {
        for _ in 0..20 {
            let (ran, dropped) = (Flag::default(), Flag::default());
            let (inner, guard) = (ran.clone(), RaiseOnDrop(dropped.clone()));
            let handle = thread::spawn(move || {
                let _guard = guard;
                inner.raise();
                thread::park();
            });
            handle.cancel().unwrap();
            expect_cancelled(handle);
            assert!(dropped.is_raised());
            if shape.is_many_to_one() {
                assert!(!ran.is_raised(), "nobody else could start it before it was cancelled");
            }
        }
    });
}

#[test]
fn finished_thread_keeps_its_value() {
    everywhere(|_| {
        let handle = thread::spawn(|| 5);
        until(|| handle.is_finished());
        handle.cancel().unwrap();
        handle.cancel().unwrap();
        assert_eq!(handle.join().unwrap(), 5);
    });
}

#[test]
fn thread_that_never_waits_again_gives_its_value() {
    everywhere(|_| {
        let (started, go) = (Flag::default(), Flag::default());
        let (inner, wait) = (started.clone(), go.clone());
        let handle = thread::spawn(move || {
            inner.raise();
            while !wait.is_raised() {
                if catch_unwind(thread::yield_now).is_err() {
                    break;
                }
            }
            6
        });
        started.wait();
        handle.cancel().unwrap();
        go.raise();
        assert_eq!(handle.join().unwrap(), 6);
    });
}

#[test]
fn thread_that_catches_the_cancellation_is_unwound_at_each_wait() {
    everywhere(|_| {
        let started = Flag::default();
        let inner = started.clone();
        let handle = thread::spawn(move || {
            inner.raise();
            let mut caught = 0;
            for wait in [thread::park, thread::park, thread::yield_now] {
                let payload = catch_unwind(wait).unwrap_err();
                assert!(payload.is::<Cancelled>());
                assert!(thread::cancelled());
                assert!(!thread::panicking());
                caught += 1;
            }
            caught
        });
        started.wait();
        handle.cancel().unwrap();
        assert_eq!(handle.join().unwrap(), 3);
    });
}

#[test]
fn destructor_waits_undisturbed_while_the_cancelled_thread_unwinds() {
    struct Waits(Flag);
    impl Drop for Waits {
        fn drop(&mut self) {
            assert!(thread::panicking());
            thread::sleep(Duration::from_micros(100));
            thread::yield_now();
            thread::park_timeout(Duration::from_micros(100));
            let child = thread::spawn(|| {
                thread::yield_now();
                !thread::cancelled()
            });
            assert!(child.join().unwrap(), "a cancellation went to a thread of its own");
            self.0.raise();
        }
    }
    everywhere(|_| {
        let (started, waited) = (Flag::default(), Flag::default());
        let (inner, waits) = (started.clone(), Waits(waited.clone()));
        let handle = thread::spawn(move || {
            let _waits = waits;
            inner.raise();
            thread::sleep(FOR_EVER);
        });
        started.wait();
        handle.cancel().unwrap();
        handle.cancel().unwrap();
        expect_cancelled(handle);
        assert!(waited.is_raised());
    });
}

#[test]
fn destructor_that_cancels_and_joins_ends_both() {
    everywhere(|_| {
        let started = Flag::default();
        let inner = started.clone();
        let outer = thread::spawn(move || {
            let inner_started = Flag::default();
            let raise = inner_started.clone();
            let _kept = Kept(Some(thread::spawn(move || {
                raise.raise();
                thread::park();
                unreachable!("nobody gives a permit");
            })));
            inner_started.wait();
            inner.raise();
            thread::sleep(FOR_EVER);
        });
        started.wait();
        outer.cancel().unwrap();
        expect_cancelled(outer);
    });
}

#[test]
fn parent_in_a_scope_passes_the_cancellation_on_and_is_unwound_at_its_end() {
    everywhere(|_| {
        let (started, after) = (Arc::new(AtomicUsize::new(0)), Flag::default());
        let (count, passed) = (started.clone(), after.clone());
        let handle = thread::spawn(move || {
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        count.fetch_add(1, SeqCst);
                        thread::sleep(FOR_EVER);
                    });
                }
            });
            // What the scope was for has not been done: there is no way on.
            passed.raise();
        });
        until(|| started.load(SeqCst) == 8);
        handle.cancel().unwrap();
        expect_cancelled(handle);
        assert!(!after.is_raised(), "the scope has returned");
    });
}

fn tree(depth: u32, leaves: &AtomicUsize, drops: &AtomicUsize) {
    let _counts = Counts(drops);
    if depth == 0 {
        leaves.fetch_add(1, SeqCst);
        thread::sleep(FOR_EVER);
        unreachable!("nothing else ends this sleep");
    }
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| tree(depth - 1, leaves, drops));
        }
    });
}

#[test]
fn cancellation_reaches_the_whole_tree_of_scopes() {
    in_every_runtime(|_| {
        let leaves = Arc::new(AtomicUsize::new(0));
        let drops = Arc::new(AtomicUsize::new(0));
        let (inner_leaves, inner_drops) = (leaves.clone(), drops.clone());
        let root = thread::spawn(move || {
            tree(3, &inner_leaves, &inner_drops);
            thread::park();
        });
        until(|| leaves.load(SeqCst) == 27);
        root.cancel().unwrap();
        expect_cancelled(root);
        assert_eq!(drops.load(SeqCst), 1 + 3 + 9 + 27);
    });
}

#[test]
fn child_spawned_into_a_cancelled_parents_scope_is_cancelled() {
    everywhere(|_| {
        let started = Flag::default();
        let inner = started.clone();
        let handle = thread::spawn(move || {
            inner.raise();
            assert!(catch_unwind(|| thread::sleep(FOR_EVER)).is_err());
            let mut gone_on = false;
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(FOR_EVER);
                    gone_on = true;
                });
            });
            assert!(!gone_on);
        });
        started.wait();
        handle.cancel().unwrap();
        handle.join().unwrap();
    });
}

#[test]
fn neighbours_and_parents_are_not_cancelled() {
    everywhere(|_| {
        thread::scope(|scope| {
            let cancelled = scope.spawn(|| thread::sleep(FOR_EVER));
            let neighbour = scope.spawn(|| {
                for _ in 0..20 {
                    thread::yield_now();
                }
                thread::cancelled()
            });
            cancelled.cancel().unwrap();
            assert!(cancelled.join().unwrap_err().is::<Cancelled>());
            assert!(!neighbour.join().unwrap());
        });
        assert!(!thread::cancelled());
        thread::yield_now();
    });
}

#[test]
fn unjoined_cancelled_child_does_not_fail_the_scope() {
    everywhere(|_| {
        thread::scope(|scope| {
            let handle = scope.spawn(|| thread::sleep(FOR_EVER));
            handle.cancel().unwrap();
        });
    });
}

#[test]
fn arm_taken_by_another_worker_is_cancelled_with_its_parent() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let (taken, dropped) = (Flag::default(), Flag::default());
        let (first, second) = (taken.clone(), taken.clone());
        let guard = RaiseOnDrop(dropped.clone());
        let waiting = thread::current();
        let handle = thread::spawn(move || {
            sylvan::join(
                || {
                    while !first.is_raised() {
                        std::hint::spin_loop();
                    }
                },
                || {
                    let _guard = guard;
                    second.raise();
                    waiting.unpark();
                    thread::sleep(FOR_EVER);
                },
            );
        });
        // Parked, not polling: a worker that has a thread which yields takes no work from others.
        while !taken.is_raised() {
            thread::park();
        }
        handle.cancel().unwrap();
        expect_cancelled(handle);
        assert!(dropped.is_raised());
    });
}

#[test]
fn first_arm_that_waits_is_cancelled_and_the_other_dropped() {
    everywhere(|_| {
        let (started, dropped) = (Flag::default(), Flag::default());
        let (inner, guard) = (started.clone(), RaiseOnDrop(dropped.clone()));
        let handle = thread::spawn(move || {
            sylvan::join(
                || {
                    inner.raise();
                    thread::sleep(FOR_EVER);
                },
                || drop(guard),
            );
        });
        started.wait();
        handle.cancel().unwrap();
        expect_cancelled(handle);
        assert!(dropped.is_raised());
    });
}

#[test]
fn child_that_runs_in_place_is_cancelled_alone() {
    everywhere(|_| {
        let started = Flag::default();
        let inner = started.clone();
        let slot = Arc::new(std::sync::Mutex::new(None));
        let handles = slot.clone();
        let parent = thread::spawn(move || {
            let mut after = false;
            thread::scope(|scope| {
                let raise = inner.clone();
                scope.spawn(move || {
                    *handles.lock().unwrap() = Some(thread::current());
                    raise.raise();
                    thread::park();
                });
            });
            thread::yield_now();
            after |= !thread::cancelled();
            after
        });
        started.wait();
        // Ended by its permit: the parent below it goes on with its own state.
        slot.lock().unwrap().as_ref().unwrap().unpark();
        assert!(parent.join().unwrap());
    });
}

#[test]
fn parent_below_a_child_in_place_is_cancelled_through_it() {
    everywhere(|_| {
        let started = Flag::default();
        let inner = started.clone();
        let parent = thread::spawn(move || {
            thread::scope(|scope| {
                scope.spawn(move || {
                    inner.raise();
                    thread::park();
                    unreachable!("nobody gives a permit");
                });
            });
            thread::park();
            unreachable!("the parent was cancelled too");
        });
        started.wait();
        parent.cancel().unwrap();
        expect_cancelled(parent);
    });
}

#[test]
fn permit_survives_a_cancellation_that_was_caught() {
    everywhere(|_| {
        let (started, go) = (Flag::default(), Flag::default());
        let (inner, wait) = (started.clone(), go.clone());
        let handle = thread::spawn(move || {
            inner.raise();
            while !wait.is_raised() {
                let _ = catch_unwind(thread::yield_now);
            }
            assert!(catch_unwind(|| thread::sleep(FOR_EVER)).is_err());
            assert!(catch_unwind(thread::yield_now).is_err());
            // Neither has erased the permit: shielded from cancellation by an unwinding, this
            // park can only take it.
            struct Parks;
            impl Drop for Parks {
                fn drop(&mut self) {
                    thread::park();
                }
            }
            let _ = catch_unwind(|| {
                let _parks = Parks;
                std::panic::resume_unwind(Box::new(()));
            });
            1
        });
        started.wait();
        handle.thread().unpark();
        handle.cancel().unwrap();
        go.raise();
        assert_eq!(handle.join().unwrap(), 1);
    });
}

#[test]
fn std_locks_of_neighbours_are_not_poisoned_by_a_cancellation() {
    in_every_runtime(|shape| {
        if !shape.is_green() {
            return;
        }
        let lock = Arc::new(std::sync::Mutex::new(0));
        let started = Flag::default();
        let inner = started.clone();
        struct Waits;
        impl Drop for Waits {
            fn drop(&mut self) {
                for _ in 0..10 {
                    thread::yield_now();
                }
            }
        }
        let handle = thread::spawn(move || {
            let _waits = Waits;
            inner.raise();
            thread::park();
        });
        started.wait();
        handle.cancel().unwrap();
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    for _ in 0..5 {
                        *lock.lock().unwrap() += 1;
                        thread::yield_now();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        expect_cancelled(handle);
        assert_eq!(*lock.lock().unwrap(), 100);
    });
}

#[test]
fn cancellation_calls_no_panic_hook() {
    let child: Child = in_child("cancel::cancellation_calls_no_panic_hook", &[], || {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        everywhere(|_| thread::spawn(|| ()).join().unwrap());
        std::panic::set_hook(Box::new(|_| {
            CALLS.fetch_add(1, SeqCst);
        }));
        everywhere(|_| {
            for (_, wait) in WAITS {
                let handle = thread::spawn(wait);
                thread::yield_now();
                handle.cancel().unwrap();
                expect_cancelled(handle);
            }
        });
        let _ = std::panic::take_hook();
        assert_eq!(CALLS.load(SeqCst), 0);
    });
    child.expect_success();
    assert!(!child.stderr.contains("panicked"), "{}", child.stderr);
}

/// Runs `last` in a thread that was cancelled before, and expects it to unwind.
fn expect_delivered(last: impl FnOnce(JoinHandle<()>) + Send + 'static) {
    let (started, go) = (Flag::default(), Flag::default());
    let (inner, wait) = (started.clone(), go.clone());
    let handle = thread::spawn(move || {
        let finished = thread::spawn(|| ());
        until(|| finished.is_finished());
        thread::current().unpark();
        inner.raise();
        while !wait.is_raised() {
            let _ = catch_unwind(thread::yield_now);
        }
        last(finished);
        unreachable!("a call that may wait has returned to a cancelled thread");
    });
    started.wait();
    handle.cancel().unwrap();
    go.raise();
    expect_cancelled(handle);
}

#[test]
fn join_of_a_finished_thread_delivers_a_cancellation() {
    everywhere(|_| expect_delivered(|finished| finished.join().unwrap()));
}

#[test]
fn park_with_a_permit_delivers_a_cancellation() {
    everywhere(|_| expect_delivered(|_| thread::park()));
    everywhere(|_| expect_delivered(|_| thread::park_timeout(FOR_EVER)));
}

#[test]
fn sleep_and_yield_that_need_no_wait_deliver_a_cancellation() {
    everywhere(|_| expect_delivered(|_| thread::sleep(Duration::ZERO)));
    everywhere(|_| expect_delivered(|_| thread::yield_now()));
}
