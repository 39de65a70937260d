//! The start row: how long it takes from nothing to the first thread's end, and from there to a
//! runtime that has gone. The first time in a process counts, for that is what a program meets.
#![forbid(unsafe_code)]

use std::time::Instant;

use crate::peers::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Outcome, Row};

const WORKERS: usize = 2;

pub(super) fn rows() -> Vec<Row> {
    let row = Row::new("start", "start: a runtime and its first thread")
        .workers(WORKERS)
        .metric("start-up", "µs")
        .metric("shut-down", "µs")
        .peer("sylvan", || threads::<Sylvan>(true))
        .peer("tokio", || tasks::<TokioMulti>(true))
        .peer("tokio current thread", || tasks::<TokioCurrent>(true))
        // The executor and these runtimes are there until the process ends.
        .peer("smol", || tasks::<Smol>(false))
        .peer("may", || threads::<May>(false))
        .peer("std", || threads::<Std>(false))
        .open_coroutine()
        .peer("rayon", rayon_pool);
    vec![row]
}

fn microseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

fn threads<P: Threads>(ends: bool) -> Outcome {
    let start = Instant::now();
    let runtime = P::start(WORKERS);
    runtime.run(|| P::join(P::spawn(|| ())));
    let up = microseconds(start);
    let start = Instant::now();
    drop(runtime);
    Ok(vec![up, if ends { microseconds(start) } else { f64::NAN }])
}

fn tasks<P: Tasks>(ends: bool) -> Outcome {
    let start = Instant::now();
    let runtime = P::start(WORKERS);
    runtime.run(async { P::join(P::spawn(async {})).await });
    let up = microseconds(start);
    let start = Instant::now();
    drop(runtime);
    Ok(vec![up, if ends { microseconds(start) } else { f64::NAN }])
}

/// Its `drop` does not wait for the kernel threads, so the shut-down is not comparable.
fn rayon_pool() -> Outcome {
    let start = Instant::now();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build();
    let pool = pool.map_err(|error| error.to_string())?;
    pool.install(|| rayon::join(|| (), || ()));
    Ok(vec![microseconds(start), f64::NAN])
}
