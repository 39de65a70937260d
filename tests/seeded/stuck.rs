//! A run in which nothing can move any more ends at once, with the list of who waits for what.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use sylvan::testing::{self, Plan, Strategy};
use sylvan::{Mapping, thread};
use sylvan_workspace::{in_child, text_of};

/// The text with which a run of `f` fails.
fn failure(plan: &Plan, seed: u64, f: impl FnOnce() + Send) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| plan.run(seed, f))).expect_err("it must fail");
    text_of(&*payload).to_owned()
}

#[test]
fn threads_that_wait_for_each_other_are_named_with_their_reasons() {
    for strategy in [Strategy::Random, Strategy::Pct { depth: 3 }] {
        for seed in 0..20 {
            let plan = Plan::new().strategy(strategy);
            let text = failure(&plan, seed, || {
                let parked = thread::Builder::new().name("parked".to_owned());
                let parked = parked.spawn(thread::park).unwrap();
                let joiner = thread::Builder::new().name("joiner".to_owned());
                joiner.spawn(move || parked.join()).unwrap().join().unwrap().unwrap();
            });
            assert!(
                text.contains(&format!(
                    "nothing can move any more in this seeded run (seed {seed}"
                )),
                "{text}"
            );
            assert!(
                text.contains("'parked' (number 1, spawned at tests/seeded/stuck.rs:"),
                "{text}"
            );
            assert!(text.contains("is waiting: parked at"), "{text}");
            assert!(text.contains("'joiner' (number 2,"), "{text}");
            assert!(text.contains("joining a thread at tests/seeded/stuck.rs:"), "{text}");
            assert!(text.contains("for thread number 1"), "{text}");
        }
    }
}

#[test]
fn threads_are_unwound_before_the_run_ends() {
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            // It may wait, and is not cancelled again.
            thread::sleep(Duration::from_secs(5));
            self.0.store(true, SeqCst);
        }
    }
    for seed in 0..20 {
        let ended = AtomicBool::new(false);
        failure(&Plan::new(), seed, || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _ends = Ends(&ended);
                    thread::park();
                });
            });
        });
        assert!(ended.load(SeqCst));
    }
}

#[test]
fn catching_the_cancellation_does_not_save_the_run() {
    let text = failure(&Plan::new(), 1, || {
        let _ = catch_unwind(thread::park);
    });
    assert!(text.starts_with("nothing can move any more"), "{text}");
}

#[test]
fn a_sleeper_keeps_the_run_going_and_an_endless_one_does_not() {
    testing::run_seeded(1, || {
        let main = thread::current();
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(1_000_000));
            main.unpark();
        });
        thread::park();
    });
    failure(&Plan::new(), 1, || {
        drop(thread::spawn(|| thread::sleep(Duration::MAX)));
        thread::park();
    });
}

#[test]
fn the_real_clock_makes_no_difference() {
    failure(&Plan::new().virtual_time(false), 1, || {
        thread::sleep(Duration::from_millis(1));
        thread::park();
    });
}

#[test]
fn threads_that_are_left_when_the_body_returns_are_cancelled() {
    for seed in 0..20 {
        let kept = Arc::new(());
        let left = kept.clone();
        testing::run_seeded(seed, move || {
            drop(thread::spawn(move || {
                let _left = left;
                thread::park();
            }));
            thread::yield_now();
        });
        assert_eq!(Arc::strong_count(&kept), 1, "its closure or its stack is gone");
    }
}

#[test]
fn join_outside_of_run_fails_as_well() {
    let runtime = Plan::new().builder(1).build().unwrap();
    assert_eq!(runtime.config().mapping, Mapping::ManyToOne);
    assert_eq!(runtime.config().seed, Some(1));
    let parked = runtime.handle().spawn(thread::park);
    let payload = catch_unwind(AssertUnwindSafe(|| parked.join())).expect_err("it must fail");
    assert!(text_of(&*payload).starts_with("nothing can move any more"));
}

#[test]
fn what_cannot_be_cancelled_aborts_with_the_list() {
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            // A destructor during an unwinding is not cancelled, and nobody will unpark it.
            thread::park();
        }
    }
    let child = in_child("stuck::what_cannot_be_cancelled_aborts_with_the_list", &[], || {
        testing::run_seeded(1, || {
            let _waits = Waits;
            thread::park();
        });
    });
    assert!(!child.status.success());
    assert!(child.stderr.contains("nothing can move any more"), "{}", child.stderr);
    assert!(child.stderr.contains("parked at tests/seeded/stuck.rs"), "{}", child.stderr);
}
