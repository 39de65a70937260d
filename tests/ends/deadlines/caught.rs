//! Code that catches the unwinding of a deadline: it is cut off at each of its waits, and what it
//! keeps of the unwinding changes nothing that comes later.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use sylvan::sync::Mutex;
use sylvan::thread::{self, Cancelled};
use sylvan::time::{self, Duration, Elapsed};
use sylvan_workspace::everywhere;

use super::for_ever;
use crate::{HOUR, SOON, expect_elapsed, expect_unwound};

#[test]
fn code_that_catches_the_unwinding_is_cut_off_at_each_wait() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        let outcome = time::timeout(SOON, || {
            let mut caught = 0;
            let waits: [fn(); 5] = [
                thread::park,
                || thread::sleep(HOUR),
                thread::yield_now,
                || drop(thread::spawn(|| ()).join()),
                || drop(time::timeout(HOUR, thread::park)),
            ];
            expect_unwound(for_ever);
            for wait in waits {
                let payload = expect_unwound(wait);
                let cancelled = payload.downcast::<Cancelled>().expect("no panic");
                assert_eq!(cancelled.reason().kind(), thread::CancelKind::Deadline);
                assert!(thread::cancelled() && !thread::panicking());
                caught += 1;
            }
            expect_unwound(|| drop(lock.lock()));
            assert!(!lock.is_poisoned());
            caught
        });
        assert_eq!(outcome.unwrap(), 5);
        assert_eq!(*lock.lock().unwrap(), 0);
    });
}

#[test]
fn payload_that_was_caught_and_is_resumed_within_ends_the_call() {
    everywhere(|_| {
        let outcome = time::timeout(SOON, || -> u32 {
            let payload = expect_unwound(for_ever);
            resume_unwind(payload)
        });
        let elapsed = expect_elapsed(outcome);
        assert!(elapsed.location().is_some() || !elapsed.to_string().contains("parked"));
    });
}

/// What unwinds for a deadline of its own, kept beyond it.
fn kept_payload() -> Box<dyn std::any::Any + Send> {
    time::timeout(SOON, || expect_unwound(for_ever)).expect("it has caught what unwound it")
}

#[test]
fn payload_that_was_kept_is_not_taken_for_the_end_of_another_call() {
    everywhere(|_| {
        let payload = kept_payload();
        let again = expect_unwound(|| time::timeout(HOUR, || resume_unwind(payload)));
        let cancelled = again.downcast::<Cancelled>().expect("it is what it was");
        let kept = expect_unwound(|| {
            time::timeout(HOUR, || time::timeout(Duration::ZERO, || resume_unwind(cancelled)))
        });
        assert!(kept.is::<Cancelled>());
        assert!(!thread::cancelled());
        thread::yield_now();
    });
}

/// The frames are the same, and so is the place of the two regions.
fn at_the_same_place<T>(duration: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    time::timeout(duration, f)
}

#[test]
fn payload_that_was_kept_is_told_from_that_of_a_call_at_the_same_place() {
    everywhere(|_| {
        let mut kept = None;
        let mut outcomes = Vec::new();
        for duration in [SOON, SOON * 2] {
            let before = kept.take();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                at_the_same_place(duration, || {
                    let own = expect_unwound(for_ever);
                    match before {
                        None => kept = Some(own),
                        Some(before) => resume_unwind(before),
                    }
                })
            }));
            outcomes.push(outcome);
        }
        let second = outcomes.pop().unwrap();
        let payload = second.expect_err("the first call's payload has ended the second call");
        let cancelled = payload.downcast::<Cancelled>().expect("it is what it was");
        let text = cancelled.reason().to_string();
        assert!(text.contains(&format!("{SOON:?}")), "{text}");
    });
}

#[test]
fn payload_that_is_resumed_outside_ends_the_thread_as_a_cancellation() {
    everywhere(|_| {
        let thread = thread::spawn(|| resume_unwind(kept_payload()));
        let payload = thread.join().map(|(): ()| ()).unwrap_err();
        let cancelled = payload.downcast::<Cancelled>().expect("no panic");
        assert_eq!(cancelled.reason().kind(), thread::CancelKind::Deadline);
    });
}

#[test]
fn payload_that_was_kept_does_not_poison_what_its_drop_meets_in_the_next_unwinding() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        let outcome = time::timeout(SOON, || {
            let _guard = lock.lock().unwrap();
            // Dropped by the second unwinding, before the guard is.
            let _kept = expect_unwound(for_ever);
            for_ever();
        });
        expect_elapsed(outcome);
        assert!(!lock.is_poisoned(), "no panic has happened");
    });
}

#[test]
fn panic_poisons_although_a_payload_is_kept() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        let _kept = kept_payload();
        expect_unwound(|| {
            let _guard = lock.lock().unwrap();
            resume_unwind(Box::new("a panic"));
        });
        assert!(lock.is_poisoned(), "a panic has happened");
    });
}

#[test]
fn panic_poisons_although_the_payload_was_given_away() {
    everywhere(|_| {
        let payload = kept_payload();
        thread::spawn(move || drop(payload)).join().unwrap();
        let lock = Mutex::new(0);
        expect_unwound(|| {
            let _guard = lock.lock().unwrap();
            resume_unwind(Box::new("a panic"));
        });
        assert!(lock.is_poisoned(), "a panic has happened");
    });
}

#[test]
fn payloads_that_are_kept_over_many_others_poison_nothing() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        for round in 0..600 {
            let outcome = time::timeout(Duration::ZERO, || {
                let guard = lock.try_lock().expect("it is free and not poisoned");
                // So that in the end each payload is one that is kept, and one that is not.
                if round % 3 == 0 {
                    drop(expect_unwound(thread::yield_now));
                }
                let _kept = [(); 2].map(|()| expect_unwound(thread::yield_now));
                let _guard = guard;
                let _kept_longer = expect_unwound(thread::yield_now);
                thread::yield_now();
            });
            expect_elapsed(outcome);
            assert!(!lock.is_poisoned(), "no panic has happened by round {round}");
        }
    });
}

#[test]
fn first_of_two_payloads_that_is_resumed_poisons_nothing() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        let outcome = time::timeout(SOON, || -> () {
            let _guard = lock.lock().unwrap();
            // As cleaning-up does that must go on whatever happens.
            let work = expect_unwound(for_ever);
            drop(expect_unwound(thread::yield_now));
            resume_unwind(work);
        });
        expect_elapsed(outcome);
        assert!(!lock.is_poisoned(), "no panic has happened");
    });
}
