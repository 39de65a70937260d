//! Deadlines where it is narrow: at the ends of time, in shields, on kernel threads and as these
//! end, across runtimes, beside a cancellation, and at the very instant of a wake.
#![forbid(unsafe_code)]

mod destructors;
mod meetings;
mod model;
mod racing;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use sylvan::channel;
use sylvan::sync::Mutex;
use sylvan::thread::{self, CancelKind, Cancelled, JoinHandle};
use sylvan::time::{self, Duration};
use sylvan::{Mapping, Runtime};
use sylvan_workspace::{
    Shape, everywhere, in_every_runtime, on_foreign_thread, until, with_every_runtime,
};

use crate::{HOUR, SOON, expect_elapsed, expect_unwound, outlast_deadline};

#[test]
fn durations_and_instants_beyond_every_clock_are_no_limit() {
    everywhere(|_| {
        let lock = Mutex::new(0);
        let waits = || {
            thread::sleep(Duration::from_micros(10));
            thread::park_timeout(Duration::from_micros(10));
            *lock.lock().unwrap() += 1;
            let (_sender, receiver) = channel::bounded::<()>(0);
            assert!(receiver.recv_timeout(Duration::from_micros(10)).is_err());
            thread::scope(|scope| scope.spawn(thread::yield_now).join().unwrap());
            thread::cancelled()
        };
        let mut count = 0;
        for seconds in [1 << 20, 1 << 33, 1 << 40, 1 << 60, u64::MAX] {
            let duration = Duration::from_secs(seconds);
            assert!(!time::timeout(duration, waits).unwrap(), "{duration:?}");
            count += 1;
            if let Some(instant) = time::now().checked_add(duration) {
                assert!(!time::deadline(instant, waits).unwrap(), "{duration:?}");
                count += 1;
            }
        }
        assert!(!time::timeout(Duration::MAX, waits).unwrap());
        assert_eq!(*lock.lock().unwrap(), count + 1);
        // Within it, others end as ever.
        time::timeout(Duration::MAX, || {
            assert_eq!(time::current_deadline(), None);
            expect_elapsed(time::timeout(SOON, || thread::sleep(Duration::MAX)));
        })
        .unwrap();
    });
}

#[test]
fn instants_long_past_cut_off_the_first_wait() {
    everywhere(|_| {
        for ago in [Duration::from_nanos(1), SOON, HOUR * 24 * 365 * 100] {
            let Some(instant) = time::now().checked_sub(ago) else { continue };
            let mut reached = false;
            let outcome = time::deadline(instant, || {
                reached = true;
                assert_eq!(time::current_deadline(), Some(instant));
                thread::yield_now();
                unreachable!("a wait behind its deadline has returned");
            });
            let elapsed = expect_elapsed(outcome.map(|(): ()| ()));
            assert_eq!(elapsed.reason().deadline(), Some(instant));
            assert!(reached);
        }
    });
}

#[test]
fn shield_keeps_a_deadline_away_until_it_ends() {
    everywhere(|_| {
        let mut stages = Vec::new();
        let outcome = time::timeout(SOON, || {
            outlast_deadline();
            let value = thread::shield(|| {
                assert!(!thread::cancelled());
                assert_eq!(time::current_deadline(), None);
                thread::sleep(SOON);
                thread::yield_now();
                3
            });
            stages.push(value);
            assert!(thread::cancelled());
            thread::yield_now();
            stages.push(4);
        });
        expect_elapsed(outcome);
        assert_eq!(stages, [3]);
    });
}

#[test]
fn deadline_that_passes_in_a_shield_ends_the_first_wait_behind_it() {
    everywhere(|_| {
        let mut behind = false;
        expect_elapsed(time::timeout(SOON, || {
            thread::shield(|| thread::sleep(SOON * 2));
            // No call that waits: so far it goes.
            behind = true;
            thread::sleep(Duration::ZERO);
            unreachable!("a wait behind its deadline has returned");
        }));
        assert!(behind);
    });
}

#[test]
fn shields_and_timeouts_within_each_other_count_from_the_innermost_shield() {
    everywhere(|_| {
        let trace = Mutex::new(Vec::new());
        let note = |what| thread::shield(|| trace.lock().unwrap().push(what));
        // A shield in a timeout in a shield in a timeout.
        expect_elapsed(time::timeout(SOON, || {
            thread::shield(|| {
                expect_elapsed(time::timeout(SOON * 2, || {
                    thread::shield(|| thread::sleep(SOON * 3));
                    note("innermost shield");
                    thread::yield_now();
                    note("never");
                }));
                note("inner timeout");
                thread::yield_now();
                // A nearer one that comes first within.
                expect_elapsed(time::timeout(SOON, || thread::sleep(HOUR)));
                assert!(time::timeout(HOUR, thread::yield_now).is_ok());
                note("outer shield");
            });
            thread::yield_now();
            note("never");
        }));
        assert_eq!(*trace.lock().unwrap(), ["innermost shield", "inner timeout", "outer shield"]);
    });
}

#[test]
fn shield_that_unwinds_by_a_panic_or_a_cut_is_down_afterwards() {
    everywhere(|_| {
        expect_elapsed(time::timeout(SOON, || {
            expect_unwound(|| thread::shield(|| std::panic::resume_unwind(Box::new(0))));
            assert!(time::current_deadline().is_some());
            expect_elapsed(thread::shield(|| time::timeout(Duration::ZERO, thread::yield_now)));
            assert!(time::current_deadline().is_some());
            thread::sleep(HOUR);
        }));
        assert_eq!(time::current_deadline(), None);
    });
}

#[test]
fn kernel_thread_of_no_runtime_is_cut_off_among_its_own() {
    on_foreign_thread(|| {
        let elapsed = expect_elapsed(time::timeout(SOON, thread::park));
        assert!(elapsed.reason().thread_number().is_some());
        let other = std::thread::spawn(|| {
            assert_eq!(time::current_deadline(), None);
            expect_elapsed(time::timeout(SOON, || thread::sleep(HOUR)))
        });
        let inner = time::timeout(HOUR, || other.join().unwrap());
        assert!(inner.unwrap().to_string().contains("5ms"));
    });
}

/// Uses deadlines when it is dropped, with the end of its kernel thread, and tells what came of it.
struct AtTheEnd(Arc<AtomicU32>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let begun = time::now();
        let value = time::timeout(HOUR, || 1);
        let nested = time::timeout(HOUR, || time::timeout(Duration::ZERO, thread::yield_now));
        // A bounded wait, for the test to fail and not to hang if it is not cut off.
        let cut = time::timeout(SOON, || thread::sleep(Duration::from_secs(5)));
        let waited = time::now() - begun >= SOON;
        let flags = [
            value.is_ok(),
            matches!(nested, Ok(Err(_))),
            cut.is_err(),
            waited,
            time::current_deadline().is_none(),
        ];
        let bits = flags.iter().fold(0, |bits, flag| bits << 1 | u32::from(*flag));
        self.0.store(0b10_0000 | bits, SeqCst);
    }
}

std::thread_local! {
    static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
}

/// What [`AtTheEnd`] tells of a kernel thread that has used sylvan before or after it was made.
fn told_at_the_end(used_first: bool) -> u32 {
    let told = Arc::new(AtomicU32::new(0));
    let inner = told.clone();
    let thread = std::thread::spawn(move || {
        if used_first {
            thread::yield_now();
        }
        LAST.with(|last| *last.borrow_mut() = Some(AtTheEnd(inner)));
        if !used_first {
            thread::yield_now();
        }
        expect_elapsed(time::timeout(Duration::ZERO, thread::yield_now));
    });
    thread.join().unwrap();
    told.load(SeqCst)
}

#[test]
fn timeout_in_the_destructor_of_a_std_thread_local_cuts_off() {
    for used_first in [true, false] {
        assert_eq!(told_at_the_end(used_first), 0b11_1111, "sylvan was used first: {used_first}");
    }
}

#[test]
fn deadline_goes_along_into_another_runtime_by_run_and_not_by_spawn() {
    with_every_runtime(|shape, runtime| {
        if matches!(shape, Shape::Seeded(_)) {
            // The two would have different clocks.
            return;
        }
        let other = Runtime::builder().mapping(Mapping::ManyToMany).workers(1).build().unwrap();
        let handle = other.handle();
        runtime.run(|| {
            let end = time::now() + HOUR;
            let seen = time::deadline(end, || other.run(time::current_deadline));
            assert_eq!(seen.unwrap(), Some(end));
            let elapsed = expect_elapsed(time::timeout(SOON, || {
                other.run(|| thread::scope(|scope| drop(scope.spawn(|| thread::sleep(HOUR)))));
                thread::yield_now();
            }));
            assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
            let (stop, stops) = channel::bounded::<()>(0);
            let far = handle.spawn(move || {
                let _ = stops.recv();
                time::current_deadline()
            });
            let mut far = Some(far);
            expect_elapsed(time::timeout(SOON, || far.take().unwrap().join().unwrap()));
            drop(stop);
            // A thread of the other that waits by its own deadline, woken from here.
            let (sender, receiver) = channel::bounded(0);
            let far = handle.spawn(move || time::timeout(HOUR, || receiver.recv().unwrap()));
            sender.send(9).unwrap();
            assert_eq!(far.join().unwrap().unwrap(), 9);
        });
    });
}

/// What ended the thread: a cancellation by `cancel`.
#[track_caller]
fn expect_requested<T>(handle: JoinHandle<T>) {
    let payload = handle.join().err().expect("a cancelled thread gives no value");
    let cancelled = payload.downcast::<Cancelled>().expect("no panic");
    assert_eq!(cancelled.reason().kind(), CancelKind::Requested);
}

#[test]
fn cancellation_and_passed_deadline_end_the_thread_by_the_cancellation() {
    everywhere(|_| {
        let (own, its) = channel::bounded::<JoinHandle<()>>(1);
        let (after, through) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (passed, past) = (after.clone(), through.clone());
        let handle = thread::spawn(move || {
            let handle: JoinHandle<()> = its.recv().unwrap();
            let outcome = time::timeout(Duration::ZERO, || {
                let payload = expect_unwound(thread::yield_now);
                assert!(payload.is::<Cancelled>());
                assert_eq!(thread::cancel_reason().unwrap().kind(), CancelKind::Deadline);
                handle.cancel_with("nobody asks any more").unwrap();
                assert_eq!(thread::cancel_reason().unwrap().kind(), CancelKind::Requested);
                drop(handle);
                passed.store(true, SeqCst);
                thread::yield_now();
            });
            past.store(true, SeqCst);
            drop(outcome);
        });
        own.send(handle).unwrap();
        until(|| after.load(SeqCst));
        // Nobody joins it; it has been unwound through the timeout if it was told truly.
        drop(own);
        thread::yield_now();
        assert!(!through.load(SeqCst), "the timeout has taken a cancellation for its own end");
    });
}

#[test]
fn cancelled_thread_that_meets_its_deadline_tells_who_was_first_and_ends() {
    in_every_runtime(|_| {
        for round in 0..30 {
            let handle = thread::spawn(move || {
                // At the same instant, where time is virtual.
                let outcome = time::timeout(SOON, || thread::sleep(HOUR));
                let elapsed = expect_elapsed(outcome);
                assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
                thread::sleep(HOUR);
            });
            thread::sleep(SOON - Duration::from_micros(15) + Duration::from_micros(round));
            handle.cancel().unwrap();
            expect_requested(handle);
        }
    });
}

#[test]
fn deadline_in_a_cancelled_thread_never_takes_the_cancellation() {
    in_every_runtime(|_| {
        let (begin, begun) = channel::bounded(0);
        let handle = thread::spawn(move || {
            begin.send(()).unwrap();
            let mut caught = 0;
            loop {
                // Whatever ends first within, the thread has to end by its cancellation.
                let outcome = time::timeout(Duration::from_micros(50), || thread::sleep(HOUR));
                caught += u32::from(outcome.is_err());
                assert!(caught < 1_000_000);
            }
        });
        begun.recv().unwrap();
        thread::sleep(SOON);
        handle.cancel().unwrap();
        expect_requested::<()>(handle);
    });
}

#[test]
fn cancelled_thread_in_a_shield_has_its_own_deadlines() {
    everywhere(|_| {
        let (begin, begun) = channel::bounded(0);
        let (stop, stops) = channel::bounded::<()>(0);
        let passed = Arc::new(AtomicBool::new(false));
        let its = passed.clone();
        let handle = thread::spawn(move || {
            thread::shield(|| {
                begin.send(()).unwrap();
                let _ = stops.recv();
                // It is cancelled by now.
                for _ in 0..3 {
                    expect_elapsed(time::timeout(SOON, || thread::sleep(HOUR)));
                    time::timeout(HOUR, thread::yield_now).unwrap();
                }
                its.store(true, SeqCst);
            });
            thread::sleep(HOUR);
        });
        begun.recv().unwrap();
        handle.cancel().unwrap();
        drop(stop);
        expect_requested(handle);
        assert!(passed.load(SeqCst));
    });
}

#[test]
fn shutdown_passes_through_timeouts_and_is_told_as_itself() {
    with_every_runtime(|shape, runtime| {
        let kinds = Arc::new(std::sync::Mutex::new(Vec::new()));
        runtime.run(|| {
            for _ in 0..3 {
                let kinds = kinds.clone();
                drop(thread::spawn(move || {
                    let ended = AtomicBool::new(false);
                    let payload = expect_unwound(|| {
                        let outcome = time::timeout(HOUR * 24, || thread::sleep(HOUR * 12));
                        ended.store(true, SeqCst);
                        outcome
                    });
                    let cancelled = payload.downcast::<Cancelled>().expect("no panic");
                    kinds.lock().unwrap().push((cancelled.reason().kind(), ended.into_inner()));
                }));
            }
            sylvan_workspace::settle();
        });
        drop(runtime);
        for told in kinds.lock().unwrap().iter() {
            assert_eq!(*told, (CancelKind::Shutdown, false), "under {shape}");
        }
    });
}

#[test]
fn deep_recursion_through_joins_is_cut_off_at_its_bottom() {
    fn descend(depth: u32, begun: &AtomicU32, ended: &AtomicU32) {
        begun.fetch_add(1, SeqCst);
        let _ends = sylvan_workspace::OnDrop(|| _ = ended.fetch_add(1, SeqCst));
        if depth == 0 {
            thread::sleep(HOUR);
        }
        sylvan::join(|| descend(depth - 1, begun, ended), thread::yield_now);
    }
    in_every_runtime(|shape| {
        // Under 1:1 each level is a kernel thread.
        let depth = if shape.is_green() { 2_000 } else { 50 };
        let (begun, ended) = (AtomicU32::new(0), AtomicU32::new(0));
        expect_elapsed(time::timeout(SOON * 4, || descend(depth, &begun, &ended)));
        assert_eq!(begun.load(SeqCst), ended.load(SeqCst));
    });
}

#[test]
fn elapsed_can_be_sent_and_kept() {
    fn is_plain<T: Send + Sync + Clone + std::error::Error + 'static>(_: &T) {}
    everywhere(|_| {
        let elapsed = expect_elapsed(time::timeout(Duration::ZERO, thread::yield_now));
        is_plain(&elapsed);
        let text = elapsed.to_string();
        let told = thread::spawn(move || elapsed.to_string()).join().unwrap();
        assert_eq!(told, text);
    });
}
