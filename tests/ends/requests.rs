//! Cancelling one thread where it is awkward: oneself, too late, at the same moment, from a
//! destructor, across runtimes.
#![forbid(unsafe_code)]

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::channel::bounded;
use sylvan::testing;
use sylvan::thread::{self, Cancelled, JoinHandle};
use sylvan::time;
use sylvan_workspace::{
    Counts, OnDrop, everywhere, in_every_runtime, outside, settle, text_of, until,
};

use crate::staging::{HOUR, Stage, WAITS, settle_in};

const MOMENT: Duration = Duration::from_micros(100);

#[test]
fn thread_is_cut_off_in_each_kind_of_wait_and_leaves_no_trace() {
    everywhere(|_| {
        for (name, wait) in WAITS {
            let (gone, returned) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let stage = Stage::new();
            stage.hold(|| {
                thread::scope(|scope| {
                    let counts = Counts(&gone);
                    let handle = scope.spawn(|| {
                        let _counts = counts;
                        wait(&stage);
                        returned.fetch_add(1, SeqCst);
                    });
                    settle_in(name);
                    handle.cancel().unwrap();
                    assert!(handle.join().unwrap_err().is::<Cancelled>(), "{name}");
                });
            });
            assert_eq!((gone.load(SeqCst), returned.load(SeqCst)), (1, 0), "{name}");
        }
    });
}

#[test]
fn thread_that_waits_in_a_destructor_for_its_canceller_gets_what_it_waits_for() {
    everywhere(|_| {
        let (sender, receiver) = bounded::<u32>(0);
        let (waiting, unwinding) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                let _waits = OnDrop(|| {
                    unwinding.store(true, SeqCst);
                    assert_eq!(receiver.recv().unwrap(), 9);
                });
                waiting.store(true, SeqCst);
                thread::sleep(HOUR);
            });
            until(|| waiting.load(SeqCst));
            handle.cancel().unwrap();
            until(|| unwinding.load(SeqCst));
            // Once more, while it waits in there.
            handle.cancel().unwrap();
            settle();
            assert!(!handle.is_finished());
            sender.send(9).unwrap();
            assert!(handle.join().unwrap_err().is::<Cancelled>());
        });
    });
}

#[test]
fn thread_that_cancels_itself_ends_at_its_next_wait_whatever_it_is() {
    everywhere(|_| {
        for (name, wait) in WAITS {
            let (returned, stage) = (AtomicUsize::new(0), Stage::new());
            let go = AtomicBool::new(false);
            stage.hold(|| {
                thread::scope(|scope| {
                    let (give, take) = std::sync::mpsc::channel();
                    let (go, returned, stage) = (&go, &returned, &stage);
                    let handle = Arc::new(scope.spawn(move || {
                        until(|| go.load(SeqCst));
                        let own: Arc<thread::ScopedJoinHandle<'_, ()>> = take.recv().unwrap();
                        own.cancel_with("by myself").unwrap();
                        drop(own);
                        assert!(thread::cancelled());
                        wait(stage);
                        returned.fetch_add(1, SeqCst);
                    }));
                    give.send(handle.clone()).unwrap();
                    go.store(true, SeqCst);
                    until(|| handle.is_finished());
                    let handle = Arc::into_inner(handle).expect("the other one is dropped");
                    let payload = handle.join().unwrap_err();
                    assert!(payload.is::<Cancelled>(), "{name}: {}", text_of(&*payload));
                });
            });
            assert_eq!(returned.load(SeqCst), 0, "{name}");
        }
    });
}

#[test]
fn cancellation_and_result_at_the_same_instant_give_one_of_the_two() {
    let seen = [const { AtomicUsize::new(0) }; 2];
    testing::explore(0..300, || {
        let (sender, receiver) = bounded::<u32>(1);
        let dropped = AtomicUsize::new(0);
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let counts = Counts(&dropped);
                let number = receiver.recv().unwrap();
                (number, counts)
            });
            thread::scope(|both| {
                both.spawn(|| {
                    thread::sleep(MOMENT);
                    sender.send(4).unwrap();
                });
                thread::sleep(MOMENT);
                worker.cancel().unwrap();
            });
            let is_taken = match worker.join() {
                Ok((number, _counts)) => {
                    assert_eq!(number, 4);
                    true
                }
                Err(payload) => {
                    assert!(payload.is::<Cancelled>());
                    false
                }
            };
            // What was cut off has taken no message.
            assert_eq!(receiver.try_recv().is_ok(), !is_taken);
            seen[usize::from(is_taken)].fetch_add(1, SeqCst);
        });
        assert_eq!(dropped.load(SeqCst), 1);
    });
    assert!(seen.iter().all(|count| count.load(SeqCst) > 0), "one of the two never won: {seen:?}");
}

#[test]
fn first_error_and_deadline_at_the_same_instant_give_one_of_the_two() {
    let seen = [const { AtomicUsize::new(0) }; 2];
    testing::explore(0..300, || {
        let gone = AtomicUsize::new(0);
        let result = time::timeout(MOMENT, || {
            thread::group(|group| {
                let counts = Counts(&gone);
                group.spawn(|| {
                    let _counts = counts;
                    thread::sleep(HOUR);
                    Ok(())
                });
                group.spawn(|| {
                    let napped = catch_unwind(|| thread::sleep(MOMENT));
                    if napped.is_ok() { Err::<(), _>(7) } else { Ok(()) }
                });
                Ok(())
            })
        });
        match &result {
            Ok(result) => assert_eq!(*result, Err(7)),
            Err(elapsed) => assert!(elapsed.reason().deadline().is_some()),
        }
        seen[usize::from(result.is_ok())].fetch_add(1, SeqCst);
        assert_eq!(gone.load(SeqCst), 1);
    });
    assert!(seen[0].load(SeqCst) > 0, "the deadline never won: {seen:?}");
}

#[test]
fn two_winners_at_the_same_instant_give_one_result() {
    let seen = [const { AtomicUsize::new(0) }; 2];
    testing::explore(0..300, || {
        let dropped = AtomicUsize::new(0);
        let (winner, counts) = thread::race(|race| {
            for number in [0, 1] {
                let dropped = &dropped;
                race.spawn(move || {
                    let counts = Counts(dropped);
                    thread::sleep(MOMENT);
                    (number, counts)
                });
            }
        });
        seen[winner].fetch_add(1, SeqCst);
        // The other one never began, was cut off, or came too late.
        assert!(dropped.load(SeqCst) <= 1);
        drop(counts);
    });
    assert!(seen.iter().all(|count| count.load(SeqCst) > 0), "one of the two never won: {seen:?}");
}

#[test]
fn thread_of_one_runtime_cancels_those_of_another_and_of_none() {
    in_every_runtime(|shape| {
        if shape.is_many_to_one() {
            return;
        }
        let other = sylvan::Runtime::builder().workers(2).build().unwrap();
        let started = Arc::new(AtomicUsize::new(0));
        let starts = started.clone();
        let there: JoinHandle<()> = other.handle().spawn(move || {
            starts.fetch_add(1, SeqCst);
            thread::sleep(HOUR);
        });
        let starts = started.clone();
        let here = thread::spawn(move || {
            starts.fetch_add(1, SeqCst);
            thread::park();
            unreachable!("nobody gives a permit");
        });
        until(|| started.load(SeqCst) == 2);
        there.cancel().unwrap();
        // By a thread of the other runtime, to which the handle goes.
        let outcome = other.handle().spawn(move || {
            here.cancel().unwrap();
            here.join().unwrap_err().is::<Cancelled>()
        });
        assert!(outcome.join().unwrap());
        assert!(there.join().unwrap_err().is::<Cancelled>());
        thread::yield_now();
    });
}

#[test]
fn many_cancellers_at_once_give_one_reason_and_one_end() {
    in_every_runtime(|_| {
        let gone = AtomicUsize::new(0);
        let registered = outside();
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                let _counts = Counts(&gone);
                thread::sleep(HOUR);
            });
            settle();
            std::thread::scope(|kernel| {
                let cancel = |number: usize| {
                    let handle = &handle;
                    move || handle.cancel_with(format!("number {number}")).unwrap()
                };
                let outsiders = [0, 1, 2].map(|number| kernel.spawn(cancel(number)));
                thread::scope(|insiders| {
                    for number in 3..6 {
                        insiders.spawn(cancel(number));
                    }
                });
                until(|| outsiders.iter().all(|outsider| outsider.is_finished()));
            });
            let payload = handle.join().unwrap_err();
            let cancelled = payload.downcast::<Cancelled>().expect("no panic");
            assert!(cancelled.reason().message().unwrap().starts_with("number "));
        });
        drop(registered);
        assert!(gone.load(SeqCst) <= 1);
    });
}

#[test]
fn lock_of_a_thread_that_is_cut_off_twice_is_not_poisoned() {
    everywhere(|_| {
        let lock = sylvan::sync::Mutex::new(0);
        let waiting = AtomicBool::new(false);
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                let _guard = lock.lock().unwrap();
                waiting.store(true, SeqCst);
                // Dropped by the second unwinding, before the guard is.
                let _first = catch_unwind(|| thread::sleep(HOUR));
                thread::sleep(HOUR);
            });
            until(|| waiting.load(SeqCst));
            handle.cancel().unwrap();
            assert!(handle.join().unwrap_err().is::<Cancelled>());
        });
        assert!(!lock.is_poisoned());
    });
}

#[test]
fn local_thread_and_one_that_is_awaited_tell_why_they_were_cancelled() {
    fn why(payload: &(dyn std::any::Any + Send)) -> String {
        let cancelled = payload.downcast_ref::<Cancelled>().expect("it has not panicked");
        cancelled.reason().message().expect("a message was given").to_owned()
    }
    everywhere(|shape| {
        let waits = || thread::sleep(HOUR);
        let awaited = thread::spawn(waits);
        awaited.cancel_with("nobody awaits it").unwrap();
        let payload = sylvan::block_on(awaited.into_future()).unwrap_err();
        assert_eq!(why(&*payload), "nobody awaits it");
        if let Ok(local) = thread::Builder::new().spawn_local(waits) {
            local.cancel_with(String::from("nobody is near")).unwrap();
            assert_eq!(why(&*local.join().unwrap_err()), "nobody is near", "{shape:?}");
        }
    });
}
