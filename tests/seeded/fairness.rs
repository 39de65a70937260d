//! The bound of every runtime holds under both strategies: a thread that can run has its turn after
//! at most four times as many turns as threads can run, plus 61.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use sylvan::testing::{Plan, Strategy};
use sylvan::thread;

const STRATEGIES: [Strategy; 3] =
    [Strategy::Random, Strategy::Pct { depth: 2 }, Strategy::Pct { depth: 6 }];

/// Counts turns of others between two of its own, and looks whether the bound holds, for the most
/// threads that could run meanwhile.
fn watch(turns: &AtomicU64, runnable_max: &AtomicUsize, stop: &AtomicBool) {
    let mut last = turns.fetch_add(1, SeqCst);
    while !stop.load(SeqCst) {
        thread::yield_now();
        let now = turns.fetch_add(1, SeqCst);
        let bound = 4 * runnable_max.load(SeqCst) as u64 + 61;
        assert!(
            now - last <= bound,
            "a thread waited for {} turns; {bound} is the bound",
            now - last
        );
        last = now;
    }
}

#[test]
fn bound_holds_beside_a_spawner_that_never_stops() {
    for strategy in STRATEGIES {
        for seed in 0..10 {
            Plan::new().strategy(strategy).run(seed, || {
                let turns = Arc::new(AtomicU64::new(0));
                let runnable = Arc::new(AtomicUsize::new(4));
                let runnable_max = Arc::new(AtomicUsize::new(4));
                let stop = Arc::new(AtomicBool::new(false));
                let watched: Vec<_> = (0..3)
                    .map(|_| {
                        let (turns, max, stop) =
                            (turns.clone(), runnable_max.clone(), stop.clone());
                        thread::spawn(move || watch(&turns, &max, &stop))
                    })
                    .collect();
                let (counter, max, ended) = (turns.clone(), runnable_max.clone(), stop.clone());
                let spawner = thread::spawn(move || {
                    while !ended.load(SeqCst) {
                        counter.fetch_add(1, SeqCst);
                        let now = runnable.fetch_add(1, SeqCst) + 1;
                        max.fetch_max(now, SeqCst);
                        let (counter, runnable) = (counter.clone(), runnable.clone());
                        drop(thread::spawn(move || {
                            counter.fetch_add(1, SeqCst);
                            runnable.fetch_sub(1, SeqCst);
                        }));
                        thread::yield_now();
                    }
                });
                while turns.load(SeqCst) < 3_000 {
                    thread::yield_now();
                }
                stop.store(true, SeqCst);
                for thread in watched {
                    thread.join().unwrap();
                }
                spawner.join().unwrap();
            });
        }
    }
}

#[test]
fn unstarted_threads_keep_the_bound_too() {
    for strategy in STRATEGIES {
        for seed in 0..10 {
            let waited = Plan::new().strategy(strategy).run(seed, || {
                let turns = Arc::new(AtomicU64::new(0));
                let yielding: Vec<_> = (0..9)
                    .map(|_| {
                        let turns = turns.clone();
                        thread::spawn(move || {
                            for _ in 0..300 {
                                turns.fetch_add(1, SeqCst);
                                thread::yield_now();
                            }
                        })
                    })
                    .collect();
                thread::yield_now();
                let (spawned_at, counter) = (turns.load(SeqCst), turns.clone());
                let started_at = thread::spawn(move || counter.load(SeqCst)).join().unwrap();
                for thread in yielding {
                    thread.join().unwrap();
                }
                started_at - spawned_at
            });
            assert!(waited <= 4 * 11 + 61, "{strategy}, seed {seed}: {waited} turns");
        }
    }
}

#[test]
fn calls_that_complete_at_once_do_not_keep_the_worker() {
    for strategy in STRATEGIES {
        for seed in 0..20 {
            Plan::new().strategy(strategy).run(seed, || {
                let stop = Arc::new(AtomicBool::new(false));
                let inner = stop.clone();
                let busy = thread::spawn(move || {
                    while !inner.load(SeqCst) {
                        thread::current().unpark();
                        thread::park();
                    }
                });
                thread::yield_now();
                stop.store(true, SeqCst);
                busy.join().unwrap();
            });
        }
    }
}

#[test]
fn a_loop_that_waits_for_a_state_by_yielding_ends_under_priorities() {
    for strategy in STRATEGIES {
        for seed in 0..50 {
            Plan::new().strategy(strategy).run(seed, || {
                let done = Arc::new(AtomicBool::new(false));
                let inner = done.clone();
                drop(thread::spawn(move || inner.store(true, SeqCst)));
                while !done.load(SeqCst) {
                    thread::yield_now();
                }
            });
        }
    }
}
