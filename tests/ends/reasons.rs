//! Reasons: who has cancelled, from where and what for, told truly at every depth, and as long as
//! somebody asks.
#![forbid(unsafe_code)]

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::thread::{self, CancelKind, CancelReason, Cancelled, JoinHandle, ThreadId};
use sylvan::time;
use sylvan_workspace::{
    everywhere, in_every_runtime, on_foreign_thread, outside, settle, text_of, until,
    with_every_runtime,
};

use crate::staging::{HOUR, fail};

/// The place of the call, one line below which the test does what it looks for later.
#[track_caller]
fn next_line() -> (&'static str, u32) {
    let here = Location::caller();
    (here.file(), here.line() + 1)
}

#[track_caller]
fn cancelled_of(payload: Box<dyn Any + Send>) -> Cancelled {
    match payload.downcast::<Cancelled>() {
        Ok(cancelled) => *cancelled,
        Err(payload) => panic!("it has panicked: {}", text_of(&*payload)),
    }
}

/// Looks at everything that a reason tells.
#[track_caller]
fn expect(
    reason: &CancelReason,
    kind: CancelKind,
    by: (Option<&str>, ThreadId),
    (file, line): (&str, u32),
    message: Option<&str>,
) {
    let place = reason.location().expect("it has a place");
    assert_eq!((place.file(), place.line()), (file, line));
    assert_eq!((reason.kind(), reason.thread_name(), reason.message()), (kind, by.0, message));
    let number = reason.thread_number().expect("somebody did it");
    assert_eq!(format!("ThreadId({number})"), format!("{:?}", by.1));
    let who = match by.0 {
        Some(name) => format!("thread '{name}' ({number}) at {place}"),
        None => format!("thread {number} at {place}"),
    };
    let text = match (kind, message) {
        (CancelKind::Requested, Some(message)) => format!("cancelled by {who}: {message}"),
        (CancelKind::Requested, None) => format!("cancelled by {who}"),
        (CancelKind::Group, _) => format!("its group has failed, by {who}"),
        (CancelKind::Race, _) => format!("its race was won, by {who}"),
        _ => panic!("{kind:?} is looked at elsewhere"),
    };
    assert_eq!(reason.to_string(), text);
    assert_eq!(format!("{reason:?}"), format!("CancelReason({kind:?}: \"{text}\")"));
    assert_eq!(reason.deadline(), None);
}

fn me() -> (Option<&'static str>, ThreadId) {
    (None, thread::current().id())
}

#[test]
fn cancel_and_cancel_with_say_who_where_and_why() {
    everywhere(|shape| {
        // A kernel thread of no runtime has no name that sylvan knows, nor has the body's.
        let by = me();
        let name = thread::current().name().map(str::to_owned);
        let by = (name.as_deref(), by.1);
        let place = next_line();
        let cancel = |handle: &JoinHandle<()>| handle.cancel().unwrap();
        let handle = thread::spawn(|| thread::sleep(HOUR));
        settle();
        cancel(&handle);
        let cancelled = cancelled_of(handle.join().unwrap_err());
        expect(cancelled.reason(), CancelKind::Requested, by, place, None);

        let handle = thread::spawn(|| thread::sleep(HOUR));
        let place = next_line();
        handle.cancel_with(format!("under {shape}")).unwrap();
        // The second one comes too late.
        handle.cancel_with("for nothing").unwrap();
        handle.cancel().unwrap();
        let cancelled = cancelled_of(handle.join().unwrap_err());
        let message = format!("under {shape}");
        expect(cancelled.reason(), CancelKind::Requested, by, place, Some(&message));

        thread::scope(|scope| {
            let children = [(); 2].map(|()| scope.spawn(|| thread::sleep(HOUR)));
            let place = next_line();
            scope.cancel_with("all of you").unwrap();
            scope.cancel().unwrap();
            for child in children {
                let cancelled = cancelled_of(child.join().unwrap_err());
                expect(cancelled.reason(), CancelKind::Requested, by, place, Some("all of you"));
            }
        });
        thread::scope(|scope| {
            let child = scope.spawn(|| thread::sleep(HOUR));
            let place = next_line();
            scope.cancel().unwrap();
            let cancelled = cancelled_of(child.join().unwrap_err());
            expect(cancelled.reason(), CancelKind::Requested, by, place, None);
        });
    });
}

#[test]
fn canceller_may_be_named_and_gone_when_its_reason_is_read() {
    everywhere(|_| {
        let handle = thread::spawn(|| thread::sleep(HOUR));
        let (id, place) = thread::scope(|scope| {
            let canceller = thread::Builder::new().name("the canceller".to_owned());
            let handle = &handle;
            let canceller = canceller.spawn_scoped(scope, move || {
                let place = next_line();
                handle.cancel_with(String::from("as ") + "planned").unwrap();
                (thread::current().id(), place)
            });
            canceller.unwrap().join().unwrap()
        });
        let reason = cancelled_of(handle.join().unwrap_err()).reason().clone();
        let by = (Some("the canceller"), id);
        expect(&reason, CancelKind::Requested, by, place, Some("as planned"));
        let copy = reason.clone();
        drop(reason);
        expect(&copy, CancelKind::Requested, by, place, Some("as planned"));
    });
}

#[test]
fn kernel_thread_of_no_runtime_is_told_by_its_number() {
    in_every_runtime(|_| {
        let handle = thread::spawn(|| thread::sleep(HOUR));
        let registered = outside();
        let (id, place) = on_foreign_thread(|| {
            let _registered = registered;
            let place = next_line();
            handle.cancel_with("from outside").unwrap();
            (thread::current().id(), place)
        });
        let cancelled = cancelled_of(handle.join().unwrap_err());
        let message = Some("from outside");
        expect(cancelled.reason(), CancelKind::Requested, (None, id), place, message);
    });
}

#[test]
fn reason_goes_down_the_tree_to_grandchildren_arms_and_those_that_never_began() {
    everywhere(|_| {
        let told = Mutex::new(Vec::new());
        let waiting = AtomicUsize::new(0);
        let wait = || {
            waiting.fetch_add(1, SeqCst);
            let payload = catch_unwind(|| thread::sleep(HOUR)).unwrap_err();
            told.lock().unwrap().push(cancelled_of(payload).reason().clone());
            told.lock().unwrap().push(thread::cancel_reason().expect("it is to end"));
        };
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                thread::scope(|inner| {
                    inner.spawn(|| thread::scope(|inmost| _ = inmost.spawn(wait)));
                    inner.spawn(|| _ = catch_unwind(AssertUnwindSafe(|| sylvan::join(wait, wait))));
                    until(|| waiting.load(SeqCst) >= 2);
                    wait();
                    // Never begins.
                    let late = inner.spawn(|| thread::sleep(HOUR));
                    let payload = catch_unwind(AssertUnwindSafe(|| late.join())).unwrap_err();
                    told.lock().unwrap().push(cancelled_of(payload).reason().clone());
                });
            });
            until(|| waiting.load(SeqCst) >= 3);
            let place = next_line();
            handle.cancel_with("the whole tree").unwrap();
            thread::shield(|| drop(handle.join()));
            let told = told.lock().unwrap();
            assert!(told.len() >= 7, "{} were told", told.len());
            let name = thread::current().name().map(str::to_owned);
            let by = (name.as_deref(), thread::current().id());
            for reason in told.iter() {
                expect(reason, CancelKind::Requested, by, place, Some("the whole tree"));
            }
        });
    });
}

#[test]
fn thread_that_never_began_leaves_a_reason_and_no_place() {
    everywhere(|shape| {
        let handle = thread::spawn(|| thread::sleep(HOUR));
        let place = next_line();
        handle.cancel().unwrap();
        let cancelled = cancelled_of(handle.join().unwrap_err());
        let name = thread::current().name().map(str::to_owned);
        let by = (name.as_deref(), thread::current().id());
        expect(cancelled.reason(), CancelKind::Requested, by, place, None);
        if shape.is_many_to_one() {
            // Nobody else could have begun it.
            assert!(cancelled.location().is_none());
            let text = format!("the thread was cancelled: {}", cancelled.reason());
            assert_eq!(cancelled.to_string(), text);
        }
    });
}

#[test]
fn payload_names_the_call_that_was_cut_off_where_it_waited() {
    everywhere(|_| {
        let (sender, receiver) = sylvan::channel::bounded::<()>(1);
        let place = Mutex::new(None);
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                *place.lock().unwrap() = Some(next_line());
                receiver.recv()
            });
            until(|| place.lock().unwrap().is_some());
            settle();
            handle.cancel().unwrap();
            let cancelled = cancelled_of(handle.join().unwrap_err());
            let reason = cancelled.reason();
            assert_eq!(format!("{cancelled:?}"), format!("Cancelled({reason:?})"));
            let text = match cancelled.location() {
                Some(cut) => {
                    let here = place.lock().unwrap().expect("it has begun");
                    assert_eq!((cut.file(), cut.line()), here);
                    let wait = format!("while receiving from a channel at {cut}");
                    format!("the thread was cancelled {wait}: {reason}")
                }
                // It was cancelled before it waited.
                None => format!("the thread was cancelled: {reason}"),
            };
            assert_eq!(cancelled.to_string(), text);
        });
        drop(sender);
    });
}

#[test]
fn deadline_says_who_has_set_it_where_and_for_when() {
    everywhere(|_| {
        let name = thread::current().name().map(str::to_owned);
        let number = format!("{:?}", thread::current().id());
        let number = number.trim_start_matches("ThreadId(").trim_end_matches(')');
        let by = match &name {
            Some(name) => format!("thread '{name}' ({number})"),
            None => format!("thread {number}"),
        };
        let told = Mutex::new(Vec::new());
        let wait = || {
            let payload = catch_unwind(|| thread::sleep(HOUR)).unwrap_err();
            told.lock().unwrap().push(cancelled_of(payload).reason().clone());
        };
        let all = || {
            thread::scope(|scope| {
                scope.spawn(|| thread::scope(|inner| _ = inner.spawn(wait)));
                wait();
            });
        };
        let place = next_line();
        let timeout = time::timeout(Duration::from_millis(3), all);
        let by_timeout = take(&told, timeout);
        let end = time::now() + Duration::from_millis(2);
        let deadline = time::deadline(end, all);
        let by_deadline = take(&told, deadline);
        for (reasons, line, text) in [
            (&by_timeout, place.1, "the deadline of 3ms, set by"),
            (&by_deadline, place.1 + 3, "the deadline, set by"),
        ] {
            assert!(!reasons.is_empty());
            for reason in reasons {
                let site = reason.location().unwrap();
                assert_eq!((site.file(), site.line()), (place.0, line));
                assert_eq!((reason.kind(), reason.message()), (CancelKind::Deadline, None));
                assert_eq!(reason.thread_name(), name.as_deref());
                let by_number = reason.thread_number().map(|number| number.to_string());
                assert_eq!(by_number.as_deref(), Some(number));
                assert_eq!(reason.to_string(), format!("{text} {by} at {site}, has passed"));
            }
        }
        assert!(by_deadline.iter().all(|reason| reason.deadline() == Some(end)));
        assert!(by_timeout.iter().all(|reason| reason.deadline().is_some_and(|it| it < end)));
    });
}

/// All that were told, by the error as well, if there is one: a child that was late never began.
fn take(told: &Mutex<Vec<CancelReason>>, outcome: Result<(), time::Elapsed>) -> Vec<CancelReason> {
    let mut told = std::mem::take(&mut *told.lock().unwrap());
    told.extend(outcome.err().map(|elapsed| elapsed.reason().clone()));
    told
}

#[test]
fn group_and_race_say_who_has_ended_them_and_where_they_were_opened() {
    everywhere(|_| {
        for (kind, panics) in
            [(CancelKind::Group, false), (CancelKind::Group, true), (CancelKind::Race, false)]
        {
            let (waiting, ender) = (AtomicBool::new(false), Mutex::new(None));
            let told = Mutex::new(None);
            let wait = || {
                waiting.store(true, SeqCst);
                let payload = catch_unwind(|| thread::sleep(HOUR)).unwrap_err();
                *told.lock().unwrap() = Some(cancelled_of(payload).reason().clone());
            };
            let end = || {
                *ender.lock().unwrap() = Some(thread::current().id());
                if panics {
                    fail("expected");
                }
            };
            let place = Cell::new(("", 0));
            let in_group = || {
                place.set(next_line());
                thread::group(|group| {
                    group.spawn(|| {
                        wait();
                        Ok(())
                    });
                    until(|| waiting.load(SeqCst));
                    group.spawn(|| {
                        end();
                        Err::<(), _>(7)
                    });
                    Ok(())
                })
            };
            let in_race = || {
                place.set(next_line());
                thread::race(|race| {
                    race.spawn(wait);
                    until(|| waiting.load(SeqCst));
                    race.spawn(end);
                });
            };
            match kind {
                CancelKind::Race => in_race(),
                _ => {
                    let outcome = catch_unwind(AssertUnwindSafe(in_group));
                    assert!(if panics { outcome.is_err() } else { outcome.unwrap() == Err(7) });
                }
            }
            let reason = told.lock().unwrap().take().expect("it was cut off");
            let by = (None, ender.lock().unwrap().expect("somebody has ended it"));
            expect(&reason, kind, by, place.get(), None);
        }
    });
}

#[test]
fn first_reason_stays_whoever_comes_next() {
    everywhere(|_| {
        let (waiting, told) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            let child = scope.spawn(|| {
                waiting.store(true, SeqCst);
                for _ in 0..3 {
                    let payload = catch_unwind(|| thread::sleep(HOUR)).unwrap_err();
                    let reason = cancelled_of(payload).reason().to_string();
                    told.lock().unwrap().push(reason);
                    thread::shield(thread::park);
                }
            });
            until(|| waiting.load(SeqCst));
            child.cancel_with("the first").unwrap();
            until(|| told.lock().unwrap().len() == 1);
            scope.cancel_with("the second").unwrap();
            child.cancel_with("the third").unwrap();
            for _ in 0..3 {
                child.thread().unpark();
                settle();
            }
            until(|| {
                child.thread().unpark();
                child.is_finished()
            });
        });
        let told = told.into_inner().unwrap();
        assert!(told.len() == 3 && told.iter().all(|reason| reason.ends_with(": the first")));
    });
}

#[test]
fn shutdown_is_told_with_the_name_of_the_runtime() {
    with_every_runtime(|_, runtime| {
        let name = runtime.config().name.clone();
        let left = runtime.run(|| {
            let started = std::sync::Arc::new(AtomicBool::new(false));
            let starts = started.clone();
            let left = thread::spawn(move || {
                starts.store(true, SeqCst);
                thread::sleep(HOUR);
            });
            until(|| started.load(SeqCst));
            left
        });
        drop(runtime);
        let cancelled = cancelled_of(left.join().unwrap_err());
        let reason = cancelled.reason();
        assert_eq!(reason.kind(), CancelKind::Shutdown);
        assert_eq!((reason.thread_number(), reason.thread_name()), (None, None));
        assert!(reason.location().is_none() && reason.deadline().is_none());
        assert_eq!(reason.message(), Some(&*name));
        assert_eq!(reason.to_string(), format!("the runtime '{name}' was shut down"));
    });
}

#[test]
fn reason_crosses_from_one_runtime_into_another() {
    in_every_runtime(|shape| {
        if shape.is_many_to_one() {
            return;
        }
        let other = sylvan::Runtime::builder().workers(2).build().unwrap();
        let told = Mutex::new(None);
        let waiting = AtomicBool::new(false);
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                other.run(|| {
                    waiting.store(true, SeqCst);
                    let payload = catch_unwind(|| thread::sleep(HOUR)).unwrap_err();
                    *told.lock().unwrap() = Some(cancelled_of(payload).reason().to_string());
                });
                thread::yield_now();
            });
            until(|| waiting.load(SeqCst));
            handle.cancel_with("across").unwrap();
            let cancelled = cancelled_of(handle.join().unwrap_err());
            assert_eq!(cancelled.reason().message(), Some("across"));
            let told = told.lock().unwrap().take();
            assert_eq!(told, Some(cancelled.reason().to_string()));
        });
    });
}
