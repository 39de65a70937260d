//! The patterns of the scheduling benchmarks of the C∀ group, by which Thierry Delisle's thesis
//! ("The C∀ Scheduler", University of Waterloo, 2022) compares C∀, Go, tokio and libfibre. What
//! each pattern is was read off the programs that the group published for it
//! (SchedulingBenchmarks_PhD22); they are written anew here, for all peers alike.
#![forbid(unsafe_code)]

mod churn;
mod cycle;
mod locality;
mod transfer;

use crate::row::{Row, Scale};

/// Threads per worker, as in the thesis.
const THREADS_PER_WORKER: u64 = 100;

pub(super) fn rows(scale: Scale, workers: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &workers in workers {
        rows.extend(cycle::rows(scale, workers));
        rows.push(churn::row(scale, workers));
        rows.extend(locality::rows(scale, workers));
        rows.extend(transfer::rows(scale, workers));
    }
    rows
}
