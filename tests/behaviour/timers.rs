//! Timers that meet what else ends a wait, and timers beside everything else that goes on: what
//! went wrong in other libraries, with the numbers of the list that the project keeps of it.
//!
//! Under seeds the clock is virtual, so a timer and a wake meet at the very same instant, in either
//! order. What channels and locks do then is tested with them; what the wheel does, beside it.
#![forbid(unsafe_code)]

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::channel::bounded;
use sylvan::sync::{Condvar, Event, Mutex, Semaphore, SemaphorePermit};
use sylvan::testing::{self, Plan, Strategy};
use sylvan::time::{self, Ticker};
use sylvan::{Mapping, thread};
use sylvan_workspace::{Shape, everywhere, in_every_runtime, settle, until};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(1);

/// Runs `body` under two hundred seeds, and fails unless it has given both answers.
fn expect_both_outcomes(body: impl Fn() -> bool + Sync) {
    let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
    testing::explore(0..200, || {
        counts[usize::from(body())].fetch_add(1, SeqCst);
    });
    let counts = counts.map(AtomicUsize::into_inner);
    assert!(counts.iter().all(|count| *count > 0), "one side has always won: {counts:?}");
}

/// Number 1: a wake that came as the waiter's own timer fired was reported as a timeout, and lost.
/// Here it is told truly: if the one with the timer was not woken, the other one was.
#[test]
fn notification_at_the_instant_of_the_timer_wakes_one_and_is_told_truly() {
    expect_both_outcomes(|| {
        let (tokens, condvar) = (Mutex::new(0), Condvar::new());
        thread::scope(|scope| {
            let timed = scope.spawn(|| {
                let none = |tokens: &mut i32| *tokens == 0;
                let waited = condvar.wait_timeout_while(tokens.lock().unwrap(), HOUR, none);
                let (mut tokens, result) = waited.unwrap();
                *tokens -= i32::from(!result.timed_out());
                result.timed_out()
            });
            let patient = scope.spawn(|| {
                let none = |tokens: &mut i32| *tokens == 0;
                *condvar.wait_while(tokens.lock().unwrap(), none).unwrap() -= 1;
            });
            thread::sleep(HOUR);
            let give = || {
                *tokens.lock().unwrap() += 1;
                condvar.notify_one();
            };
            give();
            let timed_out = timed.join().unwrap();
            testing::wait_until_all_parked();
            assert_eq!(patient.is_finished(), timed_out, "one of the two was woken");
            if !timed_out {
                give();
            }
            patient.join().unwrap();
            assert_eq!(*tokens.lock().unwrap(), 0);
            timed_out
        })
    });
}

/// Number 1, for permits: the park takes it, or the next one does.
#[test]
fn permit_at_the_instant_of_the_timer_is_taken_or_kept() {
    expect_both_outcomes(|| {
        let begun = time::now();
        let parks = thread::spawn(move || {
            thread::park_timeout(HOUR);
            assert_eq!(time::now(), begun + HOUR);
            thread::park_timeout(HOUR);
            time::now() - begun
        });
        thread::sleep(HOUR);
        parks.thread().unpark();
        let ended = parks.join().unwrap();
        assert!(ended == HOUR || ended == 2 * HOUR, "{ended:?}");
        ended == HOUR
    });
}

/// Number 1, for what is owned: one of the two has the semaphore's permit.
#[test]
fn release_at_the_instant_of_the_timer_goes_to_one_who_waits() {
    expect_both_outcomes(|| {
        let semaphore = Semaphore::new(0);
        thread::scope(|scope| {
            let timed = scope.spawn(|| {
                let permit = semaphore.try_acquire_for(HOUR);
                permit.map(SemaphorePermit::forget).is_some()
            });
            let patient = scope.spawn(|| semaphore.acquire().forget());
            thread::sleep(HOUR);
            semaphore.add_permits(1);
            let had = timed.join().unwrap();
            testing::wait_until_all_parked();
            assert_eq!(patient.is_finished(), !had);
            semaphore.add_permits(usize::from(had));
            patient.join().unwrap();
            assert_eq!(semaphore.available_permits(), 0);
            had
        })
    });
}

/// Number 1, for a deadline around the wait: whoever is cut off has taken nothing along.
#[test]
fn release_at_the_instant_of_a_deadline_goes_to_one_who_waits() {
    expect_both_outcomes(|| {
        let semaphore = Semaphore::new(0);
        let begun = time::now();
        thread::scope(|scope| {
            let timed = scope.spawn(|| {
                let result = time::timeout(HOUR, || semaphore.acquire().forget());
                assert_eq!(time::now(), begun + HOUR);
                result.is_ok()
            });
            let patient = scope.spawn(|| semaphore.acquire().forget());
            thread::sleep(HOUR);
            semaphore.add_permits(1);
            let had = timed.join().unwrap();
            testing::wait_until_all_parked();
            assert_eq!(patient.is_finished(), !had);
            semaphore.add_permits(usize::from(had));
            patient.join().unwrap();
            assert_eq!(semaphore.available_permits(), 0);
            had
        })
    });
}

/// Number 6: a sleeper that was interrupted stood in two queues. Here a cancellation comes as the
/// timer fires; the thread goes on once, and all its later waits are cut off at once.
#[test]
fn cancellation_at_the_instant_of_the_timer_lets_the_sleeper_go_on_once() {
    expect_both_outcomes(|| {
        let (begun, runs) = (time::now(), AtomicUsize::new(0));
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                let is_cut_off = catch_unwind(|| thread::sleep(HOUR)).is_err();
                runs.fetch_add(1, SeqCst);
                assert_eq!(time::now(), begun + HOUR);
                assert!(catch_unwind(|| thread::sleep(HOUR)).is_err());
                assert_eq!(time::now(), begun + HOUR);
                is_cut_off
            });
            let other = scope.spawn(|| {
                thread::sleep(HOUR);
                time::now()
            });
            thread::sleep(HOUR);
            sleeper.cancel().unwrap();
            let is_cut_off = sleeper.join().unwrap();
            assert_eq!(runs.load(SeqCst), 1);
            assert_eq!(other.join().unwrap(), begun + HOUR);
            is_cut_off
        })
    });
}

/// Number 4: a timer outlived the wait that it was armed for. Headers are used again for new
/// threads, and a thread waits anew; what is left of an earlier wait must end neither.
#[test]
fn timer_of_a_wait_that_was_woken_ends_no_later_one() {
    everywhere(|_| {
        for _ in 0..5 {
            let (early, over) = (Event::new(), AtomicBool::new(false));
            let parks = || {
                thread::park();
                assert!(over.load(SeqCst), "a park was ended by the timer of another wait");
            };
            thread::scope(|scope| {
                let first = scope.spawn(|| {
                    thread::scope(|scope| {
                        (0..20).for_each(|_| {
                            scope.spawn(|| _ = early.wait_timeout(MOMENT));
                        });
                        settle();
                        early.set();
                    });
                });
                let mut threads: Vec<_> = (0..20)
                    .map(|_| {
                        scope.spawn(|| {
                            let _ = early.wait_timeout(MOMENT);
                            parks();
                        })
                    })
                    .collect();
                first.join().unwrap();
                // Twenty threads have ended by now, most of them before their time was over.
                threads.extend((0..20).map(|_| scope.spawn(parks)));
                thread::sleep(2 * MOMENT);
                over.store(true, SeqCst);
                threads.iter().for_each(|thread| thread.thread().unpark());
            });
        }
    });
}

/// Number 4, at the very instant: timers that are due at once are fired one after another, while
/// some of their threads are woken or cancelled, and end.
#[test]
fn timers_that_are_due_while_their_threads_are_ended_otherwise_end_each_wait_once() {
    everywhere(|shape| {
        let count = if shape.is_green() { 300 } else { 60 };
        let due = time::now() + 5 * MOMENT;
        let ended = AtomicUsize::new(0);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|_| {
                    scope.spawn(|| {
                        let left = due.saturating_duration_since(time::now());
                        let wait = || thread::park_timeout(left);
                        let is_cut_off = catch_unwind(wait).is_err();
                        ended.fetch_add(1, SeqCst);
                        is_cut_off
                    })
                })
                .collect();
            thread::sleep_until(due);
            for (number, thread) in threads.iter().enumerate() {
                match number % 3 {
                    0 => thread.thread().unpark(),
                    1 => thread.cancel().unwrap(),
                    _ => (),
                }
            }
            let mut unstarted = 0;
            for (number, thread) in threads.into_iter().enumerate() {
                match thread.join() {
                    Ok(is_cut_off) => assert!(!is_cut_off || number % 3 == 1),
                    // Cancelled before its first turn, or at its end.
                    Err(_) => {
                        assert_eq!(number % 3, 1);
                        unstarted += 1;
                    }
                }
            }
            assert!(ended.load(SeqCst) + unstarted >= count);
        });
    });
}

/// Waits that have a timer an hour away and end at once, each by what it is for.
fn waits_that_end_early() -> [(&'static str, fn()); 9] {
    fn meanwhile(waits: impl FnOnce() + Send, ends: impl FnOnce()) {
        thread::scope(|scope| {
            scope.spawn(waits);
            testing::wait_until_all_parked();
            ends();
        });
    }
    fn cancelled(waits: fn()) {
        let waits = thread::spawn(waits);
        testing::wait_until_all_parked();
        waits.cancel().unwrap();
        assert!(waits.join().is_err());
    }
    [
        ("a park", || {
            let parks = thread::spawn(|| thread::park_timeout(HOUR));
            testing::wait_until_all_parked();
            parks.thread().unpark();
            parks.join().unwrap();
        }),
        ("an event", || {
            let event = Event::new();
            meanwhile(|| assert!(event.wait_timeout(HOUR)), || event.set());
        }),
        ("a lock", || {
            let mutex = Mutex::new(());
            let guard = mutex.lock().unwrap();
            meanwhile(|| assert!(mutex.try_lock_for(HOUR).is_ok()), || drop(guard));
        }),
        ("a condition variable", || {
            let (mutex, condvar) = (Mutex::new(()), Condvar::new());
            let waits = || drop(condvar.wait_timeout(mutex.lock().unwrap(), HOUR).unwrap());
            meanwhile(waits, || condvar.notify_one());
        }),
        ("a permit", || {
            let semaphore = Semaphore::new(0);
            let waits = || assert!(semaphore.try_acquire_for(HOUR).is_some());
            meanwhile(waits, || semaphore.add_permits(1));
        }),
        ("a message", || {
            let (sender, receiver) = bounded(0);
            let waits = || assert!(receiver.recv_timeout(HOUR).is_ok());
            meanwhile(waits, || sender.send(()).unwrap());
        }),
        ("a wait under a deadline", || {
            let event = Event::new();
            let waits = || assert!(time::timeout(HOUR, || event.wait()).is_ok());
            meanwhile(waits, || event.set());
        }),
        ("a sleep that is cancelled", || cancelled(|| thread::sleep(HOUR))),
        ("a tick that is cancelled", || {
            cancelled(|| {
                Ticker::new(HOUR).tick();
            });
        }),
    ]
}

/// Beside number 4: a timer that is left behind by a wait that has ended keeps memory, and wakes a
/// worker for nothing. The clock of a seeded run stops at each timer that is armed, so it tells.
#[test]
fn wait_that_ends_before_its_time_leaves_no_timer_behind() {
    for (name, wait) in waits_that_end_early() {
        for seed in 0..20 {
            let strategy =
                if seed % 2 == 0 { Strategy::Random } else { Strategy::Pct { depth: 3 } };
            let ((), trace) = Plan::new().strategy(strategy).trace(seed, move || {
                wait();
                thread::sleep(2 * HOUR);
            });
            let trace = trace.to_string();
            let moves: Vec<_> = trace.lines().filter(|line| line.contains("the clock")).collect();
            let [only] = moves[..] else { panic!("{name}, seed {seed}: {moves:#?}") };
            assert!(only.contains("moves to 7200s"), "{name}, seed {seed}: {only}");
        }
    }
}

/// Number 13: a wake was lost between the kernel and the ready queue, and all timers stalled. Here
/// a worker that sleeps until a far timer is woken, and its thread arms a nearer one.
#[test]
fn timer_armed_after_a_wake_fires_though_the_worker_slept_until_a_later_one() {
    in_every_runtime(|shape| {
        if matches!(shape, Shape::Seeded(_)) {
            // The clock of a seeded run does not move while a kernel thread may act on it.
            return;
        }
        let far: Vec<_> = (0..16).map(|_| thread::spawn(|| thread::sleep(HOUR))).collect();
        thread::scope(|scope| {
            let naps: Vec<_> = (0..4)
                .map(|_| {
                    let (sender, receiver) = bounded(0);
                    let (answers, answered) = bounded(0);
                    scope.spawn(move || {
                        for () in receiver {
                            thread::sleep(MOMENT / 10);
                            answers.send(()).unwrap();
                        }
                    });
                    (sender, answered)
                })
                .collect();
            std::thread::scope(|kernel| {
                // From a kernel thread, which lets the workers fall asleep between two rounds. A
                // green thread waits for it by the channels alone.
                let (done, is_done) = bounded(0);
                kernel.spawn(move || {
                    for _ in 0..50 {
                        naps.iter().for_each(|(sender, _)| sender.send(()).unwrap());
                        naps.iter().for_each(|(_, answered)| answered.recv().unwrap());
                    }
                    drop(naps);
                    done.send(()).unwrap();
                });
                is_done.recv().unwrap();
            });
        });
        for thread in far {
            assert!(!thread.is_finished());
            thread.cancel().unwrap();
            assert!(thread.join().is_err());
        }
    });
}

/// Number 13, the other way round: a worker that is woken all the time looks at its timers too.
#[test]
fn timers_fire_on_workers_that_are_woken_all_the_time() {
    in_every_runtime(|shape| {
        if matches!(shape, Shape::Seeded(_)) {
            // As above.
            return;
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let woken: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        while !stop.load(SeqCst) {
                            thread::park();
                        }
                    })
                })
                .collect();
            let busy = scope.spawn(|| until(|| stop.load(SeqCst)));
            let targets: Vec<_> = woken.iter().map(|thread| thread.thread().clone()).collect();
            std::thread::scope(|kernel| {
                kernel.spawn(|| {
                    while !stop.load(SeqCst) {
                        targets.iter().for_each(thread::Thread::unpark);
                    }
                });
                let sleepers: Vec<_> = (0..20)
                    .map(|_| scope.spawn(|| (0..10).for_each(|_| thread::sleep(MOMENT / 10))))
                    .collect();
                sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
                stop.store(true, SeqCst);
            });
            targets.iter().for_each(thread::Thread::unpark);
            busy.join().unwrap();
        });
    });
}

/// Beside number 13: a thread that always can run does not keep the timers from firing.
#[test]
fn sleepers_wake_beside_threads_that_never_stop() {
    for mapping in [Mapping::ManyToOne, Mapping::ManyToMany] {
        let runtime = sylvan::Runtime::builder().mapping(mapping).workers(1).build().unwrap();
        runtime.run(|| {
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| until(|| stop.load(SeqCst)));
                }
                (0..20).for_each(|_| thread::sleep(MOMENT / 10));
                stop.store(true, SeqCst);
            });
        });
    }
}
