//! Several ends at once: of those that are due the outermost comes, for what lies within ends with
//! it.
//!
//! To have two due before either is delivered, the thread waits for both in a shield.
#![forbid(unsafe_code)]

use std::sync::Mutex;

use sylvan::sync::Event;
use sylvan::thread::{self, CancelKind, Cancelled};
use sylvan::time::{self, Instant};
use sylvan_workspace::{everywhere, until};

use crate::staging::Unreached;
use crate::{SOON, expect_elapsed, pass_time};

/// Lets the clock come to `end`, and cuts nobody off meanwhile.
fn outlast(end: Instant) {
    while time::now() < end {
        pass_time();
    }
}

#[test]
fn deadline_around_a_failed_group_comes_before_its_error() {
    everywhere(|_| {
        let end = time::now() + SOON;
        let outcome = time::deadline(end, || {
            let failed: Result<(), u32> = thread::group(|group| {
                let failing = group.spawn(|| Err::<(), _>(7));
                thread::shield(|| {
                    // It fails, or is not begun any more: the deadline is its, too.
                    until(|| failing.is_finished());
                    outlast(end);
                });
                thread::yield_now();
                unreachable!("both are due");
            });
            panic!("the group has given {failed:?}");
        });
        assert_eq!(expect_elapsed(outcome).reason().deadline(), Some(end));
    });
}

#[test]
fn error_of_a_group_comes_before_a_deadline_within() {
    everywhere(|_| {
        let unreached = Unreached::default();
        let failed: Result<(), u32> = thread::group(|group| {
            let failing = group.spawn(|| Err::<(), _>(7));
            let end = time::now() + SOON;
            let _ = time::deadline(end, || {
                thread::shield(|| {
                    until(|| failing.is_finished());
                    outlast(end);
                });
                thread::yield_now();
            });
            unreached.reach();
            Ok(())
        });
        assert_eq!(failed, Err(7));
        unreached.expect();
    });
}

#[test]
fn error_of_the_outer_of_two_groups_comes_first() {
    everywhere(|_| {
        let unreached = Unreached::default();
        let failed: Result<(), u32> = thread::group(|outer| {
            let _: Result<(), u32> = thread::group(|inner| {
                let failing = [outer.spawn(|| Err::<(), _>(1)), inner.spawn(|| Err(2))];
                thread::shield(|| until(|| failing.iter().all(thread::GroupHandle::is_finished)));
                thread::yield_now();
                unreachable!("both have failed");
            });
            unreached.reach();
            Ok(())
        });
        assert_eq!(failed, Err(1));
        unreached.expect();
    });
}

#[test]
fn cancellation_of_the_thread_comes_before_everything_in_it() {
    everywhere(|_| {
        let seen = Mutex::new(None);
        let end = time::now() + SOON;
        let (in_shield, go) = (Event::new(), Event::new());
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                let outcome = time::deadline(end, || {
                    thread::shield(|| {
                        in_shield.set();
                        go.wait();
                        outlast(end);
                    });
                    thread::yield_now();
                });
                *seen.lock().unwrap() = Some(outcome);
            });
            in_shield.wait();
            handle.cancel_with("before it is over").unwrap();
            go.set();
            let payload = handle.join().unwrap_err();
            let cancelled = payload.downcast::<Cancelled>().expect("it has not panicked");
            assert_eq!(cancelled.reason().kind(), CancelKind::Requested);
        });
        assert!(seen.into_inner().unwrap().is_none(), "the deadline took what was the thread's");
    });
}
