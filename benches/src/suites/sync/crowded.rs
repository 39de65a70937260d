//! A thousand threads that share one mutex, one rwlock, one semaphore, in sections so short that
//! what the primitive does between them is the whole figure.
//!
//! Each thread takes as many steps as every other one and yields after every hundredth, outside of
//! the section. Time runs from all being there to the last one having done its share, so a lock
//! that starves somebody pays for it. The quick sizes are no smaller, for with 500 steps it is over
//! before the other workers have begun to contend.
//!
//! A step of the mutex row is one addition under the lock; of the rwlock row a read, or one write
//! in a hundred, not all threads writing in the same step. In the semaphore row there are a
//! hundred permits, and a thread yields while it has one: otherwise there would never be more
//! holders than workers, and nobody would wait.
#![forbid(unsafe_code)]

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use super::{NO_SEMAPHORE, THREADS, awaiting, blocking};
use crate::measure::fixed;
use crate::peers::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Outcome, Row, Scale};
use crate::suites::gathering::{Gathering, await_start, await_start_of_tasks};

const STEPS_PER_YIELD: u64 = 100;
const STEPS_PER_WRITE: u64 = 100;
const PERMITS: usize = 100;

pub(super) fn rows(scale: Scale, workers: usize) -> [Row; 3] {
    [mutex(scale, workers), rwlock(scale, workers), semaphore(scale, workers)]
}

fn mutex(scale: Scale, workers: usize) -> Row {
    type OfSylvan = Summed<sylvan::sync::Mutex<u64>>;
    type OfTokio = Summed<tokio::sync::Mutex<u64>>;

    let crowd = Crowd { workers, share: scale.pick(10_000, 2_000) };
    Row::new("sync", scale.pick("sync: mutex, 1,000 × 10,000", "sync: mutex, 1,000 × 2,000"))
        .workers(workers)
        .unit("ns per section")
        .limit_if(workers == 2, 0.25, &["tokio"])
        .limit_if(workers == 2, 0.25, &["may"])
        .limit_if(workers == 2, 1.0, &["std"])
        .peer("sylvan", move || crowd.threads::<Sylvan, OfSylvan>())
        .peer("sylvan, kernel threads", move || crowd.threads::<Std, OfSylvan>())
        .peer("may", move || crowd.threads::<May, Summed<may::sync::Mutex<u64>>>())
        .peer("std", move || crowd.threads::<Std, Summed<std::sync::Mutex<u64>>>())
        .peer("parking_lot", move || crowd.threads::<Std, Summed<parking_lot::Mutex<u64>>>())
        .peer("tokio", move || crowd.tasks::<TokioMulti, OfTokio>())
        .tokio_current(move || crowd.tasks::<TokioCurrent, OfTokio>())
        .peer("smol", move || crowd.tasks::<Smol, Summed<smol::lock::Mutex<u64>>>())
        .limit_s(60)
}

fn rwlock(scale: Scale, workers: usize) -> Row {
    type OfSylvan = ReadMostly<sylvan::sync::RwLock<u64>>;
    type OfTokio = ReadMostly<tokio::sync::RwLock<u64>>;

    let crowd = Crowd { workers, share: scale.pick(10_000, 2_000) };
    let title = scale.pick(
        "sync: rwlock, read-mostly, 1,000 × 10,000",
        "sync: rwlock, read-mostly, 1,000 × 2,000",
    );
    Row::new("sync", title)
        .workers(workers)
        .unit("ns per section")
        .limit_if(workers == 2, 0.3, &["tokio"])
        .peer("sylvan", move || crowd.threads::<Sylvan, OfSylvan>())
        .peer("sylvan, kernel threads", move || crowd.threads::<Std, OfSylvan>())
        .peer("may", move || crowd.threads::<May, ReadMostly<may::sync::RwLock<u64>>>())
        .peer("std", move || crowd.threads::<Std, ReadMostly<std::sync::RwLock<u64>>>())
        .peer("parking_lot", move || crowd.threads::<Std, ReadMostly<parking_lot::RwLock<u64>>>())
        .peer("tokio", move || crowd.tasks::<TokioMulti, OfTokio>())
        .tokio_current(move || crowd.tasks::<TokioCurrent, OfTokio>())
        .peer("smol", move || crowd.tasks::<Smol, ReadMostly<smol::lock::RwLock<u64>>>())
        .limit_s(60)
}

fn semaphore(scale: Scale, workers: usize) -> Row {
    type OfSylvan = Permitted<sylvan::sync::Semaphore>;
    type OfTokio = Permitted<tokio::sync::Semaphore>;

    let crowd = Crowd { workers, share: scale.pick(1_000, 100) };
    Row::new("sync", scale.pick("sync: semaphore, 1,000 × 1,000", "sync: semaphore, 1,000 × 100"))
        .workers(workers)
        .unit("ns per permit")
        .limit_if(workers == 2, 0.5, &["tokio"])
        .peer("sylvan", move || crowd.threads::<Sylvan, OfSylvan>())
        .peer("sylvan, kernel threads", move || crowd.threads::<Std, OfSylvan>())
        .peer("may", move || crowd.threads::<May, Permitted<may::sync::Semphore>>())
        .without("std", NO_SEMAPHORE)
        .without("parking_lot", NO_SEMAPHORE)
        .peer("tokio", move || crowd.tasks::<TokioMulti, OfTokio>())
        .tokio_current(move || crowd.tasks::<TokioCurrent, OfTokio>())
        .peer("smol", move || crowd.tasks::<Smol, Permitted<smol::lock::Semaphore>>())
        .limit_s(60)
}

/// What a crowd of threads shares.
trait Shared: Send + Sync + 'static {
    fn new() -> Self;
    /// Step number `number` of a thread.
    fn step<P: Threads>(&self, number: u64);
    /// Checks that so many steps were taken by all threads together, where the primitive can tell.
    fn check(&self, _steps: u64) {}
}

/// What a crowd of tasks shares.
trait SharedByTasks: Send + Sync + 'static {
    fn new() -> Self;
    fn step<P: Tasks>(&self, number: u64) -> impl Future<Output = ()> + Send;
    fn check(&self, _steps: u64) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A mutex, around the number of steps.
struct Summed<M>(M);

impl<M: blocking::Mutex> Shared for Summed<M> {
    fn new() -> Self {
        Summed(M::new())
    }

    #[inline]
    fn step<P: Threads>(&self, _number: u64) {
        self.0.add_one();
    }

    fn check(&self, steps: u64) {
        assert_eq!(self.0.total(), steps, "sections ran side by side");
    }
}

impl<M: awaiting::Mutex> SharedByTasks for Summed<M> {
    fn new() -> Self {
        Summed(M::new())
    }

    #[inline]
    async fn step<P: Tasks>(&self, _number: u64) {
        self.0.add_one().await;
    }

    async fn check(&self, steps: u64) {
        assert_eq!(self.0.total().await, steps, "sections ran side by side");
    }
}

/// An rwlock, around the number of writes.
struct ReadMostly<L>(L);

impl<L: blocking::RwLock> Shared for ReadMostly<L> {
    fn new() -> Self {
        ReadMostly(L::new())
    }

    #[inline]
    fn step<P: Threads>(&self, number: u64) {
        if number.is_multiple_of(STEPS_PER_WRITE) {
            self.0.add_one();
        } else {
            black_box(self.0.read());
        }
    }

    fn check(&self, steps: u64) {
        assert_eq!(self.0.read(), steps / STEPS_PER_WRITE, "writes ran side by side");
    }
}

impl<L: awaiting::RwLock> SharedByTasks for ReadMostly<L> {
    fn new() -> Self {
        ReadMostly(L::new())
    }

    #[inline]
    async fn step<P: Tasks>(&self, number: u64) {
        if number.is_multiple_of(STEPS_PER_WRITE) {
            self.0.add_one().await;
        } else {
            black_box(self.0.read().await);
        }
    }

    async fn check(&self, steps: u64) {
        assert_eq!(self.0.read().await, steps / STEPS_PER_WRITE, "writes ran side by side");
    }
}

/// A semaphore with fewer permits than there are threads.
struct Permitted<S>(S);

impl<S: blocking::Semaphore> Shared for Permitted<S> {
    fn new() -> Self {
        Permitted(S::new(PERMITS))
    }

    #[inline]
    fn step<P: Threads>(&self, _number: u64) {
        self.0.with_permit(P::yield_now);
    }
}

impl<S: awaiting::Semaphore> SharedByTasks for Permitted<S> {
    fn new() -> Self {
        Permitted(S::new(PERMITS))
    }

    #[inline]
    async fn step<P: Tasks>(&self, _number: u64) {
        self.0.with_permit(P::yield_now()).await;
    }
}

/// A thousand threads that take `share` steps each.
#[derive(Clone, Copy)]
struct Crowd {
    workers: usize,
    /// A multiple of the steps between two yields, and of those between two writes.
    share: u64,
}

impl Crowd {
    fn threads<P: Threads, S: Shared>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.steps(), || runtime.run(move || self.steps_of_threads::<P, S>()))
    }

    fn tasks<P: Tasks, S: SharedByTasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        fixed(self.steps(), || runtime.run(self.steps_of_tasks::<P, S>()))
    }

    /// Of all threads together.
    fn steps(self) -> u64 {
        THREADS * self.share
    }

    fn steps_of_threads<P: Threads, S: Shared>(self) -> Duration {
        let gathering = Gathering::new(THREADS, P::semaphore());
        let shared = Arc::new(S::new());
        let spawn = |at: u64| {
            let (gathering, shared) = (gathering.clone(), shared.clone());
            P::spawn(move || {
                await_start::<P>(&gathering);
                for number in 1..=self.share {
                    shared.step::<P>(at + number);
                    if number.is_multiple_of(STEPS_PER_YIELD) {
                        P::yield_now();
                    }
                }
                gathering.race.note_done();
                gathering.race.count(self.share);
            })
        };
        let handles: Vec<_> = (0..THREADS).map(spawn).collect();
        for handle in handles {
            P::join(handle);
        }
        shared.check(self.steps());
        gathering.race.time_of(self.steps())
    }

    async fn steps_of_tasks<P: Tasks, S: SharedByTasks>(self) -> Duration {
        let gathering = Gathering::new(THREADS, P::semaphore());
        let shared = Arc::new(S::new());
        let spawn = |at: u64| {
            let (gathering, shared) = (gathering.clone(), shared.clone());
            P::spawn(async move {
                await_start_of_tasks::<P>(&gathering).await;
                for number in 1..=self.share {
                    shared.step::<P>(at + number).await;
                    if number.is_multiple_of(STEPS_PER_YIELD) {
                        P::yield_now().await;
                    }
                }
                gathering.race.note_done();
                gathering.race.count(self.share);
            })
        };
        let handles: Vec<_> = (0..THREADS).map(spawn).collect();
        for handle in handles {
            P::join(handle).await;
        }
        shared.check(self.steps()).await;
        gathering.race.time_of(self.steps())
    }
}
