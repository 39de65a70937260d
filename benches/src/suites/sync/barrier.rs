//! A thousand threads that wait for each other at a barrier, round after round.
//!
//! Each passes the barrier once before it is counted in, and time runs from the last one to be
//! counted in until the last one to end. So what is timed is as many rounds as there were,
//! neither more nor less: the last to be counted in has just passed, and the last to end, too.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use super::{NO_BARRIER, THREADS, awaiting, blocking};
use crate::measure::each;
use crate::peers::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::race::Race;
use crate::row::{Floor, Outcome, Row, Scale};
use crate::suites::floors;

pub(super) fn row(scale: Scale, workers: usize) -> Row {
    let game = Rounds { scale, workers };
    Row::new("sync", "sync: barrier of 1,000 threads")
        .workers(workers)
        .unit("ns per wait")
        .limit_if(workers == 2, 0.5, &["may", "smol", "std", "tokio"])
        .floor(Floor::Sum(&[(floors::SWITCH, 1.0)]))
        .peer("sylvan", move || game.threads::<Sylvan, sylvan::sync::Barrier>())
        .peer("sylvan, kernel threads", move || game.threads::<Std, sylvan::sync::Barrier>())
        .peer("may", move || game.threads::<May, may::sync::Barrier>())
        .peer("std", move || game.threads::<Std, std::sync::Barrier>())
        .without("parking_lot", NO_BARRIER)
        .peer("tokio", move || game.tasks::<TokioMulti, tokio::sync::Barrier>())
        .tokio_current(move || game.tasks::<TokioCurrent, tokio::sync::Barrier>())
        .peer("smol", move || game.tasks::<Smol, smol::lock::Barrier>())
        .limit_s(60)
}

#[derive(Clone, Copy)]
struct Rounds {
    scale: Scale,
    workers: usize,
}

impl Rounds {
    fn threads<P: Threads, B: blocking::Barrier>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 4 * THREADS, |count| runtime.run(move || rounds_of_threads::<P, B>(count)))
    }

    fn tasks<P: Tasks, B: awaiting::Barrier>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 4 * THREADS, |count| runtime.run(rounds_of_tasks::<P, B>(count)))
    }
}

fn rounds_of_threads<P: Threads, B: blocking::Barrier>(count: u64) -> Duration {
    let rounds = count.div_ceil(THREADS);
    let all = Arc::new((B::new(THREADS as usize), Race::new(THREADS)));
    let spawn = |_| {
        let all = all.clone();
        P::spawn(move || {
            let (barrier, race) = &*all;
            barrier.wait();
            race.note_started();
            for _ in 0..rounds {
                barrier.wait();
            }
            race.note_done();
            race.count(rounds);
        })
    };
    let handles: Vec<_> = (0..THREADS).map(spawn).collect();
    for handle in handles {
        P::join(handle);
    }
    all.1.time_of(count)
}

async fn rounds_of_tasks<P: Tasks, B: awaiting::Barrier>(count: u64) -> Duration {
    let rounds = count.div_ceil(THREADS);
    let all = Arc::new((B::new(THREADS as usize), Race::new(THREADS)));
    let spawn = |_| {
        let all = all.clone();
        P::spawn(async move {
            let (barrier, race) = &*all;
            barrier.wait().await;
            race.note_started();
            for _ in 0..rounds {
                barrier.wait().await;
            }
            race.note_done();
            race.count(rounds);
        })
    };
    let handles: Vec<_> = (0..THREADS).map(spawn).collect();
    for handle in handles {
        P::join(handle).await;
    }
    all.1.time_of(count)
}
