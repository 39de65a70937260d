//! Ping-pong by a condition variable: two threads, a mutex, a number that says whose turn it is.
//!
//! A round trip is two hand-overs: lock, wait until it is one's turn, make it the other's, notify
//! one, unlock. The notification comes from under the lock, as most programs do it.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::awaiting::NotifiedTurn;
use super::blocking::Turn;
use crate::measure::each;
use crate::peers::tasks::{Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Floor, Outcome, Row, Scale};
use crate::suites::floors;

pub(super) fn row(scale: Scale, workers: usize) -> Row {
    type OfMay = (may::sync::Mutex<u64>, may::sync::Condvar);
    type OfParkingLot = (parking_lot::Mutex<u64>, parking_lot::Condvar);
    type OfStd = (std::sync::Mutex<u64>, std::sync::Condvar);
    type OfSylvan = (sylvan::sync::Mutex<u64>, sylvan::sync::Condvar);

    const NONE: &str = "does not apply: it has no condition variable";
    let game = PingPong { scale, workers };
    let row = Row::new("sync", "sync: condition variable, round trip")
        .workers(workers)
        .unit("ns per round trip")
        .limit_if(workers == 1, 0.5, &["may"])
        .floor(Floor::Sum(&[(floors::SWITCH, 2.0)]))
        .peer("sylvan", move || game.threads::<Sylvan, OfSylvan>())
        .peer("sylvan, kernel threads", move || game.threads::<Std, OfSylvan>())
        .peer("may", move || game.threads::<May, OfMay>())
        .peer("std", move || game.threads::<Std, OfStd>())
        .peer("parking_lot", move || game.threads::<Std, OfParkingLot>())
        .without("tokio", NONE)
        .peer("tokio, Notify", move || game.tasks::<TokioMulti>())
        .without("smol", NONE);
    match workers {
        1 => row.peer("tokio current thread, Notify", move || game.tasks::<TokioCurrent>()),
        _ => row,
    }
}

#[derive(Clone, Copy)]
struct PingPong {
    scale: Scale,
    workers: usize,
}

impl PingPong {
    fn threads<P: Threads, T: Turn>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 16, |count| runtime.run(move || trips_of_threads::<P, T>(count)))
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 16, |count| runtime.run(trips_of_tasks::<P>(count)))
    }
}

fn trips_of_threads<P: Threads, T: Turn>(count: u64) -> Duration {
    let turn = Arc::new(T::new());
    let theirs = turn.clone();
    let handle = P::spawn(move || (0..count).for_each(|_| theirs.hand_over(1, 0)));
    let start = Instant::now();
    for _ in 0..count {
        turn.hand_over(0, 1);
    }
    P::join(handle);
    start.elapsed()
}

async fn trips_of_tasks<P: Tasks>(count: u64) -> Duration {
    let turn = Arc::new(NotifiedTurn::new());
    let theirs = turn.clone();
    let handle = P::spawn(async move {
        for _ in 0..count {
            theirs.hand_over(1, 0).await;
        }
    });
    let start = Instant::now();
    for _ in 0..count {
        turn.hand_over(0, 1).await;
    }
    P::join(handle).await;
    start.elapsed()
}
