//! Races: one result, everybody else cut off and joined, whoever wins.
#![forbid(unsafe_code)]
#![allow(clippy::unit_arg, reason = "a thread that only does something ends by `Ok(f())`")]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::thread::{self, CancelKind, Cancelled};
use sylvan::time;
use sylvan_workspace::{Counts, everywhere, in_every_runtime, settle, text_of, until};

use crate::staging::{HOUR, Stage, Unreached, WAITS, fail, settle_in};

#[test]
fn winner_cuts_racers_and_body_off_in_each_kind_of_wait() {
    everywhere(|_| {
        for (name, wait) in WAITS {
            for body_waits in [false, true] {
                let (gone, returned) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let stage = Stage::new();
                let winner = stage.hold(|| {
                    thread::race(|race| {
                        for _ in 0..3 {
                            let counts = Counts(&gone);
                            race.spawn(|| {
                                let _counts = counts;
                                wait(&stage);
                                returned.fetch_add(1, SeqCst);
                                "a loser"
                            });
                        }
                        let _counts = Counts(&gone);
                        settle_in(name);
                        race.spawn(|| name);
                        if body_waits {
                            wait(&stage);
                            returned.fetch_add(1, SeqCst);
                        }
                    })
                });
                assert_eq!(winner, name);
                assert_eq!((gone.load(SeqCst), returned.load(SeqCst)), (4, 0), "{name}");
                assert!(!thread::cancelled());
            }
        }
        thread::yield_now();
    });
}

#[test]
fn losers_are_told_that_the_race_was_won_and_by_whom() {
    everywhere(|_| {
        let waiting = AtomicBool::new(false);
        let told = std::sync::Mutex::new(None);
        let winner = thread::race(|race| {
            race.spawn(|| {
                waiting.store(true, SeqCst);
                let payload = catch_unwind(|| thread::sleep(HOUR)).unwrap_err();
                let reason = payload.downcast::<Cancelled>().unwrap().reason().clone();
                *told.lock().unwrap() = Some((reason.kind(), reason.thread_number()));
                thread::current().id()
            });
            until(|| waiting.load(SeqCst));
            race.spawn(|| thread::current().id());
        });
        let (kind, number) = told.into_inner().unwrap().expect("the loser was told");
        assert_eq!(kind, CancelKind::Race);
        assert_eq!(format!("ThreadId({})", number.unwrap()), format!("{winner:?}"));
    });
}

#[test]
fn panic_before_there_is_a_winner_ends_the_race() {
    everywhere(|_| {
        for who in ["racer", "body"] {
            let gone = AtomicUsize::new(0);
            let run = || {
                thread::race::<_, ()>(|race| {
                    let counts = Counts(&gone);
                    race.spawn(|| {
                        let _counts = counts;
                        thread::sleep(HOUR);
                    });
                    let _counts = Counts(&gone);
                    settle();
                    if who == "body" {
                        fail("the body");
                    }
                    race.spawn(|| fail("the racer"));
                    thread::sleep(HOUR);
                })
            };
            let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            assert_eq!(text_of(&*payload), format!("the {who}"));
            assert_eq!(gone.load(SeqCst), 2);
        }
    });
}

#[test]
fn panic_after_the_winner_changes_nothing() {
    everywhere(|_| {
        let waiting = AtomicUsize::new(0);
        let winner = thread::race(|race| {
            for _ in 0..3 {
                race.spawn(|| {
                    waiting.fetch_add(1, SeqCst);
                    assert!(catch_unwind(|| thread::sleep(HOUR)).is_err());
                    fail("a racer that is late");
                });
            }
            until(|| waiting.load(SeqCst) == 3);
            race.spawn(|| "the winner");
            assert!(catch_unwind(|| thread::sleep(HOUR)).is_err());
            fail("the body is late, too");
        });
        assert_eq!(winner, "the winner");
    });
}

#[test]
fn race_without_racers_panics_and_says_so() {
    everywhere(|_| {
        let payload = catch_unwind(|| thread::race::<_, u32>(|_| ())).unwrap_err();
        assert_eq!(
            text_of(&*payload),
            "a race needs a thread with a result: none was spawned, or all were cut off"
        );
    });
}

#[test]
fn single_racer_wins() {
    everywhere(|_| {
        assert_eq!(thread::race(|race| race.spawn(|| 5)), 5);
        let large = thread::race(|race| race.spawn(|| ([7u8; 5000], Cell::new(1))));
        assert_eq!((large.0, large.1.get()), ([7; 5000], 1));
    });
}

#[test]
fn late_results_are_dropped_before_the_race_returns() {
    everywhere(|_| {
        let (dropped, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let winner = thread::race(|race| {
            for number in 0..5 {
                let (dropped, waiting) = (&dropped, &waiting);
                race.spawn(move || {
                    waiting.fetch_add(1, SeqCst);
                    assert!(catch_unwind(|| thread::sleep(HOUR)).is_err());
                    (number, Counts(dropped))
                });
            }
            until(|| waiting.load(SeqCst) == 5);
            race.spawn(|| (5, Counts(&dropped)));
        });
        assert_eq!((winner.0, dropped.load(SeqCst)), (5, 5));
        drop(winner);
        assert_eq!(dropped.load(SeqCst), 6);
    });
}

#[test]
fn racers_that_never_wait_all_run_or_never_begin_and_one_wins() {
    everywhere(|_| {
        let (ran, dropped) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let winner = thread::race(|race| {
            for number in 0..20 {
                let (ran, dropped) = (&ran, &dropped);
                race.spawn(move || {
                    ran.fetch_add(1, SeqCst);
                    (number, Counts(dropped))
                });
            }
        });
        assert!(winner.0 < 20);
        assert_eq!(dropped.load(SeqCst), ran.load(SeqCst) - 1);
    });
}

#[test]
fn racer_that_computes_sees_that_the_race_was_won() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        let computing = AtomicBool::new(false);
        let winner = thread::race(|race| {
            race.spawn(|| {
                computing.store(true, SeqCst);
                while !thread::cancelled() {
                    std::hint::spin_loop();
                }
                "the one that gave up"
            });
            // By a thread of the default runtime: the racer may keep the body's own worker busy.
            std::thread::scope(|kernel| {
                kernel.spawn(|| {
                    while !computing.load(SeqCst) {
                        std::thread::yield_now();
                    }
                    race.spawn(|| "the winner");
                });
            });
        });
        assert_eq!(winner, "the winner");
    });
}

#[test]
fn racers_may_spawn_racers() {
    everywhere(|_| {
        let (gone, unreached) = (AtomicUsize::new(0), Unreached::default());
        let winner = thread::race(|race| {
            for number in 0..3 {
                let (gone, unreached) = (&gone, &unreached);
                race.spawn(move || {
                    let _counts = Counts(gone);
                    race.spawn(move || {
                        if number != 1 {
                            thread::sleep(HOUR);
                        }
                        number
                    });
                    thread::sleep(HOUR);
                    unreached.reach();
                    number
                });
            }
        });
        assert_eq!(winner, 1);
        unreached.expect();
        assert!((1..=3).contains(&gone.load(SeqCst)));
    });
}

#[test]
fn inner_race_leaves_the_outer_one_alone_and_ends_with_it() {
    everywhere(|_| {
        let (gone, unreached) = (AtomicUsize::new(0), Unreached::default());
        let winner = thread::race(|outer| {
            outer.spawn(|| {
                let inner = thread::race(|inner| {
                    inner.spawn(|| 2);
                    inner.spawn(|| {
                        thread::sleep(HOUR);
                        3
                    });
                });
                thread::yield_now();
                assert!(!thread::cancelled());
                ("after the inner race", inner)
            });
            outer.spawn(|| {
                thread::race(|inner| {
                    for _ in 0..2 {
                        let counts = Counts(&gone);
                        inner.spawn(|| {
                            let _counts = counts;
                            thread::sleep(HOUR);
                        });
                    }
                });
                unreached.reach();
                ("nobody wins this one", 0)
            });
        });
        assert_eq!(winner, ("after the inner race", 2));
        unreached.expect();
        // The second racer may have been cut off before it began.
        assert!([0, 2].contains(&gone.load(SeqCst)));
    });
}

#[test]
fn winner_may_be_borrowed_from_around_the_race() {
    everywhere(|_| {
        let words = ["one".to_owned(), "two".to_owned()];
        let winner: &String = thread::race(|race| {
            for word in &words {
                race.spawn(move || word);
            }
        });
        assert!(words.contains(winner));
    });
}

#[test]
fn deadline_ends_a_race_that_nobody_wins_and_one_that_a_racer_sets_does_not() {
    everywhere(|_| {
        let gone = AtomicUsize::new(0);
        let run = || {
            thread::race::<_, ()>(|race| {
                for _ in 0..3 {
                    let counts = Counts(&gone);
                    race.spawn(|| {
                        let _counts = counts;
                        thread::sleep(HOUR);
                    });
                }
            })
        };
        let elapsed = time::timeout(Duration::from_millis(5), run).unwrap_err();
        assert_eq!(elapsed.reason().kind(), CancelKind::Deadline);
        assert_eq!(gone.load(SeqCst), 3);
        let winner = thread::race(|race| {
            race.spawn(|| {
                let nap = time::timeout(Duration::from_millis(1), || thread::sleep(HOUR));
                nap.map_err(|elapsed| elapsed.reason().kind())
            });
            race.spawn(|| Ok(thread::sleep(HOUR)));
        });
        assert_eq!(winner, Err(CancelKind::Deadline));
    });
}

#[test]
fn cancelled_thread_leaves_its_race_by_unwinding_before_and_within() {
    everywhere(|_| {
        let (started, gone) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let handle = scope.spawn(|| {
                let within = catch_unwind(AssertUnwindSafe(|| {
                    thread::race(|race| {
                        race.spawn(|| {
                            let _counts = Counts(&gone);
                            started.store(true, SeqCst);
                            thread::sleep(HOUR);
                        });
                    });
                }));
                assert!(within.unwrap_err().is::<Cancelled>());
                // Nobody begins here, and the race says why.
                thread::race(|race| race.spawn(|| gone.store(100, SeqCst)));
                unreachable!("a race in a cancelled thread was won");
            });
            until(|| started.load(SeqCst));
            handle.cancel_with("enough").unwrap();
            let payload = handle.join().unwrap_err();
            let cancelled = payload.downcast::<Cancelled>().expect("no panic");
            assert_eq!(cancelled.reason().message(), Some("enough"));
        });
        assert_eq!(gone.load(SeqCst), 1);
    });
}
