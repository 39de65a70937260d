//! Work of random length for the imbalance rows, and what it would take in equal parts.
//!
//! Shared with the program that has open-coroutine, so it depends on `random` alone.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crate::random::Random;

pub(crate) const THREADS: u64 = 256;

/// Some arithmetic that no compiler shortens; a round takes about a nanosecond.
pub(crate) fn compute(rounds: u64) {
    let mut random = Random::new(rounds);
    for _ in 0..rounds {
        black_box(random.next());
    }
}

/// Rounds of each thread: uniform between nothing and twice the mean, the same in each run.
pub(crate) fn lengths(mean: u64) -> Vec<u64> {
    let mut random = Random::new(7);
    (0..THREADS).map(|_| random.below(2 * mean)).collect()
}

/// Makespan of `play` : ideal, of which the latter is measured just before and just after.
pub(crate) fn ratio(mean: u64, workers: usize, play: impl FnOnce() -> Duration) -> f64 {
    let before = ideal(mean, workers);
    let took = play();
    let ideal = (before + ideal(mean, workers)) / 2;
    took.as_secs_f64() / ideal.as_secs_f64()
}

/// What kernel threads take for the same in equal parts: their mean.
fn ideal(mean: u64, workers: usize) -> Duration {
    let part = lengths(mean).iter().sum::<u64>() / workers as u64;
    let barrier = Arc::new(Barrier::new(workers));
    let start = |_| {
        let barrier = barrier.clone();
        std::thread::spawn(move || {
            barrier.wait();
            let start = Instant::now();
            compute(part);
            start.elapsed()
        })
    };
    let threads: Vec<_> = (0..workers).map(start).collect();
    let sum: Duration = threads.into_iter().map(|t| t.join().expect("no panic")).sum();
    sum / workers as u32
}
