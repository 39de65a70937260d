//! Ping-pong over two rendezvous channels: a number goes there by the one and back by the other.
//!
//! tokio and async-channel have no rendezvous: with their one place the sender goes on, and waits
//! for the answer all the same. may has no bounded channel at all; its line says so.
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

/// The cells whose best one the limit for two workers is relative to.
const EVERYONE: [&str; 8] = [
    "tokio",
    "tokio, async-channel",
    "tokio, flume",
    "smol",
    "may, unbounded",
    "crossbeam",
    "flume",
    "std",
];

pub(super) fn row(scale: Scale, workers: usize) -> Row {
    let game = PingPong { scale, workers };
    Row::new("channel", "channel: ping-pong by rendezvous")
        .workers(workers)
        .unit("ns per round trip")
        .limit_if(workers == 1, 0.6, &["tokio", "tokio current thread", "may, unbounded", "smol"])
        .limit_if(workers == 2, 1.0, &EVERYONE)
        .floor(Floor::Sum(&[(floors::SWITCH, 2.0)]))
        .peer("sylvan", move || game.threads::<Sylvan, OfSylvan>())
        .peer("sylvan, kernel threads", move || game.threads::<Std, OfSylvan>())
        .peer("tokio", move || game.tasks::<TokioMulti, BoundedOfTokio>())
        .tokio_current(move || game.tasks::<TokioCurrent, BoundedOfTokio>())
        .peer("tokio, async-channel", move || game.tasks::<TokioMulti, OfAsyncChannel>())
        .peer("tokio, flume", move || game.tasks::<TokioMulti, awaiting::OfFlume>())
        .peer("smol", move || game.tasks::<Smol, OfAsyncChannel>())
        .peer("may, unbounded", move || game.threads::<May, Endless<OfMay>>())
        .peer("crossbeam", move || game.threads::<Std, OfCrossbeam>())
        .peer("flume", move || game.threads::<Std, OfFlume>())
        .peer("std", move || game.threads::<Std, BoundedOfStd>())
}

#[derive(Clone, Copy)]
struct PingPong {
    scale: Scale,
    workers: usize,
}

impl PingPong {
    fn threads<P: Threads, C: blocking::Bounded>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 16, |count| runtime.run(move || trips_of_threads::<P, C>(count)))
    }

    fn tasks<P: Tasks, C: awaiting::Bounded>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 16, |count| runtime.run(trips_of_tasks::<P, C>(count)))
    }
}

fn trips_of_threads<P: Threads, C: blocking::Bounded>(count: u64) -> Duration {
    let (there, at_there) = C::bounded(0);
    let (back, at_back) = C::bounded(0);
    let handle = P::spawn(move || {
        while let Some(number) = C::recv(&at_there) {
            C::send(&back, number + 1);
        }
    });
    let start = Instant::now();
    let mut number = 0;
    for _ in 0..count {
        C::send(&there, number);
        number = C::recv(&at_back).expect(ALIVE);
    }
    let took = start.elapsed();
    drop(there);
    P::join(handle);
    assert_eq!(number as u64, count, "each trip adds one");
    took
}

async fn trips_of_tasks<P: Tasks, C: awaiting::Bounded>(count: u64) -> Duration {
    let (there, mut at_there) = C::bounded(C::CAPACITY_MIN);
    let (back, mut at_back) = C::bounded(C::CAPACITY_MIN);
    let handle = P::spawn(async move {
        while let Some(number) = C::recv(&mut at_there).await {
            C::send(&back, number + 1).await;
        }
    });
    let start = Instant::now();
    let mut number = 0;
    for _ in 0..count {
        C::send(&there, number).await;
        number = C::recv(&mut at_back).await.expect(ALIVE);
    }
    let took = start.elapsed();
    drop(there);
    P::join(handle).await;
    assert_eq!(number as u64, count, "each trip adds one");
    took
}
