//! Groups: one error, everybody else cut off and joined, whoever fails, and wherever they wait.
#![forbid(unsafe_code)]
#![allow(clippy::unit_arg, reason = "a thread that only does something ends by `Ok(f())`")]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::sync::Mutex;
use sylvan::thread::{self, CancelKind, Cancelled, Group};
use sylvan_workspace::{Counts, everywhere, in_every_runtime, settle, text_of, until};

use crate::staging::{HOUR, Stage, Unreached, WAITS, Wait, fail, settle_in};

/// Spawns three members that wait for ever, and count when they are gone, run or not.
fn spawn_waiting<'scope, E: Send>(
    group: &'scope Group<'scope, '_, E>,
    wait: Wait,
    stage: &'scope Stage,
    gone: &'scope AtomicUsize,
    returned: &'scope AtomicUsize,
) {
    for _ in 0..3 {
        let counts = Counts(gone);
        group.spawn(move || {
            let _counts = counts;
            wait(stage);
            returned.fetch_add(1, SeqCst);
            Ok(())
        });
    }
}

#[test]
fn first_error_cuts_members_and_body_off_in_each_kind_of_wait() {
    everywhere(|_| {
        for (name, wait) in WAITS {
            for body_fails in [false, true] {
                let (gone, returned) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let stage = Stage::new();
                let result = stage.hold(|| {
                    thread::group(|group| {
                        spawn_waiting(group, wait, &stage, &gone, &returned);
                        let _counts = Counts(&gone);
                        settle_in(name);
                        if body_fails {
                            return Err(name);
                        }
                        group.spawn(|| Err::<(), _>(name));
                        wait(&stage);
                        returned.fetch_add(1, SeqCst);
                        Ok(())
                    })
                });
                assert_eq!(result, Err(name));
                assert_eq!((gone.load(SeqCst), returned.load(SeqCst)), (4, 0), "{name}");
                assert!(!thread::cancelled());
            }
        }
        thread::yield_now();
    });
}

#[test]
fn panic_of_a_member_or_the_body_cuts_the_others_off_and_goes_on() {
    everywhere(|_| {
        for (name, wait) in WAITS {
            for who in ["member", "body"] {
                let (gone, returned) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let stage = Stage::new();
                let payload = stage.hold(|| {
                    let run = || {
                        thread::group::<_, (), ()>(|group| {
                            spawn_waiting(group, wait, &stage, &gone, &returned);
                            settle_in(name);
                            if who == "body" {
                                fail("the body");
                            }
                            group.spawn::<_, ()>(|| fail("the member"));
                            wait(&stage);
                            returned.fetch_add(1, SeqCst);
                            Ok(())
                        })
                    };
                    catch_unwind(AssertUnwindSafe(run)).unwrap_err()
                });
                assert_eq!(text_of(&*payload), format!("the {who}"));
                assert_eq!((gone.load(SeqCst), returned.load(SeqCst)), (3, 0), "{name}");
            }
        }
    });
}

#[test]
fn two_panics_at_once_give_one_payload() {
    everywhere(|_| {
        let run = || {
            thread::group::<_, (), ()>(|group| {
                group.spawn::<_, ()>(|| fail("one"));
                group.spawn::<_, ()>(|| fail("two"));
                Ok(())
            })
        };
        let payload = catch_unwind(run).unwrap_err();
        assert!(["one", "two"].contains(&text_of(&*payload)));
    });
}

#[test]
fn errors_after_the_first_are_dropped_before_the_group_returns() {
    everywhere(|_| {
        let dropped = AtomicUsize::new(0);
        let waiting = AtomicUsize::new(0);
        let result = thread::group(|group| {
            for _ in 0..5 {
                group.spawn(|| {
                    waiting.fetch_add(1, SeqCst);
                    assert!(catch_unwind(|| thread::sleep(HOUR)).is_err());
                    Err::<(), _>((2, Counts(&dropped)))
                });
            }
            until(|| waiting.load(SeqCst) == 5);
            group.spawn(|| Err::<(), _>((1, Counts(&dropped))));
            assert!(catch_unwind(|| thread::sleep(HOUR)).is_err());
            Err::<(), _>((3, Counts(&dropped)))
        });
        assert_eq!(dropped.load(SeqCst), 6);
        let (number, counts) = result.unwrap_err();
        assert_eq!(number, 1);
        drop(counts);
        assert_eq!(dropped.load(SeqCst), 7);
    });
}

#[test]
fn results_come_in_the_order_of_the_handles_whoever_ends_first() {
    everywhere(|_| {
        for step in [1, 3, 7, 9] {
            // Member number `n` may end when so many have ended.
            let ended = AtomicUsize::new(0);
            let turn_of = |number: usize| (0..10).find(|turn| turn * step % 10 == number).unwrap();
            let result = thread::group(|group| {
                let spawn = |number| {
                    let ended = &ended;
                    group.spawn(move || {
                        until(|| ended.load(SeqCst) == turn_of(number));
                        ended.fetch_add(1, SeqCst);
                        Ok::<_, ()>(number)
                    })
                };
                let handles: Vec<_> = (0..10).map(spawn).collect();
                Ok(handles.into_iter().map(|handle| handle.join()).collect::<Vec<_>>())
            });
            assert_eq!(result.unwrap(), (0..10).collect::<Vec<_>>());
        }
    });
}

#[test]
fn empty_group_gives_what_its_body_gives() {
    everywhere(|_| {
        assert_eq!(thread::group(|_| Ok::<_, ()>(5)), Ok(5));
        assert_eq!(thread::group(|_| Err::<(), _>(6)), Err(6));
        let payload = catch_unwind(|| thread::group::<_, (), ()>(|_| fail("alone"))).unwrap_err();
        assert_eq!(text_of(&*payload), "alone");
        assert!(!thread::cancelled());
        thread::yield_now();
    });
}

#[test]
fn members_that_members_have_spawned_are_joined_and_cut_off_as_well() {
    fn spawn<'scope>(
        group: &'scope Group<'scope, '_, u32>,
        depth: usize,
        ended: &'scope AtomicUsize,
        fails: bool,
    ) {
        let counts = Counts(ended);
        group.spawn(move || {
            let _counts = counts;
            if depth == 0 {
                return if fails { Err(7) } else { Ok(()) };
            }
            spawn(group, depth - 1, ended, fails);
            spawn(group, depth - 1, ended, false);
            if fails {
                thread::sleep(HOUR);
            }
            Ok(())
        });
    }
    everywhere(|_| {
        for fails in [false, true] {
            let ended = AtomicUsize::new(0);
            let result = thread::group(|group| {
                spawn(group, 4, &ended, fails);
                Ok(8)
            });
            assert_eq!(result, if fails { Err(7) } else { Ok(8) });
            let all = ended.load(SeqCst);
            // Whoever was cut off before it began has spawned nobody.
            assert!(all == 31 || fails && all >= 5, "{all} have ended");
        }
    });
}

#[test]
fn inner_group_that_fails_leaves_the_outer_one_alone() {
    everywhere(|_| {
        let result = thread::group(|outer| {
            let neighbour = outer.spawn(|| {
                settle();
                Ok::<_, &str>(thread::cancelled())
            });
            let by_member = outer.spawn(|| {
                let inner = thread::group(|inner| {
                    inner.spawn(|| Err::<(), _>(1));
                    thread::sleep(HOUR);
                    Ok(())
                });
                thread::yield_now();
                Ok(inner)
            });
            let by_body = thread::group(|inner| {
                inner.spawn(|| Err::<(), _>(2));
                thread::sleep(HOUR);
                Ok(())
            });
            thread::yield_now();
            assert!(!thread::cancelled());
            Ok((neighbour.join(), by_member.join(), by_body))
        });
        assert_eq!(result, Ok((false, Err(1), Err(2))));
    });
}

#[test]
fn outer_group_that_fails_cuts_the_inner_one_whose_errors_do_not_win() {
    everywhere(|_| {
        for in_body in [true, false] {
            let (waiting, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let unreached = Unreached::default();
            let inner = || {
                let _ = thread::group(|inner| {
                    for _ in 0..3 {
                        inner.spawn(|| {
                            let _counts = Counts(&gone);
                            waiting.fetch_add(1, SeqCst);
                            let payload = catch_unwind(|| thread::sleep(HOUR)).unwrap_err();
                            let reason = payload.downcast::<Cancelled>().unwrap();
                            assert_eq!(reason.reason().kind(), CancelKind::Group);
                            Err::<(), _>("inner")
                        });
                    }
                    let _counts = Counts(&gone);
                    thread::sleep(HOUR);
                    Ok(())
                });
                // The members may have answered before the body was cut off, but then it is now.
                thread::yield_now();
                unreached.reach();
            };
            let result = thread::group(|outer| {
                outer.spawn(|| {
                    until(|| waiting.load(SeqCst) == 3);
                    Err::<(), _>("outer")
                });
                if in_body {
                    inner();
                }
                outer.spawn(|| Ok(inner()));
                thread::sleep(HOUR);
                Ok(())
            });
            assert_eq!(result, Err("outer"));
            unreached.expect();
            assert_eq!(gone.load(SeqCst), 4);
        }
    });
}

#[test]
fn member_that_catches_the_cancellation_is_waited_for_and_changes_nothing() {
    everywhere(|_| {
        let caught = AtomicUsize::new(0);
        let result = thread::group(|group| {
            group.spawn(|| {
                while caught.load(SeqCst) < 5 {
                    if catch_unwind(|| thread::sleep(HOUR)).is_err() {
                        caught.fetch_add(1, SeqCst);
                    }
                }
                Ok(())
            });
            settle();
            Err::<(), _>(7)
        });
        assert_eq!(result, Err(7));
        // Cut off before it began, it has caught nothing.
        assert!([0, 5].contains(&caught.load(SeqCst)));
    });
}

#[test]
fn member_that_computes_sees_that_its_group_has_failed() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let computing = AtomicBool::new(false);
        let result = thread::group(|group| {
            group.spawn(|| {
                computing.store(true, SeqCst);
                while !thread::cancelled() {
                    std::hint::spin_loop();
                }
                assert_eq!(thread::cancel_reason().unwrap().kind(), CancelKind::Group);
                Ok(())
            });
            // By a thread of the default runtime: the member may keep the body's own worker busy.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !computing.load(SeqCst) {
                        std::thread::yield_now();
                    }
                    group.spawn(|| Err::<(), _>(7));
                });
            });
            Ok(())
        });
        assert_eq!(result, Err(7));
    });
}

#[test]
fn body_that_computes_sees_that_its_group_has_failed() {
    everywhere(|_| {
        let result = thread::group(|group| {
            let failed = group.spawn(|| Err::<(), _>(7));
            while !failed.is_finished() {
                let _ = catch_unwind(thread::yield_now);
            }
            assert!(thread::cancelled());
            let reason = thread::cancel_reason().unwrap();
            assert_eq!(reason.kind(), CancelKind::Group);
            assert!(reason.to_string().starts_with("its group has failed, by thread "));
            Ok("a value that nobody gets")
        });
        assert_eq!(result, Err(7));
        assert!(!thread::cancelled() && thread::cancel_reason().is_none());
    });
}

#[test]
fn member_that_is_spawned_into_a_failed_group_never_runs() {
    everywhere(|_| {
        for (ran, limited) in [false, true].map(|limited| (AtomicUsize::new(0), limited)) {
            let result = thread::group(|group| {
                let failed = group.spawn(|| Err::<(), _>(7));
                while !failed.is_finished() {
                    let _ = catch_unwind(thread::yield_now);
                }
                if limited {
                    group.limit(100);
                }
                for _ in 0..5 {
                    group.spawn(|| Ok(_ = ran.fetch_add(1, SeqCst)));
                }
                Ok(())
            });
            assert_eq!((result, ran.load(SeqCst)), (Err(7), 0));
        }
    });
}

#[test]
#[allow(clippy::result_large_err, reason = "that is the point")]
fn results_and_errors_may_have_any_size_and_need_not_be_shared() {
    everywhere(|_| {
        let small = thread::group(|group| {
            let units = [(); 3].map(|()| group.spawn(|| Ok::<_, ()>(())));
            units.into_iter().for_each(|unit| unit.join());
            Ok(())
        });
        assert_eq!(small, Ok(()));
        let large = thread::group(|group| {
            let handles = [1u8, 2, 3].map(|byte| group.spawn(move || Ok::<_, ()>([byte; 5000])));
            Ok(handles.map(|handle| handle.join()))
        });
        assert_eq!(large, Ok([[1; 5000], [2; 5000], [3; 5000]]));
        let error = thread::group(|group| {
            group.spawn(|| Err::<(), _>(([9u8; 5000], Cell::new(1))));
            thread::sleep(HOUR);
            Ok(())
        });
        assert!(error.is_err_and(|(bytes, cell)| bytes == [9; 5000] && cell.get() == 1));
    });
}

#[test]
fn members_borrow_and_change_what_lies_around_the_group() {
    everywhere(|_| {
        let mut squares = [0; 20];
        let sum = Mutex::new(0);
        let result = thread::group(|group| {
            for (number, square) in squares.iter_mut().enumerate() {
                let sum = &sum;
                group.spawn(move || {
                    *square = number * number;
                    *sum.lock().unwrap() += number;
                    Ok::<_, ()>(())
                });
            }
            Ok(())
        });
        assert_eq!((result, squares[19]), (Ok(()), 361));
        assert_eq!(sum.into_inner().unwrap(), 190);
    });
}
