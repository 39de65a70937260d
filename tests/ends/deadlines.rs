//! What a deadline does to the code in it: the nearest wins, values and panics pass, and
//! destructors run. Code that catches the unwinding has a file of its own.
#![forbid(unsafe_code)]

mod caught;

use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::sync::Mutex;
use sylvan::thread::{self, Cancelled};
use sylvan::time::{self, Duration, Elapsed};
use sylvan_workspace::{OnDrop, everywhere, text_of};

use crate::{HOUR, SOON, expect_elapsed, expect_unwound, outlast_deadline, pass_time};

/// Waits for what nobody gives.
fn for_ever() {
    loop {
        thread::park();
    }
}

#[test]
fn value_is_returned_and_nothing_stays_in_force() {
    everywhere(|_| {
        let mut borrowed = vec![1];
        let outcome = time::timeout(HOUR, || {
            thread::yield_now();
            borrowed.push(2);
            borrowed.len()
        });
        assert_eq!(outcome.unwrap(), 2);
        assert_eq!(time::deadline(time::now() + HOUR, || "value").unwrap(), "value");
        assert_eq!(time::current_deadline(), None);
        assert!(!thread::cancelled());
        thread::yield_now();
    });
}

#[test]
fn value_that_comes_late_is_returned_all_the_same() {
    everywhere(|_| {
        let outcome = time::timeout(SOON, || {
            outlast_deadline();
            7
        });
        assert_eq!(outcome.unwrap(), 7);
        assert!(!thread::cancelled());
        // Nothing is left of it for the waits that follow.
        thread::yield_now();
        thread::sleep(Duration::from_micros(1));
    });
}

#[test]
fn error_that_comes_late_is_returned_all_the_same() {
    everywhere(|_| {
        let outcome: Result<Result<(), &str>, Elapsed> = time::timeout(SOON, || {
            outlast_deadline();
            Err("of its own")
        });
        assert_eq!(outcome.unwrap(), Err("of its own"));
    });
}

#[test]
fn panic_passes_with_its_payload_before_and_after_the_deadline() {
    everywhere(|_| {
        let lock = Mutex::new(());
        for late in [false, true] {
            let payload = expect_unwound(|| {
                time::timeout(SOON, || {
                    let _guard = lock.lock().unwrap();
                    if late {
                        outlast_deadline();
                    }
                    // Not through the hook, which would print it.
                    resume_unwind(Box::new("the closure's own".to_owned()));
                })
            });
            assert_eq!(text_of(&*payload), "the closure's own");
            assert!(!thread::cancelled() && !thread::panicking());
            assert!(lock.is_poisoned(), "a panic is a panic, within a deadline too");
            lock.clear_poison();
            thread::yield_now();
        }
    });
}

/// Timeouts within each other, the outermost first: which one ends? By its number.
const NESTS: [(&[Duration], usize); 10] = [
    (&[SOON, HOUR], 0),
    (&[HOUR, SOON], 1),
    (&[SOON, Duration::ZERO], 1),
    (&[Duration::ZERO, SOON], 0),
    (&[SOON, Duration::MAX], 0),
    (&[Duration::MAX, SOON], 1),
    (&[HOUR, HOUR, SOON], 2),
    (&[HOUR, SOON, HOUR], 1),
    (&[SOON, HOUR, HOUR], 0),
    (&[HOUR, SOON, HOUR, Duration::MAX, HOUR], 1),
];

/// Opens the timeouts and waits for ever within. Gives which one has ended.
fn nest(timeouts: &[Duration], number: usize, ended: &mut Vec<usize>) {
    let Some((first, rest)) = timeouts.split_first() else { return for_ever() };
    let outcome = time::timeout(*first, || nest(rest, number + 1, ended));
    if let Err(elapsed) = outcome {
        assert_eq!(elapsed.reason().kind(), thread::CancelKind::Deadline);
        assert!(elapsed.to_string().contains(&format!("the deadline of {first:?}")), "{elapsed}");
        ended.push(number);
    }
}

#[test]
fn nearest_of_several_deadlines_ends_the_call_that_it_belongs_to() {
    everywhere(|_| {
        for (timeouts, nearest) in NESTS {
            let mut ended = Vec::new();
            nest(timeouts, 0, &mut ended);
            assert_eq!(ended, [nearest], "{timeouts:?}");
        }
    });
}

#[test]
fn current_deadline_is_the_nearest_one() {
    everywhere(|_| {
        let end = time::now() + HOUR;
        time::deadline(end, || {
            assert_eq!(time::current_deadline(), Some(end));
            time::deadline(end + HOUR, || assert_eq!(time::current_deadline(), Some(end))).unwrap();
            time::timeout(Duration::MAX, || assert_eq!(time::current_deadline(), Some(end)))
                .unwrap();
            let nearer = end - Duration::from_secs(1);
            time::deadline(nearer, || {
                assert_eq!(time::current_deadline(), Some(nearer));
                let _ =
                    catch_unwind(|| time::timeout(Duration::ZERO, || resume_unwind(Box::new(0))));
                assert_eq!(time::current_deadline(), Some(nearer));
            })
            .unwrap();
            assert_eq!(time::current_deadline(), Some(end));
        })
        .unwrap();
        time::timeout(Duration::MAX, || assert_eq!(time::current_deadline(), None)).unwrap();
        assert_eq!(time::current_deadline(), None);
    });
}

#[test]
fn equal_deadlines_end_the_outer_call() {
    everywhere(|_| {
        let end = time::now() + SOON;
        let mut inner = None;
        let outer = time::deadline(end, || inner = Some(time::deadline(end, for_ever)));
        expect_elapsed(outer);
        assert!(inner.is_none(), "the inner one has ended first, at the same instant");
    });
}

#[test]
fn deadline_in_the_past_within_one_in_the_future_ends_the_inner_call() {
    everywhere(|_| {
        let past = time::now();
        let outer = time::timeout(HOUR, || {
            let inner = expect_elapsed(time::deadline(past, for_ever));
            assert_eq!(inner.reason().deadline(), Some(past));
            thread::yield_now();
            1
        });
        assert_eq!(outer.unwrap(), 1);
    });
}

#[test]
fn outer_deadline_ends_what_follows_the_inner_one() {
    everywhere(|_| {
        let (mut inner, mut after) = (false, false);
        let outer = time::timeout(SOON * 2, || {
            expect_elapsed(time::timeout(SOON, for_ever));
            inner = true;
            thread::sleep(HOUR);
            after = true;
        });
        expect_elapsed(outer);
        assert!(inner && !after);
    });
}

#[test]
fn both_deadlines_that_have_passed_end_their_calls_in_turn() {
    everywhere(|_| {
        // The nearer one lies within, and both are over before the first wait.
        let mut inner = None;
        let outer = time::timeout(SOON * 2, || {
            let outer_end = time::current_deadline().unwrap();
            inner = Some(time::timeout(SOON, || {
                while time::now() < outer_end {
                    pass_time();
                }
                for_ever();
            }));
            thread::yield_now();
            unreachable!("a wait behind its deadline has returned");
        });
        expect_elapsed(outer);
        expect_elapsed(inner.expect("the inner call has ended by itself"));
    });
}

#[test]
fn caught_inner_unwinding_is_followed_by_the_outer_one() {
    everywhere(|_| {
        let (mut caught, mut passed) = (0, false);
        let outer = time::timeout(SOON, || {
            let inner = time::timeout(HOUR, || {
                for _ in 0..3 {
                    let payload = expect_unwound(for_ever);
                    assert!(payload.is::<Cancelled>());
                    caught += 1;
                }
                "the value of code that catches everything"
            });
            assert!(inner.is_ok());
            passed = true;
            thread::yield_now();
            unreachable!("a wait behind its deadline has returned");
        });
        expect_elapsed(outer);
        assert!(passed);
        assert_eq!(caught, 3);
    });
}

#[test]
fn timeouts_in_a_loop_are_each_their_own() {
    everywhere(|_| {
        let mut ended = 0;
        for round in 0..100_u32 {
            // The same frame again and again, and so the same place in memory.
            let outcome = time::timeout(Duration::from_micros(u64::from(round % 2) * 50), || {
                if round % 3 == 0 {
                    return;
                }
                for_ever();
            });
            ended += u32::from(outcome.is_err());
        }
        assert_eq!(ended, 66);
    });
}

fn descend(depth: u32, deepest: &AtomicUsize, timeout: impl Fn(u32) -> Duration + Copy) -> u32 {
    if depth == 0 {
        deepest.fetch_add(1, SeqCst);
        for_ever();
    }
    let outcome = time::timeout(timeout(depth), || descend(depth - 1, deepest, timeout));
    outcome.unwrap_or(0) + 1
}

#[test]
fn thousand_nested_timeouts_end_where_the_nearest_one_is() {
    everywhere(|_| {
        thread::with_stack(8 << 20, || {
            let deepest = AtomicUsize::new(0);
            // Level 1 is the innermost: each level counts one when it returns.
            assert_eq!(descend(1000, &deepest, |_| SOON * 4), 1, "the outermost is the first");
            let from_within = |depth| if depth == 1 { SOON } else { HOUR };
            assert_eq!(descend(1000, &deepest, from_within), 1000);
            let half = |depth| if depth == 500 { SOON } else { HOUR + SOON * (1000 - depth) };
            assert_eq!(descend(1000, &deepest, half), 501);
            // A slow machine may be late before it is at the bottom.
            assert!(deepest.load(SeqCst) <= 3);
        })
        .unwrap();
    });
}

#[test]
fn destructors_run_and_may_wait_and_are_not_cut_off() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        let seen = AtomicUsize::new(0);
        let outcome = time::timeout(SOON, || {
            let _last = OnDrop(|| {
                thread::yield_now();
                seen.fetch_add(1, SeqCst);
            });
            let _longer_than_the_deadline = OnDrop(|| {
                assert!(thread::panicking());
                thread::sleep(SOON * 2);
                *lock.lock().unwrap() += 1;
                seen.fetch_add(1, SeqCst);
            });
            let _joins = OnDrop(|| {
                let sum = thread::scope(|scope| {
                    let child = scope.spawn(|| {
                        thread::sleep(SOON);
                        thread::yield_now();
                        i32::from(!thread::cancelled())
                    });
                    child.join().unwrap()
                });
                let other = thread::spawn(|| {
                    thread::yield_now();
                    2
                });
                assert_eq!(sum + other.join().unwrap(), 3, "the deadline has reached them");
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
                seen.fetch_add(one + two, SeqCst);
            });
            for_ever();
        });
        expect_elapsed(outcome);
        assert_eq!(seen.load(SeqCst), 5);
        assert_eq!(*lock.lock().unwrap(), 1);
    });
}

#[test]
fn timeout_in_a_destructor_while_unwinding_calls_its_closure_and_ends_nothing() {
    everywhere(|_| {
        let ran = AtomicBool::new(false);
        let outcome = time::timeout(SOON, || {
            let _bounded = OnDrop(|| {
                let value = time::timeout(Duration::ZERO, || {
                    thread::sleep(SOON);
                    thread::yield_now();
                    5
                });
                assert_eq!(value.unwrap(), 5);
                let caught = catch_unwind(|| time::timeout(Duration::ZERO, thread::yield_now));
                assert!(matches!(caught, Ok(Ok(()))));
                ran.store(true, SeqCst);
            });
            for_ever();
        });
        expect_elapsed(outcome);
        assert!(ran.load(SeqCst));
        assert_eq!(time::current_deadline(), None);
    });
}

#[test]
fn timeout_in_a_destructor_ends_the_threads_that_were_opened_in_it() {
    everywhere(|_| {
        let seen = AtomicUsize::new(0);
        let outcome = time::timeout(SOON, || {
            let _bounded = OnDrop(|| {
                let begun = time::now();
                let cleaned = time::timeout(SOON, || {
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            seen.fetch_add(1, SeqCst);
                            thread::sleep(HOUR);
                        });
                        let child = scope.spawn(|| {
                            seen.fetch_add(1, SeqCst);
                            thread::scope(|inner| drop(inner.spawn(|| thread::sleep(HOUR))));
                        });
                        assert!(child.join().unwrap_err().is::<Cancelled>());
                    });
                });
                // The destructor itself is not cut off, so it has seen all of it.
                assert!(cleaned.is_ok() && time::now() - begun >= SOON);
            });
            for_ever();
        });
        expect_elapsed(outcome);
        assert!(seen.load(SeqCst) <= 2);
    });
}

#[test]
fn timeout_in_a_destructor_of_a_panicking_thread_ends_nothing() {
    everywhere(|_| {
        let ran = AtomicBool::new(false);
        let payload = expect_unwound(|| {
            let _bounded = OnDrop(|| {
                let value = time::timeout(Duration::ZERO, || {
                    thread::sleep(SOON);
                    5
                });
                assert_eq!(value.unwrap(), 5);
                ran.store(true, SeqCst);
            });
            resume_unwind(Box::new("a panic"));
        });
        assert_eq!(text_of(&*payload), "a panic");
        assert!(ran.load(SeqCst));
        expect_elapsed(time::timeout(SOON, for_ever));
    });
}

#[test]
fn timeout_in_an_ordinary_destructor_ends_its_wait() {
    everywhere(|_| {
        let ended = AtomicBool::new(false);
        drop(OnDrop(|| {
            expect_elapsed(time::timeout(SOON, for_ever));
            ended.store(true, SeqCst);
        }));
        assert!(ended.load(SeqCst));
    });
}

#[test]
fn elapsed_tells_duration_site_and_waiting_call() {
    everywhere(|shape| {
        let line = line!() + 1;
        let elapsed = expect_elapsed(time::timeout(SOON, || thread::sleep(HOUR)));
        let text = elapsed.to_string();
        assert!(text.contains("the deadline of 5ms"), "{text}");
        assert!(text.contains(&format!("{}:{line}:", file!())), "{text}");
        let reason = elapsed.reason();
        assert_eq!(reason.kind(), thread::CancelKind::Deadline);
        assert_eq!(reason.location().unwrap().line(), line);
        assert!(reason.thread_number().is_some() && reason.message().is_none());
        // On the mappings the deadline may have passed before the sleep began.
        if elapsed.location().is_some() || matches!(shape, sylvan_workspace::Shape::Seeded(_)) {
            assert_eq!(elapsed.location().unwrap().line(), line);
            assert!(text.contains("sleeping at "), "{text}");
        }
        assert_eq!(format!("{elapsed:?}"), format!("Elapsed({elapsed})"));
        let source: &dyn std::error::Error = &elapsed;
        assert_eq!(source.to_string(), elapsed.clone().to_string());
    });
}

#[test]
fn elapsed_of_an_instant_tells_it_and_the_thread_that_set_it() {
    everywhere(|_| {
        let thread = thread::Builder::new().name("patient".to_owned()).spawn(|| {
            let end = time::now() + SOON;
            let elapsed = expect_elapsed(time::deadline(end, for_ever));
            assert_eq!(elapsed.reason().deadline(), Some(end));
            assert_eq!(elapsed.reason().thread_name(), Some("patient"));
            elapsed.to_string()
        });
        let text = thread.unwrap().join().unwrap();
        assert!(text.starts_with("the deadline, set by thread 'patient' ("), "{text}");
    });
}

#[test]
fn cut_off_before_any_wait_names_no_call() {
    everywhere(|_| {
        let elapsed = expect_elapsed(time::timeout(Duration::ZERO, thread::yield_now));
        assert!(elapsed.location().is_none(), "{elapsed}");
        assert!(!elapsed.to_string().contains(" while "), "{elapsed}");
    });
}
