//! Groups within other things, and other things within groups: whose end it is, and who is told.
#![forbid(unsafe_code)]
#![allow(clippy::unit_arg, reason = "a thread that only does something ends by `Ok(f())`")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::thread::{self, CancelKind, Cancelled};
use sylvan::time;
use sylvan_workspace::{
    Counts, everywhere, in_every_runtime, on_foreign_thread, settle, until, with_every_runtime,
};

use crate::staging::{HOUR, Unreached, fail};

const MOMENT: Duration = Duration::from_millis(2);

#[test]
fn deadline_around_a_group_cuts_body_and_members_off() {
    everywhere(|_| {
        for body_waits in [false, true] {
            let gone = AtomicUsize::new(0);
            let result = time::timeout(MOMENT, || {
                thread::group::<_, _, ()>(|group| {
                    for _ in 0..3 {
                        let counts = Counts(&gone);
                        group.spawn(|| {
                            let _counts = counts;
                            Ok(thread::sleep(HOUR))
                        });
                    }
                    let _counts = Counts(&gone);
                    if body_waits {
                        thread::sleep(HOUR);
                    }
                    Ok("what nobody may get, for the members have not done their part")
                })
            });
            assert_eq!(result.unwrap_err().reason().kind(), CancelKind::Deadline);
            assert_eq!(gone.load(SeqCst), 4);
        }
        assert!(!thread::cancelled());
        thread::yield_now();
    });
}

#[test]
fn error_that_comes_before_the_deadline_around_the_group_is_returned() {
    everywhere(|_| {
        let result = time::timeout(HOUR, || {
            thread::group(|group| {
                group.spawn(|| Ok(thread::sleep(HOUR)));
                group.spawn(|| Err::<(), _>(7));
                thread::sleep(HOUR);
                Ok(())
            })
        });
        assert_eq!(result.unwrap(), Err(7));
    });
}

#[test]
fn deadlines_within_a_group_are_the_business_of_those_who_set_them() {
    everywhere(|_| {
        let result = thread::group(|group| {
            let naps = [(); 3].map(|()| {
                group.spawn(|| Ok::<_, ()>(time::timeout(MOMENT, || thread::sleep(HOUR)).is_err()))
            });
            let own = time::timeout(MOMENT, || thread::sleep(HOUR)).is_err();
            thread::yield_now();
            Ok((own, naps.map(|nap| nap.join())))
        });
        assert_eq!(result, Ok((true, [true; 3])));
        let as_error = thread::group(|group| {
            group.spawn(|| time::timeout(MOMENT, || thread::sleep(HOUR)));
            thread::sleep(HOUR);
            Ok(())
        });
        assert_eq!(as_error.unwrap_err().reason().kind(), CancelKind::Deadline);
        assert!(!thread::cancelled());
    });
}

#[test]
fn failure_of_a_group_within_a_timeout_of_its_own_body_leaves_the_timeout_first() {
    everywhere(|_| {
        let unreached = Unreached::default();
        let result = thread::group(|group| {
            let _ = time::timeout(HOUR, || {
                group.spawn(|| Err::<(), _>(7));
                thread::sleep(HOUR);
            });
            unreached.reach();
            Ok(())
        });
        assert_eq!(result, Err(7));
        unreached.expect();
    });
}

#[test]
fn cancelled_caller_leaves_its_group_by_unwinding_whatever_the_group_came_to() {
    everywhere(|_| {
        for body_waits in [false, true] {
            let (waiting, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                let handle = scope.spawn(|| {
                    let result = thread::group::<_, (), ()>(|group| {
                        for _ in 0..3 {
                            group.spawn(|| {
                                let _counts = Counts(&gone);
                                waiting.fetch_add(1, SeqCst);
                                Ok(thread::sleep(HOUR))
                            });
                        }
                        if body_waits {
                            thread::sleep(HOUR);
                        }
                        Ok(())
                    });
                    unreachable!("the group has given {result:?}");
                });
                until(|| waiting.load(SeqCst) == 3);
                handle.cancel_with("from outside").unwrap();
                let payload = handle.join().unwrap_err();
                let cancelled = payload.downcast::<Cancelled>().expect("no panic");
                assert_eq!(cancelled.reason().message(), Some("from outside"));
            });
            assert_eq!(gone.load(SeqCst), 3);
        }
    });
}

#[test]
fn group_that_a_cancelled_thread_opens_runs_nobody_and_unwinds() {
    everywhere(|_| {
        let (waiting, ran, gone) =
            (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                waiting.store(true, SeqCst);
                assert!(catch_unwind(|| thread::sleep(HOUR)).is_err());
                assert_eq!(thread::group(|_| Ok::<_, ()>(6)), Ok(6), "an empty one does not wait");
                let result = thread::group::<_, (), ()>(|group| {
                    for _ in 0..3 {
                        let counts = Counts(&gone);
                        group.spawn(|| {
                            let _counts = counts;
                            Ok(_ = ran.fetch_add(1, SeqCst))
                        });
                    }
                    Ok(())
                });
                unreachable!("the group has given {result:?}");
            });
            until(|| waiting.load(SeqCst));
            handle.cancel().unwrap();
            assert!(handle.join().unwrap_err().is::<Cancelled>());
        });
        assert_eq!((ran.load(SeqCst), gone.load(SeqCst)), (0, 3));
    });
}

#[test]
fn body_that_joins_a_member_is_cut_off_when_another_one_fails() {
    everywhere(|_| {
        for panics in [false, true] {
            let (gone, unreached) = (AtomicUsize::new(0), Unreached::default());
            let run = || {
                thread::group(|group| {
                    let counts = Counts(&gone);
                    let joined = group.spawn(|| {
                        let _counts = counts;
                        Ok(thread::sleep(HOUR))
                    });
                    group.spawn(|| {
                        settle();
                        if panics { fail("expected") } else { Err::<(), _>(7) }
                    });
                    joined.join();
                    unreached.reach();
                    Ok(())
                })
            };
            let outcome = catch_unwind(AssertUnwindSafe(run));
            assert!(if panics { outcome.is_err() } else { outcome.unwrap() == Err(7) });
            unreached.expect();
            assert_eq!(gone.load(SeqCst), 1);
        }
    });
}

#[test]
fn scope_and_arms_in_the_body_of_a_group_end_with_it() {
    everywhere(|_| {
        let (gone, unreached) = (AtomicUsize::new(0), Unreached::default());
        let wait = || {
            let _counts = Counts(&gone);
            thread::sleep(HOUR);
        };
        for within in ["a scope", "a tree", "arms"] {
            gone.store(0, SeqCst);
            let result = thread::group(|group| {
                let waiting = AtomicUsize::new(0);
                let wait = || {
                    waiting.fetch_add(1, SeqCst);
                    wait();
                };
                let fails = || {
                    group.spawn(|| {
                        settle();
                        Err::<(), _>(within)
                    })
                };
                match within {
                    "a scope" => thread::scope(|scope| {
                        scope.spawn(wait);
                        scope.spawn(wait);
                        until(|| waiting.load(SeqCst) == 2);
                        fails();
                        wait();
                    }),
                    "a tree" => thread::scope(|scope| {
                        scope.spawn(|| thread::scope(|inner| _ = inner.spawn(wait)));
                        until(|| waiting.load(SeqCst) == 1);
                        fails();
                    }),
                    _ => {
                        fails();
                        sylvan::join(wait, || sylvan::join(wait, wait));
                    }
                }
                unreached.reach();
                Ok(())
            });
            assert_eq!(result, Err(within));
            unreached.expect();
            let gone = gone.load(SeqCst);
            match within {
                "a scope" => assert_eq!(gone, 3),
                "a tree" => assert_eq!(gone, 1),
                // The second arm is not begun where nobody has taken it, and the first one neither
                // where the group fails before.
                _ => assert!(gone <= 3),
            }
        }
    });
}

#[test]
fn stolen_arm_in_the_body_is_cut_off_when_a_member_fails() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let (taken, gone) = (AtomicBool::new(false), AtomicUsize::new(0));
        let unreached = Unreached::default();
        let result = thread::group(|group| {
            std::thread::scope(|kernel| {
                kernel.spawn(|| {
                    while !taken.load(SeqCst) {
                        std::thread::yield_now();
                    }
                    // A thread of the default runtime.
                    group.spawn(|| Err::<(), _>(7));
                });
                sylvan::join(
                    || {
                        while !taken.load(SeqCst) {
                            std::hint::spin_loop();
                        }
                    },
                    || {
                        let _counts = Counts(&gone);
                        taken.store(true, SeqCst);
                        thread::sleep(HOUR);
                    },
                );
            });
            unreached.reach();
            Ok(())
        });
        assert_eq!((result, gone.load(SeqCst)), (Err(7), 1));
        unreached.expect();
    });
}

#[test]
fn group_of_a_kernel_thread_is_cut_off_by_its_members_and_by_its_deadline() {
    on_foreign_thread(|| {
        let gone = AtomicUsize::new(0);
        let result = thread::group(|group| {
            let counts = Counts(&gone);
            group.spawn(|| {
                let _counts = counts;
                Ok(thread::sleep(HOUR))
            });
            group.spawn(|| {
                settle();
                Err::<(), _>(7)
            });
            thread::sleep(HOUR);
            Ok(())
        });
        assert_eq!((result, gone.load(SeqCst)), (Err(7), 1));
        let result = time::timeout(MOMENT, || {
            thread::group(|group| Ok::<_, ()>(group.spawn(|| Ok(thread::sleep(HOUR))).join()))
        });
        assert_eq!(result.unwrap_err().reason().kind(), CancelKind::Deadline);
        thread::sleep(Duration::ZERO);
    });
}

#[test]
fn three_hundred_groups_within_each_other_end_with_the_outermost() {
    fn open(depth: usize, gone: &AtomicUsize) -> Result<(), u32> {
        thread::group(|group| {
            let counts = Counts(gone);
            group.spawn(|| {
                let _counts = counts;
                Ok(thread::sleep(HOUR))
            });
            if depth == 0 {
                settle();
                thread::sleep(HOUR);
            }
            open(depth - 1, gone)
        })
    }
    everywhere(|_| {
        let (gone, unreached) = (AtomicUsize::new(0), Unreached::default());
        let result = thread::group(|outermost| {
            outermost.spawn(|| {
                settle();
                Err::<(), _>(7)
            });
            let open = || open(300, &gone);
            let _ = thread::with_stack(64 << 20, open).unwrap();
            unreached.reach();
            Ok(())
        });
        assert_eq!(result, Err(7));
        unreached.expect();
        let gone = gone.load(SeqCst);
        assert!(gone <= 301, "{gone}");
    });
}

#[test]
fn shutdown_ends_a_group_and_its_caller() {
    with_every_runtime(|_, runtime| {
        let gone = std::sync::Arc::new(AtomicUsize::new(0));
        let left = runtime.run(|| {
            let (waiting, gone) = (std::sync::Arc::new(AtomicUsize::new(0)), gone.clone());
            let starts = waiting.clone();
            let left = thread::spawn(move || {
                let result = thread::group::<_, (), ()>(|group| {
                    for _ in 0..3 {
                        group.spawn(|| {
                            let _counts = Counts(&gone);
                            starts.fetch_add(1, SeqCst);
                            Ok(thread::sleep(HOUR))
                        });
                    }
                    Ok(())
                });
                unreachable!("the group has given {result:?}");
            });
            until(|| waiting.load(SeqCst) == 3);
            left
        });
        drop(runtime);
        let payload = left.join().unwrap_err();
        let cancelled = payload.downcast::<Cancelled>().expect("no panic");
        assert_eq!(cancelled.reason().kind(), CancelKind::Shutdown);
        assert_eq!(gone.load(SeqCst), 3);
    });
}
