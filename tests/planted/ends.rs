//! Bugs about how threads end, and parts of them: by a panic, a cancellation, a deadline, with
//! their group.

use std::collections::VecDeque;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use sylvan::channel::unbounded;
use sylvan::thread::{self, Thread};
use sylvan::time::{self, Duration};

use crate::{Twin, expect_found};

/// Under a seed it lasts exactly so long.
const PAUSE: Duration = Duration::from_millis(1);

/// Stands for anything that may wait.
fn log() {
    thread::yield_now();
}

const STUCK: &str = "nothing can move any more";

#[test]
fn join_that_races_a_panic() {
    expect_found("ends::join_that_races_a_panic", "the supervisor falls with it", |twin| {
        let (failed, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (flag, stopped) = (failed.clone(), stop.clone());
        let worker = thread::spawn(move || {
            thread::yield_now();
            if !stopped.load(SeqCst) {
                flag.store(true, SeqCst);
                // Not through the panic hook: the seeds that pass need not print it.
                std::panic::resume_unwind(Box::new("the worker has failed"));
            }
        });
        match twin {
            Twin::Broken => {
                // It may still fail between the look and the join.
                if !failed.load(SeqCst) {
                    thread::yield_now();
                    worker.join().expect("the supervisor falls with it");
                }
            }
            Twin::Mended => {
                thread::yield_now();
                stop.store(true, SeqCst);
                assert_eq!(worker.join().is_err(), failed.load(SeqCst));
            }
        }
    });
}

#[test]
fn cancel_that_races_a_finish() {
    expect_found("ends::cancel_that_races_a_finish", "the job was done twice", |twin| {
        let done = Arc::new(AtomicU32::new(0));
        let inner = done.clone();
        let worker = thread::spawn(move || {
            thread::yield_now();
            inner.fetch_add(1, SeqCst);
            thread::yield_now();
        });
        thread::yield_now();
        worker.cancel().unwrap();
        let ended = worker.join();
        let undone = match twin {
            // A cancellation asks; it does not say how far the thread had come.
            Twin::Broken => ended.is_err(),
            Twin::Mended => done.load(SeqCst) == 0,
        };
        if undone {
            done.fetch_add(1, SeqCst);
        }
        assert!(done.load(SeqCst) < 2, "the job was done twice");
    });
}

/// One baton, which is handed to those who wait in turn.
struct Baton {
    twin: Twin,
    is_free: Mutex<bool>,
    waiting: Mutex<VecDeque<(Arc<AtomicBool>, Thread)>>,
}

impl Baton {
    fn take(&self) {
        if std::mem::take(&mut *self.is_free.lock().unwrap()) {
            return;
        }
        let place = Place { baton: self, is_granted: Arc::new(AtomicBool::new(false)) };
        let entry = (place.is_granted.clone(), thread::current());
        self.waiting.lock().unwrap().push_back(entry);
        while !place.is_granted.load(SeqCst) {
            thread::park();
        }
        std::mem::forget(place);
    }

    fn give(&self) {
        let next = self.waiting.lock().unwrap().pop_front();
        match next {
            Some((is_granted, thread)) => {
                is_granted.store(true, SeqCst);
                thread.unpark();
            }
            None => *self.is_free.lock().unwrap() = true,
        }
    }
}

/// One who waits for the baton and may be unwound.
struct Place<'a> {
    baton: &'a Baton,
    is_granted: Arc<AtomicBool>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.baton.waiting.lock().unwrap();
        waiting.retain(|(other, _)| !Arc::ptr_eq(other, &self.is_granted));
        drop(waiting);
        // It may have been granted after the cancellation, and nobody else knows.
        if self.baton.twin == Twin::Mended && self.is_granted.load(SeqCst) {
            self.baton.give();
        }
    }
}

#[test]
fn wake_lost_with_the_one_who_was_cancelled() {
    expect_found("ends::wake_lost_with_the_one_who_was_cancelled", STUCK, |twin| {
        let (is_free, waiting) = (Mutex::new(false), Mutex::default());
        let baton = Baton { twin, is_free, waiting };
        thread::scope(|scope| {
            let pass = || {
                baton.take();
                baton.give();
            };
            let first = scope.spawn(pass);
            let second = scope.spawn(pass);
            log();
            first.cancel().unwrap();
            baton.give();
            let _ = first.join();
            second.join().unwrap();
        });
    });
}

#[test]
fn cancellation_that_is_caught_unwinds_twice() {
    expect_found("ends::cancellation_that_is_caught_unwinds_twice", "given back twice", |twin| {
        /// Gives a place back.
        struct GivesBack<'a>(&'a AtomicU32);

        impl Drop for GivesBack<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, SeqCst);
            }
        }

        let given_back = AtomicU32::new(0);
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let place = GivesBack(&given_back);
                let work = || {
                    log();
                    log();
                };
                if let Err(payload) = catch_unwind(work) {
                    match twin {
                        Twin::Broken => {
                            given_back.fetch_add(1, SeqCst);
                            // Cut off again here, for the thread is cancelled still.
                            log();
                        }
                        Twin::Mended => drop(place),
                    }
                    resume_unwind(payload);
                }
            });
            log();
            worker.cancel().unwrap();
            let _ = worker.join();
        });
        assert!(given_back.load(SeqCst) < 2, "the place was given back twice");
    });
}

#[test]
fn timer_left_behind_by_the_job_before() {
    expect_found("ends::timer_left_behind_by_the_job_before", "the second job is late", |twin| {
        let is_late = Arc::new(AtomicBool::new(false));
        let run = |job: Duration| {
            let flag = is_late.clone();
            is_late.store(false, SeqCst);
            let timer = thread::spawn(move || {
                thread::sleep(PAUSE);
                flag.store(true, SeqCst);
            });
            thread::sleep(job);
            timer.cancel().unwrap();
            if twin == Twin::Mended {
                // Its time may have come by now, and the flag is not raised yet.
                let _ = timer.join();
            }
            is_late.load(SeqCst)
        };
        // In time or not, and nobody can say.
        run(PAUSE);
        assert!(!run(PAUSE / 2), "the second job is late");
    });
}

#[test]
fn deadline_that_is_not_inherited() {
    expect_found("ends::deadline_that_is_not_inherited", "too late for it", |twin| {
        let (sender, receiver) = unbounded();
        let taken = Arc::new(AtomicU32::new(0));
        let sends = thread::spawn(move || {
            thread::sleep(PAUSE);
            log();
            sender.send("for who waits").unwrap();
        });
        let take = {
            let (receiver, taken) = (receiver.clone(), taken.clone());
            move || taken.fetch_add(u32::from(receiver.recv().is_ok()), SeqCst)
        };
        let outcome = time::timeout(PAUSE, || match twin {
            // It waits on when its time is over.
            Twin::Broken => drop(thread::spawn(take).join()),
            Twin::Mended => drop(thread::scope(|scope| scope.spawn(take).join())),
        });
        if outcome.is_err() && taken.load(SeqCst) == 0 {
            receiver.recv().expect("a thread has taken the message that was too late for it");
        }
        sends.join().unwrap();
    });
}

#[test]
fn elapsed_taken_for_undone() {
    expect_found("ends::elapsed_taken_for_undone", "the job was done twice", |twin| {
        let done = AtomicU32::new(0);
        let outcome = time::timeout(PAUSE, || {
            thread::sleep(PAUSE / 2);
            done.fetch_add(1, SeqCst);
            // At the same instant, in either order.
            thread::sleep(PAUSE / 2);
        });
        let is_undone = match twin {
            Twin::Broken => outcome.is_err(),
            Twin::Mended => done.load(SeqCst) == 0,
        };
        if is_undone {
            done.fetch_add(1, SeqCst);
        }
        assert_eq!(done.load(SeqCst), 1, "the job was done twice");
    });
}

#[test]
fn shield_left_between_two_halves() {
    expect_found("ends::shield_left_between_two_halves", "money is under way", |twin| {
        let (from, to) = (AtomicU32::new(1), AtomicU32::new(0));
        let debit = || {
            log();
            from.fetch_sub(1, SeqCst);
        };
        let credit = || {
            log();
            to.fetch_add(1, SeqCst);
        };
        thread::scope(|scope| {
            let transfer = scope.spawn(|| match twin {
                Twin::Broken => {
                    thread::shield(debit);
                    // What has come meanwhile is delivered here.
                    log();
                    thread::shield(credit);
                }
                Twin::Mended => thread::shield(|| {
                    debit();
                    credit();
                }),
            });
            log();
            transfer.cancel().unwrap();
            let _ = transfer.join();
        });
        let sum = from.load(SeqCst) + to.load(SeqCst);
        assert_eq!(sum, 1, "money is under way");
    });
}

#[test]
fn group_that_does_not_know_all_its_threads() {
    expect_found("ends::group_that_does_not_know_all_its_threads", "left behind", |twin| {
        let done = Arc::new(AtomicU32::new(0));
        let outcome = thread::group(|group| {
            for _ in 0..2 {
                let done = done.clone();
                group.spawn(move || {
                    let rest = {
                        let done = done.clone();
                        move || {
                            log();
                            done.fetch_add(1, SeqCst);
                        }
                    };
                    log();
                    done.fetch_add(1, SeqCst);
                    match twin {
                        Twin::Broken => drop(thread::spawn(rest)),
                        Twin::Mended => drop(group.spawn(move || {
                            rest();
                            Ok(())
                        })),
                    }
                    Ok::<_, ()>(())
                });
            }
            Ok(())
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(done.load(SeqCst), 4, "some work was left behind");
    });
}

#[test]
fn second_result_taken_for_the_first() {
    expect_found("ends::second_result_taken_for_the_first", "came in second", |twin| {
        let places = AtomicU32::new(0);
        let run = || {
            log();
            places.fetch_add(1, SeqCst)
        };
        let won = match twin {
            Twin::Broken => {
                let (finish, results) = unbounded();
                let place = Mutex::new(None);
                thread::scope(|scope| {
                    for _ in 0..2 {
                        let (finish, place, run) = (finish.clone(), &place, &run);
                        scope.spawn(move || {
                            let result = run();
                            *place.lock().unwrap() = Some(result);
                            finish.send(()).unwrap();
                        });
                    }
                    results.recv().unwrap();
                    // The other one may come in meanwhile.
                    log();
                    place.lock().unwrap().take()
                })
            }
            Twin::Mended => Some(thread::race(|race| {
                race.spawn(run);
                race.spawn(run);
            })),
        };
        assert_eq!(won, Some(0), "the winner came in second");
    });
}
