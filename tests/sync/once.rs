//! `Once`, `OnceLock` and `LazyLock` beyond std: what a cancellation leaves behind, of the one who
//! initialises and of those who wait; who waits for itself; green threads beside kernel threads.
#![forbid(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::sync::{Condvar, LazyLock, Mutex, Once, OnceLock};
use sylvan::thread;
use sylvan_workspace::{
    Counts, OnDrop, everywhere, in_every_runtime, on_foreign_thread, outside, text_of, until,
};

use sylvan_workspace::settle;

const LAZY_POISONED: &str = "LazyLock instance has previously been poisoned";

/// Lets threads through when it was opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// An initialiser that says that it runs, and runs until its thread is cancelled.
fn run_for_ever(begun: &AtomicBool) -> ! {
    begun.store(true, SeqCst);
    loop {
        thread::park();
    }
}

fn fail() -> ! {
    resume_unwind(Box::new("on purpose"))
}

#[track_caller]
fn expect_cancelled<T>(result: Result<T, Box<dyn Any + Send>>) {
    let payload = result.err().expect("it has to be unwound");
    assert!(payload.is::<thread::Cancelled>(), "by {}", text_of(&*payload));
}

/// The text with which `f` panics.
#[track_caller]
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it has to panic"),
        Err(payload) => text_of(&*payload).to_owned(),
    }
}

/// Runs `call`, which has to run its argument for ever as an initialiser, in a thread; lets
/// `meanwhile` start others, and cancels the thread.
fn cancel_an_initialiser<'scope, T>(
    scope: &'scope thread::Scope<'scope, '_>,
    call: impl FnOnce(&AtomicBool) + Send + 'scope,
    meanwhile: impl FnOnce() -> T,
) -> T {
    let begun = Arc::new(AtomicBool::new(false));
    let said = begun.clone();
    let initialiser = scope.spawn(move || call(&said));
    until(|| begun.load(SeqCst));
    let others = meanwhile();
    settle();
    initialiser.cancel().unwrap();
    expect_cancelled(initialiser.join());
    others
}

#[test]
fn cancelled_closure_leaves_a_once_as_it_was() {
    in_every_runtime(|_| {
        let (new, forced, poisoned) = (Once::new(), Once::new(), Once::new());
        assert!(catch_unwind(AssertUnwindSafe(|| poisoned.call_once(|| fail()))).is_err());
        thread::scope(|scope| {
            let call = |begun: &AtomicBool| new.call_once(|| run_for_ever(begun));
            cancel_an_initialiser(scope, call, || ());
            let call = |begun: &AtomicBool| forced.call_once_force(|_| run_for_ever(begun));
            cancel_an_initialiser(scope, call, || ());
            let call = |begun: &AtomicBool| poisoned.call_once_force(|_| run_for_ever(begun));
            cancel_an_initialiser(scope, call, || ());
        });
        for (once, was_poisoned) in [(&new, false), (&forced, false), (&poisoned, true)] {
            assert!(!once.is_completed());
            once.call_once_force(|state| assert_eq!(state.is_poisoned(), was_poisoned));
            assert!(once.is_completed());
        }
    });
}

#[test]
fn waiter_takes_over_from_a_cancelled_closure_and_the_others_see_what_it_did() {
    in_every_runtime(|_| {
        let (once, runs) = (Once::new(), AtomicUsize::new(0));
        let run = || {
            runs.fetch_add(1, SeqCst);
        };
        thread::scope(|scope| {
            let call = |begun: &AtomicBool| once.call_once(|| run_for_ever(begun));
            cancel_an_initialiser(scope, call, || {
                for _ in 0..2 {
                    scope.spawn(|| once.call_once(run));
                    scope.spawn(|| {
                        once.call_once_force(|state| {
                            assert!(!state.is_poisoned());
                            run();
                        })
                    });
                    scope.spawn(|| {
                        once.wait();
                        assert_eq!(runs.load(SeqCst), 1);
                    });
                }
            });
        });
        assert_eq!(runs.load(SeqCst), 1);
    });
}

#[test]
fn waiter_takes_over_from_a_cancelled_initialiser_of_a_once_lock() {
    in_every_runtime(|_| {
        let mut cell = OnceLock::new();
        thread::scope(|scope| {
            let call = |begun: &AtomicBool| {
                cell.get_or_init(|| run_for_ever(begun));
            };
            let (set, init, wait) = cancel_an_initialiser(scope, call, || {
                assert_eq!(cell.get(), None);
                let set = scope.spawn(|| cell.set(1).is_ok());
                let init = scope.spawn(|| *cell.get_or_init(|| 2));
                (set, init, scope.spawn(|| *cell.wait()))
            });
            let expected = if set.join().unwrap() { 1 } else { 2 };
            assert_eq!((init.join().unwrap(), wait.join().unwrap()), (expected, expected));
        });
        assert!(cell.take().is_some());

        // With nobody waiting it is as it was.
        thread::scope(|scope| {
            let call = |begun: &AtomicBool| {
                cell.get_or_init(|| run_for_ever(begun));
            };
            cancel_an_initialiser(scope, call, || ());
        });
        assert_eq!(cell.get(), None);
        assert_eq!(cell.get_mut(), None);
        assert_eq!(cell.set(3), Ok(()));
        assert_eq!(cell.into_inner(), Some(3));
    });
}

#[test]
fn lazy_lock_is_poisoned_by_a_cancelled_closure_which_is_dropped_once() {
    in_every_runtime(|_| {
        let (begun, drops) = (AtomicBool::new(false), AtomicUsize::new(0));
        let captured = Counts(&drops);
        let lazy: LazyLock<i32, _> = LazyLock::new(|| {
            let _used_up = captured;
            run_for_ever(&begun)
        });
        thread::scope(|scope| {
            let initialiser = scope.spawn(|| *lazy);
            until(|| begun.load(SeqCst));
            let waiting = [(); 2].map(|()| scope.spawn(|| panic_of(|| *lazy)));
            settle();
            initialiser.cancel().unwrap();
            expect_cancelled(initialiser.join());
            for waiting in waiting {
                assert_eq!(waiting.join().unwrap(), LAZY_POISONED);
            }
        });
        assert_eq!(drops.load(SeqCst), 1);
        assert_eq!(LazyLock::get(&lazy), None);
        assert_eq!(panic_of(|| *LazyLock::force(&lazy)), LAZY_POISONED);
        drop(lazy);
        assert_eq!(drops.load(SeqCst), 1);
    });
}

#[test]
fn cancellation_ends_waits_and_the_initialiser_goes_on() {
    in_every_runtime(|_| {
        let (once, cell, gate) = (Once::new(), OnceLock::new(), Gate::default());
        let lazy = LazyLock::new(|| {
            gate.pass();
            3
        });
        let begun = AtomicUsize::new(0);
        thread::scope(|scope| {
            let (once, cell, lazy, gate, begun) = (&once, &cell, &lazy, &gate, &begun);
            let begin = move || {
                begun.fetch_add(1, SeqCst);
                gate.pass();
            };
            scope.spawn(move || once.call_once(begin));
            scope.spawn(move || {
                cell.get_or_init(|| {
                    begin();
                    2
                });
            });
            let making = scope.spawn(move || **lazy);
            until(|| begun.load(SeqCst) == 2);
            settle();
            // Nobody of these gets through before the gate is open, but by being cancelled.
            let cancelled = [
                scope.spawn(move || once.call_once(|| unreachable!("it ran twice"))),
                scope.spawn(move || once.call_once_force(|_| unreachable!("it ran twice"))),
                scope.spawn(move || once.wait()),
                scope.spawn(move || once.wait_force()),
                scope.spawn(move || {
                    let _ = cell.set(0);
                }),
                scope.spawn(move || {
                    cell.wait();
                }),
                scope.spawn(move || {
                    cell.get_or_init(|| unreachable!("it ran twice"));
                }),
            ];
            let patient = scope.spawn(move || {
                once.wait();
                (*cell.wait(), **lazy)
            });
            settle();
            for waiting in cancelled {
                waiting.cancel().unwrap();
                expect_cancelled(waiting.join());
            }
            gate.open();
            assert_eq!(patient.join().unwrap(), (2, 3));
            assert_eq!(making.join().unwrap(), 3);
        });
        assert!(once.is_completed());
        assert_eq!((cell.into_inner(), *lazy), (Some(2), 3));
    });
}

#[test]
fn cancellation_that_came_before_is_delivered_unless_all_is_done() {
    in_every_runtime(|_| {
        let (once, done) = (Once::new(), Once::new());
        let (cell, full) = (OnceLock::new(), OnceLock::from(1));
        let (lazy, made) = (LazyLock::new(|| 1), LazyLock::new(|| 1));
        let begun = AtomicBool::new(false);
        done.call_once(|| ());
        LazyLock::force(&made);
        thread::scope(|scope| {
            let (once, done, cell, full) = (&once, &done, &cell, &full);
            let (lazy, made, begun) = (&lazy, &made, &begun);
            let cancelled = scope.spawn(move || {
                begun.store(true, SeqCst);
                expect_cancelled(catch_unwind(thread::park));
                done.call_once(|| ());
                done.wait();
                assert_eq!((*full.get_or_init(|| 2), *full.wait(), **made), (1, 1, 1));
                assert_eq!((full.set(2), full.clone().get()), (Err(2), Some(&1)));
                assert_eq!(OnceLock::from(3).into_inner(), Some(3));

                let calls: [&dyn Fn(); 6] = [
                    &|| once.call_once(|| unreachable!("it was cancelled")),
                    &|| once.wait(),
                    &|| {
                        let _ = cell.set(1);
                    },
                    &|| {
                        cell.get_or_init(|| unreachable!("it was cancelled"));
                    },
                    &|| {
                        cell.wait();
                    },
                    &|| {
                        LazyLock::force(lazy);
                    },
                ];
                for call in calls {
                    expect_cancelled(catch_unwind(AssertUnwindSafe(call)));
                }
            });
            until(|| begun.load(SeqCst));
            cancelled.cancel().unwrap();
            cancelled.join().unwrap();
        });
        once.call_once(|| ());
        assert_eq!((cell.set(1), *lazy), (Ok(()), 1));
    });
}

#[test]
fn panic_poisons_also_where_a_cancellation_unwinds_or_has_been_caught() {
    in_every_runtime(|_| {
        let (in_destructor, after_catch) = (Once::new(), Once::new());
        let (completed, parked) = (Once::new(), AtomicBool::new(false));
        thread::scope(|scope| {
            let call = |begun: &AtomicBool| {
                let _on_drop = OnDrop(|| {
                    let panics = || in_destructor.call_once(|| fail());
                    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
                    completed.call_once(|| ());
                });
                run_for_ever(begun);
            };
            cancel_an_initialiser(scope, call, || ());

            let catches = scope.spawn(|| {
                let _kept = catch_unwind(|| {
                    parked.store(true, SeqCst);
                    thread::park();
                });
                // No cancellation is delivered while this destructor runs in an unwinding.
                let _on_drop = OnDrop(|| {
                    let panics = || after_catch.call_once(|| fail());
                    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
                });
                fail();
            });
            until(|| parked.load(SeqCst));
            catches.cancel().unwrap();
            assert!(catches.join().is_err());
        });
        assert!(completed.is_completed());
        for once in [in_destructor, after_catch] {
            once.call_once_force(|state| assert!(state.is_poisoned()));
        }
    });
}

#[test]
fn cancelled_call_in_a_destructor_of_a_panic_does_not_poison() {
    in_every_runtime(|_| {
        let once = Once::new();
        let call = || {
            once.call_once(|| {
                thread::scope(|scope| {
                    let child = scope.spawn(|| run_for_ever(&AtomicBool::new(false)));
                    child.cancel().unwrap();
                    resume_unwind(child.join().expect_err("it was cancelled"));
                });
            });
        };
        let panicking = || {
            let _on_drop = OnDrop(|| expect_cancelled(catch_unwind(AssertUnwindSafe(call))));
            fail();
        };
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        once.call_once_force(|state| assert!(!state.is_poisoned()));
    });
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "locks of release builds do not know who holds them")]
fn initialiser_that_waits_for_itself_is_told_so() {
    const RUNS_ITSELF: &str = "for an initialisation that it runs itself, since tests/sync/once.rs";
    everywhere(|_| {
        let calls: [fn(&Once); 4] = [
            |once| once.call_once(|| ()),
            |once| once.call_once_force(|_| ()),
            Once::wait,
            Once::wait_force,
        ];
        for call in calls {
            let once = Once::new();
            let text = panic_of(|| once.call_once(|| call(&once)));
            assert!(text.contains(RUNS_ITSELF), "{text}");
            once.call_once_force(|state| assert!(state.is_poisoned()));
        }
        let calls: [fn(&OnceLock<i32>); 3] = [
            |cell| {
                let _ = cell.set(1);
            },
            |cell| {
                cell.get_or_init(|| 1);
            },
            |cell| {
                cell.wait();
            },
        ];
        for call in calls {
            let cell = OnceLock::new();
            let text = panic_of(|| {
                cell.get_or_init(|| {
                    call(&cell);
                    1
                });
            });
            assert!(text.contains(RUNS_ITSELF), "{text}");
            assert_eq!(cell.set(2), Ok(()));
        }
    });
    // One that knows itself is a static, so it is asked once.
    static LAZY: LazyLock<i32> = LazyLock::new(|| *LAZY + 1);
    on_foreign_thread(|| {
        let text = panic_of(|| *LAZY);
        assert!(text.contains(RUNS_ITSELF), "{text}");
        assert_eq!(panic_of(|| *LAZY), LAZY_POISONED);
    });
}

#[test]
fn green_threads_and_kernel_threads_wait_for_each_other() {
    in_every_runtime(|_| {
        for by_kernel_thread in [false, true] {
            let shared = Arc::new((OnceLock::new(), Once::new(), AtomicUsize::new(0)));
            let registered = outside();
            let kernel_threads: Vec<_> = (0..2)
                .map(|_| {
                    let (shared, registered) = (shared.clone(), outside());
                    std::thread::spawn(move || {
                        let (cell, once, runs) = &*shared;
                        once.call_once(|| {
                            runs.fetch_add(1, SeqCst);
                        });
                        drop(registered);
                        *cell.wait()
                    })
                })
                .collect();
            thread::scope(|scope| {
                let (cell, once, runs) = &*shared;
                for _ in 0..4 {
                    scope.spawn(|| {
                        once.call_once(|| {
                            runs.fetch_add(1, SeqCst);
                        });
                        assert_eq!(*cell.wait(), 5);
                    });
                }
                let initialise = {
                    let shared = shared.clone();
                    move || {
                        shared.0.get_or_init(|| {
                            thread::yield_now();
                            5
                        });
                    }
                };
                if by_kernel_thread {
                    let initialiser = std::thread::spawn(initialise);
                    until(|| initialiser.is_finished());
                } else {
                    scope.spawn(initialise);
                }
            });
            drop(registered);
            for thread in kernel_threads {
                until(|| thread.is_finished());
                assert_eq!(thread.join().unwrap(), 5);
            }
            assert_eq!(shared.2.load(SeqCst), 1);
        }
    });
}
