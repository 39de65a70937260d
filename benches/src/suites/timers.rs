//! The timer rows: many threads sleep a random time each, five times; how much processor time does
//! that take, and how late do they wake?
//!
//! Lateness is what has passed beyond the time asked for when the thread runs again. With 100,000
//! threads the runtime has some thousand timers a second to fire; with 100 the machine is idle,
//! and lateness is that of waking up. The kernel itself adds up to 50 µs of slack to each sleep.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::{KERNEL_THREADS_MAX, MANY_KERNEL_THREADS, MAY_THREADS_MAX};
use crate::load::own_cpu_time;
use crate::peers::tasks::Tasks;
use crate::peers::threads::{May, Std, Threads};
use crate::random::Random;
use crate::row::{Floor, Game, Outcome, Row, Scale};
use crate::stats::quantile;

const SLEEPS: usize = 5;

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    let longest_ms = scale.pick(1_000, 100);
    let title = scale.pick("timers: 100,000 threads", "timers: 10,000 threads");
    let game = Sleepers { threads: scale.pick(100_000, 10_000), longest_ms };
    let (few, fewest) = (
        Sleepers { threads: MAY_THREADS_MAX, ..game },
        Sleepers { threads: KERNEL_THREADS_MAX, ..game },
    );
    let busy = row(title, game, 1_000.0)
        .without("std", MANY_KERNEL_THREADS)
        .peer("std, 2,000", move || fewest.threads::<Std>())
        .peer("may, 30,000", move || few.threads::<May>());
    let idle = Sleepers { threads: 100, longest_ms };
    vec![busy, row("timers: 100 threads, idle", idle, 150.0)]
}

fn row(title: &str, game: Sleepers, late_at_most: f64) -> Row {
    let busy = game.threads > 1_000;
    let row = Row::new("timers", title)
        .workers(2)
        .metric("CPU time", "µs per sleep")
        .limit_if(busy, 0.5, &["tokio"])
        .metric("lateness p50", "µs")
        .metric("lateness p99", "µs")
        .limit(late_at_most, &[]);
    let row = if busy { row } else { row.floor(Floor::Peer("std")) };
    row.everyone(game).open_coroutine().limit_s(60)
}

#[derive(Clone, Copy)]
struct Sleepers {
    threads: u64,
    longest_ms: u64,
}

impl Sleepers {
    /// How long thread number `n` sleeps each time.
    fn sleeps(self, n: u64) -> [Duration; SLEEPS] {
        let mut random = Random::new(n);
        // At least a millisecond; the rest in microseconds, so that few end together.
        let most = self.longest_ms * 1_000 - 1_000;
        std::array::from_fn(|_| Duration::from_micros(1_000 + random.below(most)))
    }

    /// CPU time a sleep, median and 99th percentile of the lateness.
    fn figures(cpu: Duration, late: Vec<[f32; SLEEPS]>) -> Outcome {
        let mut late: Vec<f64> = late.into_iter().flatten().map(f64::from).collect();
        let cpu = cpu.as_secs_f64() * 1e6 / late.len() as f64;
        Ok(vec![cpu, quantile(&mut late, 0.5), quantile(&mut late, 0.99)])
    }
}

/// Microseconds beyond `asked`.
fn late(start: Instant, asked: Duration) -> f32 {
    (start.elapsed().as_secs_f64() * 1e6 - asked.as_secs_f64() * 1e6) as f32
}

impl Game for Sleepers {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(2);
        let before = own_cpu_time();
        let late = runtime.run(move || {
            let spawn = |n| {
                let sleeps = self.sleeps(n);
                P::spawn(move || {
                    sleeps.map(|asked| {
                        let start = Instant::now();
                        P::sleep(asked);
                        late(start, asked)
                    })
                })
            };
            let handles: Vec<_> = (0..self.threads).map(spawn).collect();
            handles.into_iter().map(P::join).collect()
        });
        Self::figures(own_cpu_time() - before, late)
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start_with_timers(2);
        let before = own_cpu_time();
        let late = runtime.run(sleeping_tasks::<P>(self));
        Self::figures(own_cpu_time() - before, late)
    }
}

async fn sleeping_tasks<P: Tasks>(game: Sleepers) -> Vec<[f32; SLEEPS]> {
    let spawn = |n| {
        let sleeps = game.sleeps(n);
        P::spawn(async move {
            let mut all = [0.0; SLEEPS];
            for (asked, place) in sleeps.into_iter().zip(&mut all) {
                let start = Instant::now();
                P::sleep(asked).await;
                *place = late(start, asked);
            }
            all
        })
    };
    let handles: Vec<_> = (0..game.threads).map(spawn).collect();
    let mut late = Vec::with_capacity(handles.len());
    for handle in handles {
        late.push(P::join(handle).await);
    }
    late
}
