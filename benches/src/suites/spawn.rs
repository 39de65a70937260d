//! The spawn rows: what it costs to begin a thread and to wait for its end.
//!
//! In sequence: the spawner waits for each before the next. All at once: many are spawned, then all
//! are joined in the order of their spawning.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use super::{KERNEL_THREADS_MAX, MANY_KERNEL_THREADS, MAY_THREADS_MAX, floors};
use crate::measure::{each, fixed};
use crate::peers::tasks::Tasks;
use crate::peers::threads::{May, Std, Threads};
use crate::row::{Floor, Game, Outcome, Row, Scale};

pub(super) fn rows(scale: Scale, workers: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &workers in workers {
        rows.push(in_sequence(scale, workers));
        rows.push(all_at_once(scale, workers));
    }
    rows
}

const UNIT: &str = "ns per thread";

fn in_sequence(scale: Scale, workers: usize) -> Row {
    Row::new("spawn", "spawn: spawn+join in sequence")
        .workers(workers)
        .unit(UNIT)
        .limit_if(workers == 2, 0.35, &["tokio"])
        .floor(Floor::Sum(&[(floors::ALLOCATION, 1.0)]))
        .everyone(InSequence { scale, workers })
        .open_coroutine()
}

#[derive(Clone, Copy)]
struct InSequence {
    scale: Scale,
    workers: usize,
}

impl Game for InSequence {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 16, |count| {
            runtime.run(move || {
                let start = Instant::now();
                for n in 0..count {
                    black_box(P::join(P::spawn(move || n)));
                }
                start.elapsed()
            })
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 16, |count| {
            runtime.run(async move {
                let start = Instant::now();
                for n in 0..count {
                    black_box(P::join(P::spawn(async move { n })).await);
                }
                start.elapsed()
            })
        })
    }
}

fn all_at_once(scale: Scale, workers: usize) -> Row {
    let title = scale.pick("spawn: 1,000,000, then join all", "spawn: 100,000, then join all");
    let game = AtOnce { workers, count: scale.pick(1_000_000, 100_000) };
    let few = AtOnce { count: MAY_THREADS_MAX, ..game };
    let fewest = AtOnce { count: KERNEL_THREADS_MAX, ..game };
    Row::new("spawn", title)
        .workers(workers)
        .unit(UNIT)
        .limit_if(workers == 2, 0.4, &["tokio", "smol"])
        .floor(Floor::Sum(&[(floors::ALLOCATION, 1.0), (floors::PAGE, 208.0 / 4096.0)]))
        .everyone(game)
        .open_coroutine()
        .peer("may, 30,000", move || few.threads::<May>())
        .without("std", MANY_KERNEL_THREADS)
        .peer("std, 2,000", move || fewest.threads::<Std>())
        .limit_s(60)
}

#[derive(Clone, Copy)]
struct AtOnce {
    workers: usize,
    count: u64,
}

impl Game for AtOnce {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.count, || {
            runtime.run(move || {
                let start = Instant::now();
                let handles: Vec<_> = (0..self.count).map(|n| P::spawn(move || n)).collect();
                for handle in handles {
                    black_box(P::join(handle));
                }
                start.elapsed()
            })
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.count, || {
            runtime.run(async move {
                let start = Instant::now();
                let handles: Vec<_> = (0..self.count).map(|n| P::spawn(async move { n })).collect();
                for handle in handles {
                    black_box(P::join(handle).await);
                }
                start.elapsed()
            })
        })
    }
}
