//! Shields: nothing from outside ends what runs within, all of it is delivered after, and what is
//! opened within is out of reach, too.
#![forbid(unsafe_code)]
#![allow(clippy::unit_arg, reason = "a thread that only does something ends by `Ok(f())`")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::channel::bounded;
use sylvan::thread::{self, CancelKind, Cancelled};
use sylvan::time;
use sylvan_workspace::{Counts, OnDrop, everywhere, in_every_runtime, settle, text_of, until};

use crate::staging::{HOUR, Unreached, fail, while_unwinding};

const MOMENT: Duration = Duration::from_micros(100);

/// Waits in several ways, each of which ends by itself, where nobody is wanted to end.
fn wait_a_little() {
    wait_in_each_way();
    assert!(!thread::cancelled() && thread::cancel_reason().is_none());
}

fn wait_in_each_way() {
    thread::yield_now();
    thread::sleep(MOMENT);
    thread::park_timeout(MOMENT);
    assert!(!thread::spawn(thread::cancelled).join().unwrap());
    let (sender, receiver) = bounded(0);
    thread::scope(|scope| {
        scope.spawn(|| sender.send(5).unwrap());
        assert_eq!(receiver.recv().unwrap(), 5);
    });
    let (one, two) = sylvan::join(
        || {
            thread::yield_now();
            1
        },
        || {
            thread::yield_now();
            2
        },
    );
    assert_eq!(one + two, 3);
}

/// Runs `body` in a thread that is told when somebody has cancelled it, and expects it to be
/// unwound. `body` gets what raises the wish, and what waits until it is granted.
fn expect_cancelled(body: impl Fn(&dyn Fn()) + Sync) {
    everywhere(|_| {
        let (wanted, granted) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                body(&|| {
                    wanted.store(true, SeqCst);
                    thread::shield(|| until(|| granted.load(SeqCst)));
                });
                unreachable!("a cancellation was lost");
            });
            until(|| wanted.load(SeqCst));
            handle.cancel().unwrap();
            granted.store(true, SeqCst);
            let payload = handle.join().unwrap_err();
            assert!(payload.is::<Cancelled>(), "{}", text_of(&*payload));
        });
    });
}

#[test]
fn cancellation_is_delivered_at_the_first_wait_after_the_shield_and_not_within() {
    expect_cancelled(|be_cancelled| {
        let value = thread::shield(|| {
            be_cancelled();
            wait_a_little();
            6
        });
        assert_eq!(value, 6);
        assert!(thread::cancelled());
        assert_eq!(thread::cancel_reason().unwrap().kind(), CancelKind::Requested);
        thread::yield_now();
        unreachable!("the first wait after the shield has returned");
    });
}

#[test]
fn shield_that_is_raised_by_a_cancelled_thread_holds() {
    expect_cancelled(|be_cancelled| {
        be_cancelled();
        assert!(thread::cancelled());
        for _ in 0..3 {
            thread::shield(wait_a_little);
            assert!(thread::cancelled());
            assert!(catch_unwind(thread::yield_now).is_err());
        }
        thread::sleep(HOUR);
    });
}

#[test]
fn inner_shield_that_ends_leaves_the_outer_one_up() {
    expect_cancelled(|be_cancelled| {
        thread::shield(|| {
            thread::shield(|| {
                be_cancelled();
                wait_a_little();
            });
            wait_a_little();
            thread::shield(|| thread::shield(wait_a_little));
            wait_a_little();
        });
        assert!(thread::cancelled());
        thread::sleep(HOUR);
    });
}

#[test]
fn panic_leaves_a_shield_and_what_has_come_meanwhile_is_delivered_after() {
    expect_cancelled(|be_cancelled| {
        let payload = catch_unwind(AssertUnwindSafe(|| {
            thread::shield(|| {
                be_cancelled();
                fail("within");
            })
        }));
        assert_eq!(text_of(&*payload.unwrap_err()), "within");
        assert!(thread::cancelled());
        thread::sleep(HOUR);
    });
}

#[test]
fn timeouts_groups_and_races_work_in_the_shield_of_a_cancelled_thread() {
    expect_cancelled(|be_cancelled| {
        thread::shield(|| {
            be_cancelled();
            let elapsed = time::timeout(MOMENT, || thread::sleep(HOUR)).unwrap_err();
            assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
            assert_eq!(time::timeout(HOUR, || thread::sleep(MOMENT)).ok(), Some(()));
            let gone = AtomicUsize::new(0);
            let failed = thread::group(|group| {
                let counts = Counts(&gone);
                group.spawn(|| {
                    let _counts = counts;
                    Ok(thread::sleep(HOUR))
                });
                group.spawn(|| Err::<(), _>(7));
                thread::sleep(HOUR);
                Ok(())
            });
            assert_eq!((failed, gone.load(SeqCst)), (Err(7), 1));
            let group = thread::group(|group| {
                let napped = group.spawn(|| {
                    thread::sleep(MOMENT);
                    Ok::<_, ()>(thread::cancelled())
                });
                Ok(napped.join())
            });
            assert_eq!(group, Ok(false));
            thread::race(|race| {
                race.spawn(|| thread::sleep(HOUR));
                race.spawn(|| thread::sleep(MOMENT));
                thread::sleep(HOUR);
            });
            wait_a_little();
        });
        thread::sleep(HOUR);
    });
}

#[test]
fn deadline_that_passes_within_a_shield_is_delivered_after_it() {
    everywhere(|_| {
        let (inside, after) = (AtomicBool::new(false), AtomicBool::new(false));
        let result = time::timeout(MOMENT, || {
            thread::shield(|| {
                assert_eq!(time::current_deadline(), None);
                thread::sleep(MOMENT * 3);
                wait_a_little();
                inside.store(true, SeqCst);
            });
            assert!(thread::cancelled() && time::current_deadline().is_some());
            after.store(true, SeqCst);
            thread::yield_now();
            unreachable!("the deadline has passed");
        });
        assert_eq!(result.unwrap_err().reason().kind(), CancelKind::Deadline);
        assert!(inside.load(SeqCst) && after.load(SeqCst));
        let unhurt = time::timeout(MOMENT, || thread::shield(|| thread::sleep(MOMENT * 3)));
        assert!(unhurt.is_ok(), "a value is returned, however late");
    });
}

#[test]
fn failure_of_a_group_is_kept_from_a_shield_in_its_body_and_delivered_after() {
    everywhere(|_| {
        let (after, unreached) = (AtomicBool::new(false), Unreached::default());
        let result = thread::group(|group| {
            thread::shield(|| {
                let failed = group.spawn(|| Err::<(), _>(7));
                until(|| failed.is_finished());
                wait_a_little();
                thread::shield(wait_a_little);
                wait_a_little();
            });
            assert!(thread::cancelled());
            after.store(true, SeqCst);
            thread::yield_now();
            unreached.reach();
            Ok(())
        });
        assert_eq!((result, after.load(SeqCst)), (Err(7), true));
        unreached.expect();
    });
}

#[test]
fn failure_of_a_group_is_kept_from_a_shield_in_a_member() {
    everywhere(|_| {
        let (within, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let result = thread::group(|group| {
            let shielded = group.spawn(|| {
                thread::shield(|| {
                    within.store(true, SeqCst);
                    thread::park();
                    wait_a_little();
                    ended.store(true, SeqCst);
                });
                Ok(thread::sleep(HOUR))
            });
            until(|| within.load(SeqCst));
            let failed = group.spawn(|| Err::<(), _>(7));
            thread::shield(|| until(|| failed.is_finished()));
            shielded.thread().unpark();
            thread::sleep(HOUR);
            Ok(())
        });
        assert_eq!((result, ended.load(SeqCst)), (Err(7), true));
    });
}

#[test]
fn children_and_arms_opened_in_a_shield_are_cancelled_by_name_alone() {
    expect_cancelled(|be_cancelled| {
        let (napped, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let nap = || {
            let _counts = Counts(&gone);
            thread::sleep(MOMENT);
            assert!(!thread::cancelled());
            napped.fetch_add(1, SeqCst);
        };
        thread::shield(|| {
            let waiting = AtomicUsize::new(0);
            thread::scope(|scope| {
                // Waiting, when the parent is cancelled; and spawned after it.
                let started = [(); 2].map(|()| {
                    scope.spawn(|| {
                        waiting.fetch_add(1, SeqCst);
                        thread::park();
                        nap();
                    })
                });
                let by_name = scope.spawn(|| {
                    waiting.fetch_add(1, SeqCst);
                    thread::sleep(HOUR);
                });
                until(|| waiting.load(SeqCst) == 3);
                be_cancelled();
                scope.spawn(nap);
                scope.spawn(|| thread::scope(|inner| _ = inner.spawn(nap)));
                settle();
                started.iter().for_each(|child| child.thread().unpark());
                by_name.cancel_with("by name").unwrap();
                let payload = by_name.join().unwrap_err();
                let reason = payload.downcast::<Cancelled>().unwrap().reason().to_string();
                assert!(reason.ends_with(": by name"), "{reason}");
            });
            assert_eq!(napped.load(SeqCst), 4);
            sylvan::join(nap, || sylvan::join(nap, nap));
            assert_eq!(napped.load(SeqCst), 7);
            // The scope itself, by name.
            thread::scope(|scope| {
                scope.spawn(|| thread::sleep(HOUR));
                scope.cancel().unwrap();
                assert!(scope.spawn(nap).join().unwrap_err().is::<Cancelled>());
            });
        });
        assert_eq!((napped.load(SeqCst), gone.load(SeqCst)), (7, 7));
        thread::yield_now();
    });
}

#[test]
fn child_spawned_from_a_shield_into_a_scope_around_it_is_cancelled() {
    expect_cancelled(|be_cancelled| {
        thread::scope(|scope| {
            let child = thread::shield(|| {
                be_cancelled();
                let child = scope.spawn(|| thread::sleep(HOUR));
                wait_a_little();
                child
            });
            thread::shield(|| assert!(child.join().unwrap_err().is::<Cancelled>()));
        });
        thread::yield_now();
    });
}

#[test]
fn stolen_arm_of_a_shield_outlives_the_cancellation_and_the_deadline_around_it() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        for by_deadline in [false, true] {
            let (taken, napped) = (AtomicBool::new(false), AtomicBool::new(false));
            let waiting = thread::current();
            thread::scope(|scope| {
                let handle = scope.spawn(|| {
                    let limit = if by_deadline { MOMENT } else { HOUR };
                    let _ = time::timeout(limit, || {
                        thread::shield(|| {
                            sylvan::join(
                                || {
                                    while !taken.load(SeqCst) {
                                        std::hint::spin_loop();
                                    }
                                },
                                || {
                                    taken.store(true, SeqCst);
                                    waiting.unpark();
                                    thread::sleep(MOMENT * 5);
                                    assert!(!thread::cancelled());
                                    assert_eq!(time::current_deadline(), None);
                                    napped.store(true, SeqCst);
                                },
                            )
                        })
                    });
                });
                // Parked, not polling: a worker with a thread that yields takes no other's work.
                while !taken.load(SeqCst) {
                    thread::park();
                }
                if !by_deadline {
                    handle.cancel().unwrap();
                }
                let _ = handle.join();
                assert!(napped.load(SeqCst));
            });
        }
    });
}

fn within_shields<T>(depth: usize, f: impl FnOnce() -> T) -> T {
    // One closure type for all levels, else the compiler recurses as well.
    fn descend(depth: usize, f: &mut dyn FnMut()) {
        if depth == 0 {
            return f();
        }
        thread::shield(|| descend(depth - 1, f));
    }
    let mut f = Some(f);
    let mut value = None;
    descend(depth, &mut || value = Some(f.take().expect("called once")()));
    value.expect("called")
}

/// More than 16 bits count; under AddressSanitizer fewer, for there each costs far more.
const SHIELDS: usize = if cfg!(feature = "sanitizer") { 2_000 } else { 70_000 };

#[test]
fn seventy_thousand_shields_nest_and_hold() {
    expect_cancelled(|be_cancelled| {
        thread::with_stack(512 << 20, || {
            within_shields(SHIELDS, || {
                be_cancelled();
                wait_a_little();
            });
        })
        .unwrap();
        assert!(thread::cancelled());
        thread::yield_now();
    });
}

#[test]
fn destructor_of_a_cancelled_thread_opens_scopes_arms_and_groups_undisturbed() {
    expect_cancelled(|be_cancelled| {
        let _opens = OnDrop(|| {
            wait_in_each_way();
            thread::shield(wait_a_little);
            let ran = AtomicUsize::new(0);
            let nap = || {
                thread::sleep(MOMENT);
                ran.fetch_add(1, SeqCst);
            };
            thread::scope(|scope| {
                scope.spawn(nap);
                scope.spawn(|| thread::scope(|inner| _ = inner.spawn(nap)));
                scope.spawn(nap).join().unwrap();
            });
            sylvan::join(nap, nap);
            assert_eq!(ran.load(SeqCst), 5);
            let in_group = thread::group(|group| {
                let first = group.spawn(|| Ok::<_, ()>(nap()));
                first.join();
                Ok(group.spawn(|| Ok(5)).join())
            });
            assert_eq!((in_group, ran.load(SeqCst)), (Ok(5), 6));
            assert_eq!(thread::race(|race| race.spawn(|| 8)), 8);
        });
        be_cancelled();
        thread::sleep(HOUR);
    });
}

#[test]
fn destructor_that_runs_for_a_panic_is_not_cut_off_by_what_comes_meanwhile() {
    expect_cancelled(|be_cancelled| {
        while_unwinding(|| {
            be_cancelled();
            assert!(thread::cancelled());
            thread::sleep(MOMENT);
            thread::yield_now();
            let ran = AtomicBool::new(false);
            thread::scope(|scope| _ = scope.spawn(|| ran.store(true, SeqCst)));
            assert!(ran.load(SeqCst));
        });
        thread::yield_now();
    });
}
