//! cycle: threads in rings of five. One thread of each ring can run; it wakes the next one and
//! waits until the ring comes round to it again. With many rings the queues are full; with one
//! ring per worker most workers have nothing else to run, and the way of sleeping and waking is
//! what is measured.
#![forbid(unsafe_code)]

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::THREADS_PER_WORKER;
use crate::measure::each;
use crate::peers::tasks::Tasks;
use crate::peers::threads::Threads;
use crate::peers::waiter::Waiter;
use crate::row::{Game, Outcome, Row, Scale};

const RING: u64 = 5;

pub(super) fn rows(scale: Scale, workers: usize) -> Vec<Row> {
    let row = |title: &str, rings_per_worker: u64| {
        let rings = rings_per_worker * workers as u64;
        Row::new("cforall", title).workers(workers).unit("ns per step").everyone(Cycle {
            scale,
            workers,
            rings,
        })
    };
    vec![
        row("cforall: cycle, 100 rings of 5 a worker", THREADS_PER_WORKER),
        row("cforall: cycle, 1 ring of 5 a worker", 1),
    ]
}

#[derive(Clone, Copy)]
struct Cycle {
    scale: Scale,
    workers: usize,
    rings: u64,
}

impl Cycle {
    fn threads_count(self) -> u64 {
        self.rings * RING
    }

    /// Who comes after thread number `at` in its ring.
    fn next(self, at: u64) -> usize {
        let ring = at / RING * RING;
        (ring + (at + 1 - ring) % RING) as usize
    }
}

impl Game for Cycle {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 4 * self.threads_count(), |count| {
            runtime.run(move || threads_around::<P>(self, count))
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 4 * self.threads_count(), |count| {
            runtime.run(tasks_around::<P>(self, count))
        })
    }
}

fn threads_around<P: Threads>(game: Cycle, count: u64) -> Duration {
    let threads = game.threads_count();
    let laps = count.div_ceil(threads);
    let waiters: Arc<Vec<OnceLock<Waiter<P>>>> =
        Arc::new((0..threads).map(|_| OnceLock::new()).collect());
    let spawn = |at: u64| {
        let waiters = waiters.clone();
        P::spawn(move || {
            let me = waiters[at as usize].get_or_init(Waiter::new);
            let next = &waiters[game.next(at)];
            for _ in 0..laps {
                me.wait();
                next.get().expect("all are there before the first is woken").wake();
            }
        })
    };
    let handles: Vec<_> = (0..threads).map(spawn).collect();
    while waiters.iter().any(|waiter| waiter.get().is_none()) {
        P::yield_now();
    }
    let start = Instant::now();
    for ring in 0..game.rings {
        waiters[(ring * RING) as usize].get().expect("all are there").wake();
    }
    for handle in handles {
        P::join(handle);
    }
    start.elapsed().mul_f64(count as f64 / (laps * threads) as f64)
}

async fn tasks_around<P: Tasks>(game: Cycle, count: u64) -> Duration {
    let threads = game.threads_count();
    let laps = count.div_ceil(threads);
    let gates: Arc<Vec<P::Gate>> = Arc::new((0..threads).map(|_| P::gate()).collect());
    let spawn = |at: u64| {
        let gates = gates.clone();
        P::spawn(async move {
            for _ in 0..laps {
                P::pass(&gates[at as usize]).await;
                P::open(&gates[game.next(at)]);
            }
        })
    };
    let handles: Vec<_> = (0..threads).map(spawn).collect();
    let start = Instant::now();
    for ring in 0..game.rings {
        P::open(&gates[(ring * RING) as usize]);
    }
    for handle in handles {
        P::join(handle).await;
    }
    start.elapsed().mul_f64(count as f64 / (laps * threads) as f64)
}
