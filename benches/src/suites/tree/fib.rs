//! fib by spawn/join: a tree of threads in which each spawns the one half, computes the other
//! itself and joins. fib by `join(a, b)`: the same tree through the fork-join call.
#![forbid(unsafe_code)]

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::time::Instant;

use super::{ForkJoin, Rayon, on_rayon, on_sylvan};
use crate::measure::fixed;
use crate::peers::tasks::Tasks;
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Game, Outcome, Row, Scale};
use crate::suites::MANY_KERNEL_THREADS;

pub(super) fn rows(scale: Scale, workers: usize) -> Vec<Row> {
    vec![by_spawn(scale, workers), by_join(scale, workers)]
}

fn by_spawn(scale: Scale, workers: usize) -> Row {
    let n = scale.pick(32, 25);
    let game = Fib { workers, n };
    let (few, fewest) = (Fib { n: 16, ..game }, Fib { n: 14, ..game });
    Row::new("tree", format!("tree: fib({n}) by spawn/join"))
        .workers(workers)
        .unit("ns per thread")
        .limit_if(workers == 2, 0.2, &["tokio"])
        .everyone(game)
        .without("may", "not tried: its stacks run out, and each spawn takes some 20 µs")
        .peer("may, fib(16)", move || few.threads::<May>())
        .without("std", MANY_KERNEL_THREADS)
        .peer("std, fib(14)", move || fewest.threads::<Std>())
        .limit_s(60)
}

#[derive(Clone, Copy)]
struct Fib {
    workers: usize,
    n: u64,
}

impl Game for Fib {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(forks(self.n), || {
            runtime.run(move || {
                let start = Instant::now();
                black_box(thread::<P>(black_box(self.n)));
                start.elapsed()
            })
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(forks(self.n), || {
            runtime.run(async move {
                let start = Instant::now();
                black_box(task::<P>(black_box(self.n)).await);
                start.elapsed()
            })
        })
    }
}

/// How many calls of `fib` fork: one for each with an argument above 1, which is one less than the
/// Fibonacci number after the next.
fn forks(n: u64) -> u64 {
    let (mut this, mut next) = (0, 1);
    for _ in 0..n {
        (this, next) = (next, this + next);
    }
    next - 1
}

fn thread<P: Threads>(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let other = P::spawn(move || thread::<P>(n - 1));
    let own = thread::<P>(n - 2);
    own + P::join(other)
}

/// Boxed, for a future that contains itself has no size.
fn task<P: Tasks>(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return n;
        }
        let other = P::spawn(task::<P>(n - 1));
        let own = task::<P>(n - 2).await;
        own + P::join(other).await
    })
}

fn by_join(scale: Scale, workers: usize) -> Row {
    let n = scale.pick(32, 27);
    Row::new("tree", format!("tree: fib({n}) by join(a, b)"))
        .workers(workers)
        .unit("ns per join")
        .limit_if(workers == 2, 1.25, &["rayon"])
        .peer("sylvan", move || on_sylvan(workers, forks(n), fork_join::<Sylvan>, n))
        .peer("rayon", move || on_rayon(workers, forks(n), fork_join::<Rayon>, n))
}

fn fork_join<J: ForkJoin>(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (a, b) = J::join(|| fork_join::<J>(n - 1), || fork_join::<J>(n - 2));
    a + b
}
