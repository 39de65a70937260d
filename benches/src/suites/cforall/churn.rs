//! churn: a hundred threads a worker and half as many spots, each a semaphore. A thread picks a
//! spot at random, gives it a permit, which wakes whoever waits there longest, and takes one from
//! it. The first threads, one for each spot, begin by taking, so that as many wait as there are
//! spots. Nobody knows whom he wakes, nor where that one ran last.
//!
//! The others begin only when the first ones wait: before, a spot has nobody to wake, whoever gives
//! it a permit takes that back at once, and where nothing preempts him he would go on for ever.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::THREADS_PER_WORKER;
use crate::measure::each;
use crate::peers::tasks::Tasks;
use crate::peers::threads::Threads;
use crate::random::Random;
use crate::row::{Game, Outcome, Row, Scale};
use crate::suites::gathering::{Gathering, await_start, await_start_of_tasks};

pub(super) fn row(scale: Scale, workers: usize) -> Row {
    Row::new("cforall", "cforall: churn, 100 threads and 50 spots a worker")
        .workers(workers)
        .unit("ns per step")
        .everyone(Churn { scale, workers })
}

#[derive(Clone, Copy)]
struct Churn {
    scale: Scale,
    workers: usize,
}

impl Churn {
    fn threads_count(self) -> u64 {
        THREADS_PER_WORKER * self.workers as u64
    }

    fn spots_count(self) -> u64 {
        self.threads_count() / 2
    }
}

/// How all begin. `S` is a semaphore of the peer.
struct Crowd<S> {
    gathering: Arc<Gathering<S>>,
    game: Churn,
    /// How many of those that begin by taking are about to.
    taking: AtomicU64,
    /// What the others wait for until all of these do.
    others: S,
}

impl<S> Crowd<S> {
    fn new(game: Churn, semaphore: fn() -> S) -> Arc<Crowd<S>> {
        let gathering = Gathering::new(game.threads_count(), semaphore());
        Arc::new(Crowd { gathering, game, taking: AtomicU64::new(0), others: semaphore() })
    }

    /// Notes one that begins by taking; says whether it was the last.
    fn takes(&self) -> bool {
        // ORDERING: Relaxed; the semaphore orders what follows.
        self.taking.fetch_add(1, Ordering::Relaxed) + 1 == self.game.spots_count()
    }

    fn others_count(&self) -> u64 {
        self.game.threads_count() - self.game.spots_count()
    }
}

impl Game for Churn {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 4 * self.threads_count(), |count| {
            runtime.run(move || churning_threads::<P>(self, count))
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 4 * self.threads_count(), |count| {
            runtime.run(churning_tasks::<P>(self, count))
        })
    }
}

fn churning_threads<P: Threads>(game: Churn, count: u64) -> Duration {
    let threads = game.threads_count();
    let share = count.div_ceil(threads);
    let crowd = Crowd::new(game, P::semaphore);
    let spots: Arc<Vec<P::Semaphore>> =
        Arc::new((0..game.spots_count()).map(|_| P::semaphore()).collect());
    let spawn = |at: u64| {
        let (crowd, spots) = (crowd.clone(), spots.clone());
        P::spawn(move || churning_thread::<P>(at, share, &crowd, &spots))
    };
    let handles: Vec<_> = (0..threads).map(spawn).collect();
    for handle in handles {
        P::join(handle);
    }
    crowd.gathering.race.time_of(count)
}

fn churning_thread<P: Threads>(
    at: u64,
    share: u64,
    crowd: &Crowd<P::Semaphore>,
    spots: &[P::Semaphore],
) {
    let mut random = Random::new(at);
    await_start::<P>(&crowd.gathering);
    let race = &crowd.gathering.race;
    let mut give = at >= spots.len() as u64;
    if give {
        P::acquire(&crowd.others);
    } else if crowd.takes() {
        (0..crowd.others_count()).for_each(|_| P::release(&crowd.others));
    }
    let mut steps = 0;
    while !race.all_done() {
        let spot = &spots[random.below(spots.len() as u64) as usize];
        if give {
            P::release(spot);
        }
        P::acquire(spot);
        give = true;
        steps += 1;
        if steps == share && race.note_done() {
            // Whoever still waits must see that it is over; so many permits are enough for all.
            spots.iter().for_each(|spot| (0..2 * spots.len()).for_each(|_| P::release(spot)));
        }
    }
    race.count(steps);
}

async fn churning_tasks<P: Tasks>(game: Churn, count: u64) -> Duration {
    let threads = game.threads_count();
    let share = count.div_ceil(threads);
    let crowd = Crowd::new(game, P::semaphore);
    let spots: Arc<Vec<P::Semaphore>> =
        Arc::new((0..game.spots_count()).map(|_| P::semaphore()).collect());
    let spawn = |at: u64| P::spawn(churning_task::<P>(at, share, crowd.clone(), spots.clone()));
    let handles: Vec<_> = (0..threads).map(spawn).collect();
    for handle in handles {
        P::join(handle).await;
    }
    crowd.gathering.race.time_of(count)
}

async fn churning_task<P: Tasks>(
    at: u64,
    share: u64,
    crowd: Arc<Crowd<P::Semaphore>>,
    spots: Arc<Vec<P::Semaphore>>,
) {
    let mut random = Random::new(at);
    await_start_of_tasks::<P>(&crowd.gathering).await;
    let race = &crowd.gathering.race;
    let mut give = at >= spots.len() as u64;
    if give {
        P::acquire(&crowd.others).await;
    } else if crowd.takes() {
        (0..crowd.others_count()).for_each(|_| P::release(&crowd.others));
    }
    let mut steps = 0;
    while !race.all_done() {
        let spot = &spots[random.below(spots.len() as u64) as usize];
        if give {
            P::release(spot);
        }
        P::acquire(spot).await;
        give = true;
        steps += 1;
        if steps == share && race.note_done() {
            // As for threads.
            spots.iter().for_each(|spot| (0..2 * spots.len()).for_each(|_| P::release(spot)));
        }
    }
    race.count(steps);
}
