//! The imbalance rows: 256 threads of random length, all spawned by one; how close comes the
//! runtime to using all its workers until the end?
//!
//! A length is a number of rounds of arithmetic, uniform between nothing and twice the mean, the
//! same for every peer. "Running through" a thread computes all of it at once. "Waiting" it stops
//! a thousand times on the way: it takes the one seat of a waiting room and wakes whoever sat
//! there before, so each wait is real, ends by somebody else's call, and often by another worker's.
//! Nobody sits when nobody is left to wake him.
//!
//! The figure is makespan : ideal. Ideal is what as many kernel threads as there are workers take
//! for the whole sum in equal parts, measured just before and just after, in the same process: so
//! processors that share caches or are slower together are no fault of a scheduler.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::peers::tasks::Tasks;
use crate::peers::threads::Threads;
use crate::peers::waiter::Waiter;
use crate::row::{Floor, Game, Outcome, Row, Scale};
use crate::toil::{self, THREADS, compute};

const WAITS: u64 = 1_000;

pub(super) fn rows(scale: Scale, workers: &[usize]) -> Vec<Row> {
    let row = |title: &str, workers: usize, waits: u64, at_most: f64| {
        Row::new("imbalance", title)
            .workers(workers)
            .unit("makespan : ideal")
            .limit_if(workers == 2, at_most, &[])
            .floor(Floor::Value(1.0, "all workers busy to the end"))
            .everyone(Imbalance { scale, workers, waits })
            .limit_s(60)
    };
    let rows = workers.iter().flat_map(|&workers| {
        [
            row("imbalance: running through", workers, 0, 1.06).open_coroutine(),
            row("imbalance: waiting 1000 times", workers, WAITS, 1.2),
        ]
    });
    rows.collect()
}

#[derive(Clone, Copy)]
struct Imbalance {
    scale: Scale,
    workers: usize,
    waits: u64,
}

impl Imbalance {
    /// Mean rounds of arithmetic of a thread.
    fn mean(self) -> u64 {
        self.scale.pick(4_000_000, 500_000)
    }
}

impl Game for Imbalance {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        let play = || runtime.run(move || threads_makespan::<P>(self));
        Ok(vec![toil::ratio(self.mean(), self.workers, play)])
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        let play = || runtime.run(tasks_makespan::<P>(self));
        Ok(vec![toil::ratio(self.mean(), self.workers, play)])
    }
}

/// A room with one seat. `W` is whom to wake.
struct Room<W>(Mutex<Inside<W>>);

struct Inside<W> {
    seat: Option<W>,
    /// How many threads have not ended.
    living: u64,
}

impl<W> Room<W> {
    fn new() -> Arc<Room<W>> {
        Arc::new(Room(Mutex::new(Inside { seat: None, living: THREADS })))
    }

    /// Sits down; says who sat there before, or `Err` if nobody else lives.
    fn sit(&self, me: W) -> Result<Option<W>, ()> {
        let mut inside = self.0.lock().expect("nobody panics inside");
        if inside.living == 1 { Err(()) } else { Ok(inside.seat.replace(me)) }
    }

    /// Leaves for good; says who must be woken, for nobody else might do it.
    fn leave(&self) -> Option<W> {
        let mut inside = self.0.lock().expect("nobody panics inside");
        inside.living -= 1;
        inside.seat.take()
    }
}

fn threads_makespan<P: Threads>(game: Imbalance) -> Duration {
    let room = Room::<Waiter<P>>::new();
    let start = Instant::now();
    let spawn = |rounds: u64| {
        let room = room.clone();
        P::spawn(move || run_thread::<P>(game.waits, rounds, &room))
    };
    let handles: Vec<_> = toil::lengths(game.mean()).into_iter().map(spawn).collect();
    for handle in handles {
        P::join(handle);
    }
    start.elapsed()
}

fn run_thread<P: Threads>(waits: u64, rounds: u64, room: &Room<Waiter<P>>) {
    if waits == 0 {
        return compute(rounds);
    }
    let me = Waiter::<P>::new();
    for _ in 0..waits {
        compute(rounds / waits);
        let Ok(former) = room.sit(me.clone()) else { continue };
        if let Some(former) = former {
            former.wake();
        }
        me.wait();
    }
    if let Some(last) = room.leave() {
        last.wake();
    }
}

async fn tasks_makespan<P: Tasks>(game: Imbalance) -> Duration {
    let room = Room::<Arc<P::Gate>>::new();
    let start = Instant::now();
    let spawn = |rounds: u64| P::spawn(run_task::<P>(game.waits, rounds, room.clone()));
    let handles: Vec<_> = toil::lengths(game.mean()).into_iter().map(spawn).collect();
    for handle in handles {
        P::join(handle).await;
    }
    start.elapsed()
}

async fn run_task<P: Tasks>(waits: u64, rounds: u64, room: Arc<Room<Arc<P::Gate>>>) {
    if waits == 0 {
        return compute(rounds);
    }
    let me = Arc::new(P::gate());
    for _ in 0..waits {
        compute(rounds / waits);
        let Ok(former) = room.sit(me.clone()) else { continue };
        if let Some(former) = former {
            P::open(&former);
        }
        P::pass(&me).await;
    }
    if let Some(last) = room.leave() {
        P::open(&last);
    }
}
