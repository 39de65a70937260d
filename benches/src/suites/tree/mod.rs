//! The tree rows: recursion in which each call is a thread, or may become one.
//!
//! Figures are per thread, so that a peer that cannot do a row's size can be compared at a smaller
//! one.
#![forbid(unsafe_code)]

mod fib;
mod queens;
mod skynet;

use crate::measure::{fixed, timed};
use crate::peers::threads::{Sylvan, sylvan_runtime};
use crate::row::{Outcome, Row, Scale};

pub(super) fn rows(scale: Scale, workers: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &workers in workers {
        rows.extend(skynet::rows(scale, workers));
        rows.extend(fib::rows(scale, workers));
        rows.extend(queens::rows(workers));
    }
    rows
}

/// A library's fork-join call, for trees that are the same otherwise.
trait ForkJoin {
    fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send;
}

/// rayon, which has no threads to be a peer in other rows.
struct Rayon;

impl ForkJoin for Sylvan {
    #[inline(always)]
    fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        sylvan::join(a, b)
    }
}

impl ForkJoin for Rayon {
    #[inline(always)]
    fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        rayon::join(a, b)
    }
}

/// `f` in a thread of sylvan's, which makes so many threads.
fn on_sylvan(workers: usize, threads: u64, f: fn(u64) -> u64, n: u64) -> Outcome {
    let runtime = sylvan_runtime(workers);
    fixed(threads, || runtime.run(|| timed(|| f(std::hint::black_box(n)))))
}

/// `f` in rayon's pool.
fn on_rayon(workers: usize, threads: u64, f: fn(u64) -> u64, n: u64) -> Outcome {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build();
    let pool = pool.map_err(|error| error.to_string())?;
    fixed(threads, || pool.install(|| timed(|| f(std::hint::black_box(n)))))
}
