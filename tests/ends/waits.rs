//! Every kind of wait is cut off by every kind of deadline, and what it waited for is whole: locks
//! are free and unpoisoned, permits passed on, messages with one side.
//!
//! A row of the table waits for something in the way that it is given, and then uses it.
#![forbid(unsafe_code)]

mod at_once;
mod channels;
mod half_done;
mod locks;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::channel;
use sylvan::sync::Mutex;
use sylvan::thread::{self, CancelKind, Cancelled};
use sylvan::time::{self, Duration};
use sylvan_workspace::{OnDrop, Shape, everywhere, settle, text_of, with_every_runtime};

use crate::{HOUR, SOON, expect_elapsed, pass_time};

/// How a wait comes to be cut off.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By the timeout right around it.
    Timeout,
    /// By a deadline around it, with one behind it that is further off.
    Deadline,
    /// By a deadline around another one.
    Outer,
    /// By a deadline that has passed.
    Past,
    /// By a deadline within a shield, which itself lies in a deadline that has passed.
    InShield,
    /// As a child of a scope within the deadline.
    Child,
    /// As the first arm of a `join` within the deadline.
    Arm,
    /// As the second arm, which may run anywhere.
    SecondArm,
}

const WAYS: [Way; 8] = [
    Way::Timeout,
    Way::Deadline,
    Way::Outer,
    Way::Past,
    Way::InShield,
    Way::Child,
    Way::Arm,
    Way::SecondArm,
];

impl Way {
    /// Runs `wait`, which is to be cut off.
    #[track_caller]
    fn cut<T>(self, wait: impl FnOnce() -> T + Send) {
        let (returned, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
        let f = || {
            calls.fetch_add(1, SeqCst);
            let _ = wait();
            returned.store(true, SeqCst);
        };
        let elapsed = expect_elapsed(match self {
            Way::Timeout => time::timeout(SOON, f),
            Way::Deadline => time::timeout(HOUR, || time::deadline(time::now() + SOON, f)).unwrap(),
            Way::Outer => time::timeout(SOON, || drop(time::timeout(HOUR, f))),
            Way::Past => time::deadline(time::now(), f),
            Way::InShield => time::timeout(Duration::ZERO, || {
                let inner = thread::shield(|| time::timeout(SOON, f));
                assert!(thread::cancelled());
                inner
            })
            .unwrap(),
            Way::Child => time::timeout(SOON, || {
                thread::scope(|scope| {
                    let child = scope.spawn(f);
                    // Unwound, for the end of the child is its own end.
                    child.join().unwrap();
                });
            }),
            Way::Arm => time::timeout(SOON, || sylvan::join(f, || ()).0),
            Way::SecondArm => time::timeout(SOON, || sylvan::join(|| (), f).1),
        });
        assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
        assert!(!returned.load(SeqCst), "the wait has returned {self:?}");
        // A child or an arm may find that the time is over before it has begun.
        let may_be_unstarted = matches!(self, Way::Child | Way::Arm | Way::SecondArm);
        assert!(may_be_unstarted || calls.load(SeqCst) == 1, "{self:?}");
        assert!(!thread::cancelled() && !thread::panicking(), "{self:?}");
        assert_eq!(time::current_deadline(), None);
    }
}

/// Something to wait for, in the way that is given, and to be used afterwards.
type Row = (&'static str, fn(Way));

/// Does `during` while another thread has what `take` gives.
fn while_held<G>(take: impl FnOnce() -> G + Send, during: impl FnOnce()) {
    let (held, is_held) = channel::bounded(1);
    let (release, released) = channel::bounded::<()>(0);
    thread::scope(|scope| {
        scope.spawn(move || {
            let guard = take();
            held.send(()).unwrap();
            assert!(released.recv().is_err());
            drop(guard);
        });
        is_held.recv().unwrap();
        during();
        drop(release);
    });
}

/// A second thread comes to the same wait after the first, which is cut off, and gets `give`.
fn next_one_is_served(way: Way, wait: impl Fn() + Sync, give: impl FnOnce()) {
    let cut = AtomicBool::new(false);
    thread::scope(|scope| {
        let behind = scope.spawn(|| {
            while !cut.load(SeqCst) {
                thread::yield_now();
                pass_time();
            }
            wait();
        });
        // Should it fail, the scope has to end all the same.
        let result = catch_unwind(AssertUnwindSafe(|| way.cut(&wait)));
        cut.store(true, SeqCst);
        settle();
        give();
        behind.join().unwrap();
        if let Err(payload) = result {
            resume_unwind(payload);
        }
    });
}

const THREADS: [Row; 10] = [
    ("park", |way| {
        way.cut(|| {
            loop {
                thread::park();
            }
        });
        thread::current().unpark();
        thread::park();
    }),
    ("park with a timeout", |way| {
        way.cut(|| {
            loop {
                thread::park_timeout(HOUR);
            }
        });
    }),
    ("sleep", |way| way.cut(|| thread::sleep(HOUR))),
    ("sleep for ever", |way| way.cut(|| thread::sleep(Duration::MAX))),
    ("sleep until", |way| way.cut(|| thread::sleep_until(time::now() + HOUR))),
    ("short sleeps", |way| {
        way.cut(|| {
            loop {
                thread::sleep(Duration::from_micros(10));
            }
        });
    }),
    ("yield", |way| {
        way.cut(|| {
            loop {
                thread::yield_now();
                pass_time();
            }
        });
    }),
    ("join", |way| {
        let (end, ends) = channel::bounded::<()>(0);
        let joined = thread::spawn(move || ends.recv());
        way.cut(move || joined.join().unwrap());
        // It runs on.
        settle();
        assert!(end.send(()).is_ok());
    }),
    ("join of a scope's thread", |way| {
        let (end, ends) = channel::bounded::<()>(0);
        thread::scope(|scope| {
            let joined = scope.spawn(move || ends.recv());
            way.cut(move || joined.join().unwrap());
            settle();
            assert!(end.send(()).is_ok());
        });
    }),
    ("end of a scope", |way| {
        way.cut(|| {
            thread::scope(|scope| {
                scope.spawn(|| thread::sleep(HOUR));
                scope.spawn(|| thread::scope(|inner| drop(inner.spawn(|| thread::sleep(HOUR)))));
            });
        });
    }),
];

fn row_in_all_ways(&(name, row): &Row) {
    for way in WAYS {
        if let Err(payload) = catch_unwind(|| row(way)) {
            panic!("{name}, {way:?}: {}", text_of(&*payload));
        }
    }
}

fn in_all_ways(rows: &[Row]) {
    everywhere(|_| rows.iter().for_each(row_in_all_ways));
}

#[test]
fn waits_of_threads_are_cut_off() {
    in_all_ways(&THREADS);
}

#[test]
fn waits_for_locks_are_cut_off_and_leave_them_free_and_unpoisoned() {
    in_all_ways(&locks::LOCKS);
}

#[test]
fn waits_for_permits_and_others_are_cut_off_and_what_they_were_for_goes_on() {
    in_all_ways(&locks::SYNC);
}

#[test]
fn waits_at_channels_are_cut_off_and_no_message_is_lost() {
    in_all_ways(&channels::CHANNELS);
}

#[test]
fn waits_for_futures_are_cut_off_and_drop_them() {
    in_all_ways(&channels::FUTURES);
}

#[test]
fn join_of_a_local_thread_is_cut_off() {
    everywhere(|shape| {
        if !shape.is_green() {
            return;
        }
        let (end, ends) = channel::bounded::<()>(0);
        let joined = thread::spawn_local(move || ends.recv());
        expect_elapsed(time::timeout(SOON, || joined.join().unwrap()));
        settle();
        assert!(end.send(()).is_ok());
    });
}

#[test]
fn run_of_the_own_runtime_is_cut_off() {
    with_every_runtime(|_, runtime| {
        runtime.run(|| {
            let elapsed = time::timeout(SOON, || runtime.run(|| thread::sleep(HOUR)));
            expect_elapsed(elapsed);
            thread::yield_now();
        });
    });
}

#[test]
fn run_from_outside_of_the_runtime_is_cut_off() {
    with_every_runtime(|shape, runtime| {
        if matches!(shape, Shape::Seeded(_)) {
            // The caller and the run have different clocks.
            return;
        }
        let dropped = AtomicBool::new(false);
        let elapsed = expect_elapsed(time::timeout(SOON, || {
            runtime.run(|| {
                let _drop = OnDrop(|| dropped.store(true, SeqCst));
                assert!(time::current_deadline().is_some());
                thread::sleep(HOUR);
            });
        }));
        assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
        assert_eq!(runtime.run(|| 3), 3);
    });
}

#[test]
fn join_from_outside_of_the_runtime_is_cut_off() {
    with_every_runtime(|shape, runtime| {
        if matches!(shape, Shape::Seeded(_)) {
            // As above.
            return;
        }
        let (end, ends) = channel::bounded::<()>(0);
        // Bounded, for the test to fail and not to hang if it is not cut off.
        let joined = runtime.handle().spawn(move || ends.recv_timeout(Duration::from_secs(5)));
        let seen = time::timeout(SOON, || joined.join());
        drop(end);
        expect_elapsed(seen);
    });
}

#[test]
fn reason_is_the_same_for_every_child_that_is_cut_off() {
    everywhere(|_| {
        let line = AtomicUsize::new(0);
        let texts = Mutex::new(Vec::new());
        let elapsed = expect_elapsed(time::timeout(SOON, || {
            line.store(line!() as usize - 1, SeqCst);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let payload = catch_unwind(|| thread::sleep(HOUR)).unwrap_err();
                        let cancelled = payload.downcast::<Cancelled>().expect("no panic");
                        thread::shield(|| {
                            texts.lock().unwrap().push(cancelled.reason().to_string());
                        });
                    });
                }
            });
            thread::yield_now();
        }));
        let texts = texts.into_inner().unwrap();
        for text in &texts {
            assert_eq!(*text, elapsed.reason().to_string());
            assert!(text.contains(&format!("{}:{}:", file!(), line.load(SeqCst))), "{text}");
        }
    });
}
