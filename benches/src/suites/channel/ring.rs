//! A thousand threads in a ring pass a token: each takes it from the one behind, adds one, and
//! gives it to the one ahead.
//!
//! Channels of one place for all, since not all peers have a rendezvous. The driver is one of the
//! thousand. The token goes round once before time begins, so that everyone has started.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::ALIVE;
use super::awaiting::{self, BoundedOfTokio, OfAsyncChannel};
use super::blocking::{self, BoundedOfStd, Endless, OfCrossbeam, OfFlume, OfMay, OfSylvan};
use crate::measure::each;
use crate::peers::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Floor, Outcome, Row, Scale};
use crate::suites::floors;

const THREADS: u64 = 1_000;

pub(super) fn row(scale: Scale, workers: usize) -> Row {
    let game = Ring { scale, workers };
    Row::new("channel", "channel: ring of 1,000 threads")
        .workers(workers)
        .unit("ns per hop")
        .limit_if(workers == 2, 0.5, &["tokio"])
        .floor(Floor::Sum(&[(floors::SWITCH, 1.0)]))
        .peer("sylvan", move || game.threads::<Sylvan, OfSylvan>())
        .peer("sylvan, kernel threads", move || game.threads::<Std, OfSylvan>())
        .peer("tokio", move || game.tasks::<TokioMulti, BoundedOfTokio>())
        .tokio_current(move || game.tasks::<TokioCurrent, BoundedOfTokio>())
        .peer("smol", move || game.tasks::<Smol, OfAsyncChannel>())
        .peer("may, unbounded", move || game.threads::<May, Endless<OfMay>>())
        .peer("crossbeam", move || game.threads::<Std, OfCrossbeam>())
        .peer("flume", move || game.threads::<Std, OfFlume>())
        .peer("std", move || game.threads::<Std, BoundedOfStd>())
        .limit_s(60)
}

#[derive(Clone, Copy)]
struct Ring {
    scale: Scale,
    workers: usize,
}

impl Ring {
    fn threads<P: Threads, C: blocking::Bounded>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, THREADS, |count| runtime.run(move || hops_of_threads::<P, C>(count)))
    }

    fn tasks<P: Tasks, C: awaiting::Bounded>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, THREADS, |count| runtime.run(hops_of_tasks::<P, C>(count)))
    }
}

/// Whole rounds, of which `count` hops are timed.
fn hops_of_threads<P: Threads, C: blocking::Bounded>(count: u64) -> Duration {
    let (ahead, mut behind) = C::bounded(1);
    let spawn = |_| {
        let (to, from_here) = C::bounded(1);
        let from = std::mem::replace(&mut behind, from_here);
        P::spawn(move || {
            while let Some(token) = C::recv(&from) {
                C::send(&to, token + 1);
            }
        })
    };
    let handles: Vec<_> = (1..THREADS).map(spawn).collect();
    let mut token = 0;
    let mut go_round = || {
        C::send(&ahead, token + 1);
        token = C::recv(&behind).expect(ALIVE);
    };
    go_round();
    let rounds = count.div_ceil(THREADS);
    let start = Instant::now();
    (0..rounds).for_each(|_| go_round());
    let took = start.elapsed();
    drop(ahead);
    handles.into_iter().for_each(P::join);
    time_of(count, rounds, token, took)
}

async fn hops_of_tasks<P: Tasks, C: awaiting::Bounded>(count: u64) -> Duration {
    let (ahead, mut behind) = C::bounded(1);
    let spawn = |_| {
        let (to, from_here) = C::bounded(1);
        let mut from = std::mem::replace(&mut behind, from_here);
        P::spawn(async move {
            while let Some(token) = C::recv(&mut from).await {
                C::send(&to, token + 1).await;
            }
        })
    };
    let handles: Vec<_> = (1..THREADS).map(spawn).collect();
    let mut token = 0;
    let mut go_round = async || {
        C::send(&ahead, token + 1).await;
        token = C::recv(&mut behind).await.expect(ALIVE);
    };
    go_round().await;
    let rounds = count.div_ceil(THREADS);
    let start = Instant::now();
    for _ in 0..rounds {
        go_round().await;
    }
    let took = start.elapsed();
    drop(ahead);
    for handle in handles {
        P::join(handle).await;
    }
    time_of(count, rounds, token, took)
}

/// The part of the time that `count` hops took; checks that none was left out.
fn time_of(count: u64, rounds: u64, token: usize, took: Duration) -> Duration {
    assert_eq!(token as u64, (rounds + 1) * THREADS, "each hop adds one");
    took.mul_f64(count as f64 / (rounds * THREADS) as f64)
}
