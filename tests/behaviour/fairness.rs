//! Turns: whoever can run gets one, whatever the others do, and help comes to stuck workers.
//!
//! Counted in turns, not in time. The bound is the one that the documentation promises: a thread
//! that can run gets its turn after at most 4 turns for each runnable thread of its worker, plus
//! 61. It is checked under N:1, where all turns are taken by one worker and can be counted.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sylvan::thread;
use sylvan_workspace::{Shape, count_gaps, in_every_runtime, longest_gap_of_yields, until};

#[test]
fn yielding_threads_take_turns_within_the_bound() {
    in_every_runtime(|shape| {
        if !shape.is_many_to_one() {
            return;
        }
        let longest = longest_gap_of_yields(30);
        assert!(longest <= 4 * 31 + 61, "a thread waited for {longest} turns of others");
    });
}

/// A little longer than a slice, so that each link of a chain is a turn of its own; what shorter
/// ones leave of a slice may be passed on to their successors.
const TURN: Duration = Duration::from_micros(120);

/// Spawns its successor before it ends, as long as nobody stops it.
fn chain(turns: Arc<AtomicUsize>, stop: Arc<AtomicBool>, ended: Arc<AtomicBool>) {
    turns.fetch_add(1, SeqCst);
    let start = Instant::now();
    while start.elapsed() < TURN {
        std::hint::spin_loop();
    }
    if stop.load(SeqCst) {
        ended.store(true, SeqCst);
    } else {
        drop(thread::spawn(move || chain(turns, stop, ended)));
    }
}

#[test]
fn chain_of_spawns_does_not_starve_started_threads() {
    in_every_runtime(|shape| {
        let (turns, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let ended = Arc::new(AtomicBool::new(false));
        let watched = count_gaps(&turns, &stop);
        let (a, b, c) = (turns.clone(), stop.clone(), ended.clone());
        thread::spawn(move || chain(a, b, c));
        until(|| turns.load(SeqCst) > 1_000);
        stop.store(true, SeqCst);
        let longest = watched.join().unwrap();
        until(|| ended.load(SeqCst));
        if shape.is_many_to_one() {
            assert!(longest <= 4 * 4 + 61, "a thread waited for {longest} turns of others");
        }
    });
}

#[test]
fn chain_of_spawns_does_not_starve_the_oldest_unstarted() {
    in_every_runtime(|shape| {
        let (turns, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (ended, old_at) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (inner, counter) = (old_at.clone(), turns.clone());
        let spawned_at = turns.load(SeqCst);
        let oldest = thread::spawn(move || inner.store(counter.load(SeqCst), SeqCst));
        let (a, b, c) = (turns.clone(), stop.clone(), ended.clone());
        thread::spawn(move || chain(a, b, c));
        // No join before: the old one has to come to its turn by itself.
        until(|| oldest.is_finished());
        stop.store(true, SeqCst);
        oldest.join().unwrap();
        until(|| ended.load(SeqCst));
        if shape.is_many_to_one() {
            let waited = old_at.load(SeqCst) - spawned_at;
            assert!(waited <= 4 * 4 + 61, "the oldest waited for {waited} turns of others");
        }
    });
}

#[test]
fn yielding_thread_does_not_starve_the_unstarted() {
    in_every_runtime(|_| {
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let stop = stop.clone();
                thread::spawn(move || until(|| stop.load(SeqCst)))
            })
            .collect();
        for _ in 0..50 {
            thread::spawn(|| ()).join().unwrap();
        }
        stop.store(true, SeqCst);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn ping_pong_pair_does_not_starve_a_third() {
    in_every_runtime(|shape| {
        let (turns, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, ended) = (turns.clone(), stop.clone());
        let first = thread::spawn(move || {
            let (count, end) = (counter.clone(), ended.clone());
            let me = thread::current();
            let second = thread::spawn(move || {
                while !end.load(SeqCst) {
                    thread::park();
                    count.fetch_add(1, SeqCst);
                    me.unpark();
                }
            });
            while !ended.load(SeqCst) {
                second.thread().unpark();
                thread::park();
                counter.fetch_add(1, SeqCst);
            }
            second.thread().unpark();
            second.join().unwrap();
        });
        let watched = count_gaps(&turns, &stop);
        until(|| turns.load(SeqCst) > 2_000);
        stop.store(true, SeqCst);
        first.thread().unpark();
        let longest = watched.join().unwrap();
        first.join().unwrap();
        if shape.is_many_to_one() {
            assert!(longest <= 4 * 4 + 61, "a thread waited for {longest} turns of others");
        }
    });
}

#[test]
fn calls_that_complete_at_once_yield_now_and_then() {
    // A thread whose every call is done at once must not keep its worker.
    in_every_runtime(|_| {
        let stop = Arc::new(AtomicBool::new(false));
        let inner = stop.clone();
        let busy = thread::spawn(move || {
            while !inner.load(SeqCst) {
                thread::current().unpark();
                thread::park();
            }
        });
        until(|| busy.is_finished() || thread::spawn(|| true).join().unwrap());
        for _ in 0..20 {
            thread::yield_now();
        }
        stop.store(true, SeqCst);
        busy.join().unwrap();
    });
}

/// So long that only lost work takes it.
const HELP_IS_LOST: Duration = Duration::from_secs(30);

#[test]
fn thread_spawned_by_a_worker_that_blocks_runs_elsewhere() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        for _ in 0..20 {
            let (sender, receiver) = mpsc::channel();
            let helper = thread::spawn(move || sender.send(1).unwrap());
            receiver.recv_timeout(HELP_IS_LOST).expect("another worker finds the sender");
            helper.join().unwrap();
        }
    });
}

#[test]
fn thread_spawned_by_a_worker_that_spins_runs_elsewhere() {
    in_every_runtime(|shape| {
        if !shape.is_parallel() {
            return;
        }
        for _ in 0..20 {
            let done = Arc::new(AtomicBool::new(false));
            let inner = done.clone();
            let helper = thread::spawn(move || inner.store(true, SeqCst));
            while !done.load(SeqCst) {
                std::hint::spin_loop();
            }
            helper.join().unwrap();
        }
    });
}

#[test]
fn one_free_worker_helps_all_that_are_stuck() {
    in_every_runtime(|shape| {
        let Shape::ManyToMany(workers) = shape else { return };
        // Each stuck thread waits, by std's means, for one that it has spawned itself.
        let stuck: Vec<_> = (0..workers - 1)
            .map(|_| {
                thread::spawn(move || {
                    for _ in 0..5 {
                        let (sender, receiver) = mpsc::channel();
                        drop(thread::spawn(move || sender.send(()).unwrap()));
                        receiver.recv_timeout(HELP_IS_LOST).expect("the free worker helps");
                        thread::yield_now();
                    }
                })
            })
            .collect();
        for thread in stuck {
            thread.join().unwrap();
        }
    });
}

#[test]
fn spawn_from_a_kernel_thread_is_found_by_sleeping_workers() {
    in_every_runtime(|shape| {
        if shape.is_many_to_one() {
            return;
        }
        let handle = sylvan::Handle::current();
        let kernel = std::thread::spawn(move || {
            for n in 0..200 {
                assert_eq!(handle.spawn(move || n).join().unwrap(), n);
            }
        });
        until(|| kernel.is_finished());
        kernel.join().unwrap();
    });
}
