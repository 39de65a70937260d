//! The spawn rows: what it costs to begin a thread and to wait for its end.
//!
//! In sequence: the spawner waits for each before the next. All at once: many are spawned, then all
//! are joined in the order of their spawning. fib by spawn/join: a tree of threads in which each
//! spawns the one half, computes the other itself and joins. fib by join: the same tree through the
//! fork-join call of those peers that have one.
#![forbid(unsafe_code)]

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::measure::{fixed, per_unit};
use crate::row::{Row, Scale};
use crate::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::threads::{May, Std, Sylvan, Threads, sylvan_runtime};

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    let mut rows = Vec::new();
    for workers in [1, 2] {
        rows.push(in_sequence(scale, workers));
        rows.push(all_at_once(scale, workers));
        rows.push(fib_by_spawn(scale, workers));
        rows.push(fib_by_join(scale, workers));
    }
    rows
}

fn on(workers: usize) -> &'static str {
    if workers == 1 { "1 worker" } else { "2 workers" }
}

/// Adds tokio's current thread where the row has one worker.
fn current_thread(
    row: Row,
    workers: usize,
    measure: impl Fn() -> Result<f64, String> + 'static,
) -> Row {
    match workers {
        1 => row.peer("tokio current thread", measure),
        _ => row.without("tokio current thread", "does not apply: it has one worker"),
    }
}

fn in_sequence(scale: Scale, workers: usize) -> Row {
    let name = format!("spawn: spawn+join in sequence, {}", on(workers));
    let row = Row::new("spawn", name, "ns per thread")
        .peer("sylvan", move || Ok(threads_in_sequence::<Sylvan>(scale, workers)))
        .peer("may", move || Ok(threads_in_sequence::<May>(scale, workers)))
        .peer("tokio", move || Ok(tasks_in_sequence::<TokioMulti>(scale, workers)))
        .peer("smol", move || Ok(tasks_in_sequence::<Smol>(scale, workers)))
        .peer("std", move || Ok(threads_in_sequence::<Std>(scale, workers)));
    current_thread(row, workers, move || Ok(tasks_in_sequence::<TokioCurrent>(scale, workers)))
}

fn threads_in_sequence<P: Threads>(scale: Scale, workers: usize) -> f64 {
    let runtime = P::start(workers);
    per_unit(scale, 16, |count| {
        runtime.run(move || {
            let start = Instant::now();
            for n in 0..count {
                black_box(P::join(P::spawn(move || n)));
            }
            start.elapsed()
        })
    })
}

fn tasks_in_sequence<P: Tasks>(scale: Scale, workers: usize) -> f64 {
    let runtime = P::start(workers);
    per_unit(scale, 16, |count| {
        runtime.run(async move {
            let start = Instant::now();
            for n in 0..count {
                black_box(P::join(P::spawn(async move { n })).await);
            }
            start.elapsed()
        })
    })
}

fn all_at_once(scale: Scale, workers: usize) -> Row {
    let count = scale.pick(1_000_000, 100_000);
    let name = format!("spawn: {count} at once, then join all, {}", on(workers));
    let row = Row::new("spawn", name, "ns per thread")
        .peer("sylvan", move || Ok(threads_at_once::<Sylvan>(workers, count)))
        .peer("may", move || Ok(threads_at_once::<May>(workers, count)))
        .peer("may, 20,000", move || Ok(threads_at_once::<May>(workers, 20_000)))
        .peer("tokio", move || Ok(tasks_at_once::<TokioMulti>(workers, count)))
        .peer("smol", move || Ok(tasks_at_once::<Smol>(workers, count)))
        .without("std", "not tried: more than 2,000 kernel threads")
        .peer("std, 1,000", move || Ok(threads_at_once::<Std>(workers, 1_000)));
    current_thread(row, workers, move || Ok(tasks_at_once::<TokioCurrent>(workers, count)))
}

fn threads_at_once<P: Threads>(workers: usize, count: u64) -> f64 {
    let runtime = P::start(workers);
    fixed(count, || {
        runtime.run(move || {
            let start = Instant::now();
            let handles: Vec<_> = (0..count).map(|n| P::spawn(move || n)).collect();
            for handle in handles {
                black_box(P::join(handle));
            }
            start.elapsed()
        })
    })
}

fn tasks_at_once<P: Tasks>(workers: usize, count: u64) -> f64 {
    let runtime = P::start(workers);
    fixed(count, || {
        runtime.run(async move {
            let start = Instant::now();
            let handles: Vec<_> = (0..count).map(|n| P::spawn(async move { n })).collect();
            for handle in handles {
                black_box(P::join(handle).await);
            }
            start.elapsed()
        })
    })
}

fn fib_by_spawn(scale: Scale, workers: usize) -> Row {
    let n = scale.pick(30, 25);
    let row = Row::new(
        "spawn",
        format!("spawn: fib({n}) by spawn/join, {}", on(workers)),
        "ns per thread",
    )
    .peer("sylvan", move || Ok(threads_fib::<Sylvan>(workers, n)))
    .without("may", "not tried: its stacks run out, and each spawn takes some 20 µs")
    .peer("may, fib(16)", move || Ok(threads_fib::<May>(workers, 16)))
    .peer("tokio", move || Ok(tasks_fib::<TokioMulti>(workers, n)))
    .peer("smol", move || Ok(tasks_fib::<Smol>(workers, n)))
    .without("std", "not tried: more than 2,000 kernel threads")
    .peer("std, fib(14)", move || Ok(threads_fib::<Std>(workers, 14)));
    current_thread(row, workers, move || Ok(tasks_fib::<TokioCurrent>(workers, n)))
}

/// How many calls of `fib` fork: one for each with an argument above 1.
fn forks(n: u64) -> u64 {
    if n < 2 { 0 } else { 1 + forks(n - 1) + forks(n - 2) }
}

fn threads_fib<P: Threads>(workers: usize, n: u64) -> f64 {
    let runtime = P::start(workers);
    fixed(forks(n), || {
        runtime.run(move || {
            let start = Instant::now();
            black_box(fib_thread::<P>(black_box(n)));
            start.elapsed()
        })
    })
}

fn fib_thread<P: Threads>(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let other = P::spawn(move || fib_thread::<P>(n - 1));
    let own = fib_thread::<P>(n - 2);
    own + P::join(other)
}

fn tasks_fib<P: Tasks>(workers: usize, n: u64) -> f64 {
    let runtime = P::start(workers);
    fixed(forks(n), || {
        runtime.run(async move {
            let start = Instant::now();
            black_box(fib_task::<P>(black_box(n)).await);
            start.elapsed()
        })
    })
}

/// Boxed, for a future that contains itself has no size.
fn fib_task<P: Tasks>(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return n;
        }
        let other = P::spawn(fib_task::<P>(n - 1));
        let own = fib_task::<P>(n - 2).await;
        own + P::join(other).await
    })
}

fn fib_by_join(scale: Scale, workers: usize) -> Row {
    let n = scale.pick(32, 27);
    Row::new("spawn", format!("spawn: fib({n}) by join(a, b), {}", on(workers)), "ns per join")
        .peer("sylvan", move || Ok(sylvan_fib(workers, n)))
        .peer("rayon", move || Ok(rayon_fib(workers, n)))
}

fn sylvan_fib(workers: usize, n: u64) -> f64 {
    fn fib(n: u64) -> u64 {
        if n < 2 {
            return n;
        }
        let (a, b) = sylvan::join(|| fib(n - 1), || fib(n - 2));
        a + b
    }
    let runtime = sylvan_runtime(workers);
    fixed(forks(n), || runtime.run(|| timed(|| fib(black_box(n)))))
}

fn rayon_fib(workers: usize, n: u64) -> f64 {
    fn fib(n: u64) -> u64 {
        if n < 2 {
            return n;
        }
        let (a, b) = rayon::join(|| fib(n - 1), || fib(n - 2));
        a + b
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build();
    let pool = pool.expect("the system grants a few kernel threads");
    fixed(forks(n), || pool.install(|| timed(|| fib(black_box(n)))))
}

fn timed(f: impl FnOnce() -> u64) -> Duration {
    let start = Instant::now();
    black_box(f());
    start.elapsed()
}
