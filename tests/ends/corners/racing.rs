//! Deadlines that race with wakes on real clocks and real processors, many of both: the sums are
//! right, whoever was first.
//!
//! How long the deadlines are is the same in each run, but for the number of the seeded run; whom
//! they meet is not.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use sylvan::channel::{self, Select};
use sylvan::sync::{Condvar, Mutex, Semaphore};
use sylvan::thread;
use sylvan::time::{self, Duration};
use sylvan_workspace::{OnDrop, Random, everywhere};

/// How many threads there are on each side, and how often each of them tries.
const THREADS: usize = 4;
const ROUNDS: usize = 150;

/// Mostly about as long as a wake takes; now and then no time at all.
fn patience(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(60).saturating_sub(5))
}

/// Runs `first` and `second` in so many threads each, to their ends.
fn race(first: impl Fn(&mut Random) + Sync, second: impl Fn(&mut Random) + Sync) {
    let seed = 1000 * sylvan::testing::seed().unwrap_or(0);
    thread::scope(|scope| {
        for number in 0..THREADS as u64 {
            let (first, second) = (&first, &second);
            scope.spawn(move || first(&mut Random::new(seed + 2 * number)));
            scope.spawn(move || second(&mut Random::new(seed + 2 * number + 1)));
        }
    });
}

#[test]
fn messages_are_received_as_often_as_they_were_sent() {
    everywhere(|_| {
        for capacity in [Some(0), Some(1), None] {
            let (sender, receiver) = capacity.map_or_else(channel::unbounded, channel::bounded);
            let [made, gone, sent, got] = [0; 4].map(AtomicUsize::new);
            let left = AtomicUsize::new(THREADS);
            race(
                |random| {
                    let _leaves = OnDrop(|| _ = left.fetch_sub(1, SeqCst));
                    for _ in 0..ROUNDS {
                        made.fetch_add(1, SeqCst);
                        let letter = OnDrop(|| _ = gone.fetch_add(1, SeqCst));
                        let outcome = time::timeout(patience(random), || sender.send(letter));
                        if let Ok(result) = outcome {
                            assert!(result.is_ok(), "there are receivers");
                            sent.fetch_add(1, SeqCst);
                        }
                    }
                },
                |random| {
                    while left.load(SeqCst) > 0 || !receiver.is_empty() {
                        let outcome = time::timeout(patience(random), || {
                            if random.below(2) == 0 {
                                return receiver.recv().is_ok();
                            }
                            let mut select = Select::new();
                            select.recv(&receiver);
                            select.select().recv(&receiver).is_ok()
                        });
                        got.fetch_add(usize::from(outcome.is_ok()), SeqCst);
                        thread::yield_now();
                    }
                },
            );
            let left_behind = receiver.try_iter().count();
            assert_eq!(sent.load(SeqCst), got.load(SeqCst) + left_behind, "{capacity:?}");
            drop((sender, receiver));
            assert_eq!(made.load(SeqCst), gone.load(SeqCst), "dropped once each");
        }
    });
}

#[test]
fn permits_are_there_as_often_as_they_were_given() {
    everywhere(|_| {
        let semaphore = Semaphore::new(0);
        let (taken, left) = (AtomicUsize::new(0), AtomicUsize::new(THREADS));
        race(
            |random| {
                let _leaves = OnDrop(|| _ = left.fetch_sub(1, SeqCst));
                for _ in 0..ROUNDS {
                    semaphore.add_permits(2);
                    thread::sleep(patience(random) / 2);
                }
            },
            |random| {
                while left.load(SeqCst) > 0 {
                    let many = 1 + random.below(3) as usize;
                    let acquire = || semaphore.acquire_many(many).forget();
                    if time::timeout(patience(random), acquire).is_ok() {
                        taken.fetch_add(many, SeqCst);
                    }
                }
            },
        );
        let rest = semaphore.available_permits();
        assert_eq!(taken.load(SeqCst) + rest, 2 * THREADS * ROUNDS);
        drop(semaphore.acquire_many(rest));
    });
}

#[test]
fn tokens_under_a_lock_with_a_condvar_are_taken_once() {
    everywhere(|_| {
        let (lock, condvar) = (Mutex::new(0_usize), Condvar::new());
        let (taken, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let left = AtomicUsize::new(THREADS);
        race(
            |random| {
                for _ in 0..ROUNDS {
                    *lock.lock().unwrap() += 1;
                    condvar.notify_one();
                    thread::sleep(patience(random) / 2);
                }
                if left.fetch_sub(1, SeqCst) == 1 {
                    over.store(true, SeqCst);
                }
            },
            |random| {
                while !over.load(SeqCst) {
                    let outcome = time::timeout(patience(random), || {
                        let guard = lock.lock().unwrap();
                        let mut guard = condvar.wait_while(guard, |tokens| *tokens == 0).unwrap();
                        *guard -= 1;
                    });
                    taken.fetch_add(usize::from(outcome.is_ok()), SeqCst);
                }
            },
        );
        assert!(!lock.is_poisoned());
        assert_eq!(*lock.lock().unwrap() + taken.load(SeqCst), THREADS * ROUNDS);
    });
}

#[test]
fn scopes_and_arms_that_race_their_deadline_end_whole() {
    everywhere(|_| {
        let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let leaf = || {
            begun.fetch_add(1, SeqCst);
            let _ends = OnDrop(|| _ = ended.fetch_add(1, SeqCst));
            thread::sleep(Duration::from_micros(20));
        };
        race(
            |random| {
                for _ in 0..ROUNDS / 3 {
                    let _ = time::timeout(patience(random), || {
                        thread::scope(|scope| {
                            let children = [(); 3].map(|()| scope.spawn(leaf));
                            children.into_iter().for_each(|child| child.join().unwrap());
                        });
                    });
                }
            },
            |random| {
                for _ in 0..ROUNDS / 3 {
                    let _ = time::timeout(patience(random), || {
                        sylvan::join(|| sylvan::join(leaf, leaf), || sylvan::join(leaf, leaf))
                    });
                }
            },
        );
        assert_eq!(begun.load(SeqCst), ended.load(SeqCst));
        assert!(!thread::cancelled());
    });
}
