//! What went wrong with groups, races and shields once, each named after it.
#![forbid(unsafe_code)]
#![allow(clippy::unit_arg, reason = "a thread that only does something ends by `Ok(f())`")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::testing::{Faults, inject};
use sylvan::thread::{self, Cancelled};
use sylvan::time;
use sylvan_workspace::{
    Counts, OnDrop, everywhere, in_child, in_every_runtime, settle, text_of, until,
    with_every_runtime,
};

use crate::staging::{HOUR, fail, while_unwinding};

const MOMENT: Duration = Duration::from_millis(1);

/// A payload by which another thread was unwound that was cancelled.
fn foreign_payload() -> Box<dyn std::any::Any + Send> {
    let other = thread::spawn(thread::park);
    other.cancel().unwrap();
    thread::shield(|| other.join().unwrap_err())
}

#[test]
fn what_a_destructor_opened_was_cancelled_with_the_group_that_had_failed() {
    everywhere(|_| {
        let ran = AtomicUsize::new(0);
        let result = thread::group(|group| {
            let _opens = OnDrop(|| {
                let count = || _ = ran.fetch_add(1, SeqCst);
                thread::scope(|scope| _ = scope.spawn(count));
                // This aborted the process.
                let inner = thread::group(|inner| Ok::<_, u32>(inner.spawn(|| Ok(3)).join()));
                assert_eq!(inner, Ok(3));
                assert_eq!(thread::race(|race| race.spawn(|| 4)), 4);
            });
            group.spawn(|| Err::<(), _>(7));
            thread::sleep(HOUR);
            Ok(())
        });
        assert_eq!((result, ran.load(SeqCst)), (Err(7), 1));
    });
}

#[test]
fn running_child_of_a_destructor_was_cut_off_when_an_outer_group_failed() {
    everywhere(|_| {
        let (napping, napped) = (AtomicBool::new(false), AtomicBool::new(false));
        let result = thread::group(|outer| {
            outer.spawn(|| {
                until(|| napping.load(SeqCst));
                Err::<(), _>("outer")
            });
            let inner = thread::group(|inner| {
                let _opens = OnDrop(|| {
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            napping.store(true, SeqCst);
                            thread::sleep(MOMENT);
                            napped.store(true, SeqCst);
                        });
                    });
                });
                inner.spawn(|| Err::<(), _>("inner"));
                thread::sleep(HOUR);
                Ok(())
            });
            assert_eq!(inner, Err("inner"));
            thread::sleep(HOUR);
            Ok(())
        });
        assert_eq!((result, napped.load(SeqCst)), (Err("outer"), true));
    });
}

/// Calls its closure when it is dropped; an error of its own kind each time.
struct Late<'a>(&'a AtomicUsize, fn());

impl Drop for Late<'_> {
    fn drop(&mut self) {
        self.1();
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn late_error_whose_destructor_waited_aborted_the_process() {
    everywhere(|_| {
        let ways: [fn(); 3] = [
            thread::yield_now,
            || thread::sleep(MOMENT),
            || drop(thread::spawn(thread::yield_now).join()),
        ];
        for way in ways {
            let dropped = AtomicUsize::new(0);
            let result = thread::group(|group| {
                for _ in 0..2 {
                    group.spawn(|| {
                        let _ = catch_unwind(|| thread::sleep(HOUR));
                        Err::<(), _>((2, Late(&dropped, way)))
                    });
                }
                settle();
                group.spawn(|| Err::<(), _>((1, Late(&dropped, || ()))));
                let _ = catch_unwind(|| thread::sleep(HOUR));
                Err::<(), _>((3, Late(&dropped, way)))
            });
            assert!(result.is_err_and(|(number, _)| number == 1));
            assert!((2..=4).contains(&dropped.load(SeqCst)), "who never began has no error");
        }
    });
}

#[test]
fn late_error_whose_destructor_panicked_aborted_the_process() {
    everywhere(|_| {
        let dropped = AtomicUsize::new(0);
        let result = thread::group(|group| {
            group.spawn(|| Err::<(), _>(Late(&dropped, || ())));
            let _ = catch_unwind(|| thread::sleep(HOUR));
            Err::<(), _>(Late(&dropped, || fail("a destructor")))
        });
        // The count is past the panic.
        assert!(result.is_err() && dropped.load(SeqCst) == 0);
    });
}

#[test]
fn payload_of_another_thread_that_a_member_or_the_body_resumed_ended_no_group() {
    everywhere(|_| {
        for by_body in [false, true] {
            let gone = AtomicUsize::new(0);
            let run = || {
                thread::group::<_, (), ()>(|group| {
                    let counts = Counts(&gone);
                    group.spawn(|| {
                        let _counts = counts;
                        Ok(thread::sleep(HOUR))
                    });
                    if by_body {
                        resume_unwind(foreign_payload());
                    }
                    group.spawn::<_, ()>(|| resume_unwind(foreign_payload()));
                    thread::sleep(HOUR);
                    Ok(())
                })
            };
            let begun = time::now();
            let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            assert!(payload.is::<Cancelled>(), "{}", text_of(&*payload));
            assert!(time::now() - begun < HOUR);
            assert_eq!(gone.load(SeqCst), 1);
        }
    });
}

#[test]
fn error_was_lost_when_the_body_resumed_the_payload_of_another_thread() {
    everywhere(|_| {
        let run = || {
            thread::group(|group| {
                let payload = foreign_payload();
                let failed = group.spawn(|| Err::<(), _>(7));
                thread::shield(|| until(|| failed.is_finished()));
                resume_unwind(payload);
                #[allow(unreachable_code, reason = "it gives the closure its type")]
                Ok(())
            })
        };
        let outcome = catch_unwind(run);
        assert_eq!(outcome.expect("the group has failed before"), Err(7));
    });
}

#[test]
fn destructor_in_a_group_in_a_destructor_aborted_the_process() {
    everywhere(|_| {
        while_unwinding(|| {
            let outcome = catch_unwind(|| {
                thread::group(|group| {
                    let failed = group.spawn(|| Err::<(), _>(7));
                    until(|| failed.is_finished());
                    let _opens = OnDrop(|| {
                        let inner =
                            thread::group(|inner| Ok::<_, ()>(inner.spawn(|| Ok(1)).join()));
                        assert_eq!(inner, Ok(1));
                    });
                    fail("second");
                    #[allow(unreachable_code, reason = "it gives the closure its type")]
                    Ok(())
                })
            });
            assert_eq!(outcome.unwrap(), Err(7));
        });
    });
}

#[test]
fn stolen_arm_that_joined_a_failed_member_panicked() {
    let name = "own_bugs::stolen_arm_that_joined_a_failed_member_panicked";
    let child = in_child(name, &[], || {
        in_every_runtime(|shape| {
            if !shape.is_parallel() {
                return;
            }
            let over = AtomicBool::new(false);
            let result = thread::group(|group| {
                let member = group.spawn(|| {
                    thread::park();
                    Err::<(), _>(7)
                });
                let parked = member.thread().clone();
                sylvan::join(
                    || {
                        while !over.load(SeqCst) {
                            std::hint::spin_loop();
                        }
                    },
                    || {
                        let _over = OnDrop(|| over.store(true, SeqCst));
                        parked.unpark();
                        member.join();
                    },
                );
                Ok(())
            });
            assert_eq!(result, Err(7));
        });
    });
    child.expect_success();
    assert!(!child.stderr.contains("panicked"), "{}", child.stderr);
}

#[test]
fn member_that_waited_for_its_turn_was_shown_in_a_file_of_core() {
    let report = catch_unwind(|| {
        sylvan::testing::run_seeded(0, || {
            thread::group(|group| {
                group.limit(1);
                group.spawn(|| Ok::<_, ()>(group.spawn(|| Ok(())).join()));
                Ok(())
            })
        })
    });
    let report = report.unwrap_err();
    let report = text_of(&*report);
    let line = report.lines().find(|line| line.contains("permits of a semaphore")).unwrap();
    assert!(line.contains(file!()), "{line}");
}

#[test]
fn member_that_got_no_stack_ended_no_group() {
    in_every_runtime(|_| {
        if sylvan::testing::seed().is_none() {
            return;
        }
        let begun = time::now();
        let run = || {
            thread::group(|group| {
                group.spawn(|| Ok::<(), ()>(thread::sleep(HOUR)));
                settle();
                inject(Faults::none().stacks(1));
                group.spawn(|| Ok(()));
                thread::sleep(HOUR);
                Ok(())
            })
        };
        let payload = catch_unwind(run).unwrap_err();
        inject(Faults::none());
        let text = text_of(&*payload);
        assert!(text.ends_with("could not be started"), "{text}");
        assert!(time::now() - begun < HOUR);
    });
}

#[test]
fn what_a_destructor_or_a_shield_opened_was_refused_at_shutdown() {
    with_every_runtime(|_, runtime| {
        let (started, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        runtime.run(|| {
            for in_shield in [false, true] {
                let (started, done) = (started.clone(), done.clone());
                thread::spawn(move || {
                    let open = || {
                        started.fetch_add(1, SeqCst);
                        thread::sleep(MOMENT * 20);
                        // This aborted the process in a destructor.
                        let result = thread::group(|group| {
                            let nap = group.spawn(|| Ok::<_, ()>(thread::sleep(MOMENT)));
                            Ok(nap.join())
                        });
                        assert_eq!(result, Ok(()));
                        thread::scope(|scope| {
                            scope.spawn(|| thread::sleep(MOMENT)).join().unwrap()
                        });
                        done.fetch_add(1, SeqCst);
                    };
                    if in_shield { thread::shield(open) } else { while_unwinding(open) }
                });
            }
            until(|| started.load(SeqCst) == 2);
        });
        drop(runtime);
        assert_eq!(done.load(SeqCst), 2);
    });
}

#[test]
fn deadline_in_a_destructor_did_not_reach_what_was_opened_in_a_region_within_it() {
    everywhere(|_| {
        let gone = AtomicUsize::new(0);
        let wait = || {
            let _counts = Counts(&gone);
            thread::sleep(HOUR);
        };
        while_unwinding(|| {
            let _ = time::timeout(MOMENT, || {
                // Nobody cuts the destructor off, but those whom it waits for.
                let group = catch_unwind(AssertUnwindSafe(|| {
                    thread::group::<_, (), ()>(|group| Ok(drop(group.spawn(|| Ok(wait())))))
                }));
                assert!(group.is_ok());
                let _ = time::timeout(HOUR, || {
                    thread::scope(|scope| drop(scope.spawn(wait)));
                });
            });
        });
        assert!(gone.load(SeqCst) <= 2);
    });
}

#[test]
fn refused_spawn_is_told_by_the_group() {
    in_every_runtime(|_| {
        if sylvan::testing::seed().is_none() {
            return;
        }
        let gone = AtomicUsize::new(0);
        let run = || {
            thread::group(|group| {
                let counts = Counts(&gone);
                group.spawn(|| {
                    let _counts = counts;
                    Ok::<_, ()>(thread::sleep(HOUR))
                });
                settle();
                inject(Faults::none().spawns(1));
                group.spawn(|| Ok(()));
                Ok(())
            })
        };
        let begun = time::now();
        let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        inject(Faults::none());
        let text = text_of(&*payload);
        assert!(text.starts_with("failed to spawn thread: "), "{text}");
        assert!(time::now() - begun < HOUR && gone.load(SeqCst) == 1);
    });
}
