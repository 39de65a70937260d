//! The park rows: what it costs that two threads wait for each other in turn.
//!
//! A round trip is: wake the other, wait until woken. Threads do it by `unpark` and `park`, tokio
//! by two `Notify`s and smol by two channels of one place, which hold a permit as they do. On two
//! workers the runtime chooses where the pair runs; "apart" forces each on a worker of its own.
//!
//! The cells called "channels" send a message there and another back through the peer's own
//! bounded channels, which is what its users do.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::floors;
use crate::measure::each;
use crate::peers::tasks::{Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Floor, Game, Outcome, Row, Scale};

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    vec![
        row(scale, 1).limit(0.4, &CHANNELS).floor(Floor::Sum(&[(floors::SWITCH, 2.0)])),
        row(scale, 2).floor(Floor::Sum(&[(floors::SWITCH, 2.0)])),
        apart(scale),
    ]
}

/// The cells whose best one the limit is relative to: smol's gate is a channel, too.
const CHANNELS: [&str; 5] =
    ["tokio, channels", "tokio current thread, channels", "may, channels", "smol", "std, channels"];

const UNIT: &str = "ns per round trip";

fn row(scale: Scale, workers: usize) -> Row {
    let row = Row::new("park", "park: round trip")
        .workers(workers)
        .unit(UNIT)
        .everyone(RoundTrips { scale, workers, apart: false })
        .peer("tokio, channels", move || tokio_channels::<TokioMulti>(scale, workers))
        .peer("may, channels", move || may_channels(scale, workers))
        .peer("std, channels", move || std_channels(scale, workers));
    if workers == 1 {
        row.peer("tokio current thread, channels", move || {
            tokio_channels::<TokioCurrent>(scale, workers)
        })
    } else {
        row
    }
}

fn apart(scale: Scale) -> Row {
    let game = RoundTrips { scale, workers: 2, apart: true };
    let wanders = "does not apply: a task may change its worker at any wake";
    Row::new("park", "park: round trip apart")
        .workers(2)
        .unit(UNIT)
        .peer("sylvan", move || game.threads::<Sylvan>())
        .peer("std", move || game.threads::<Std>())
        .without("may", wanders)
        .without("tokio", wanders)
        .without("smol", wanders)
}

#[derive(Clone, Copy)]
struct RoundTrips {
    scale: Scale,
    workers: usize,
    apart: bool,
}

impl Game for RoundTrips {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 16, |count| runtime.run(move || trips_of_threads::<P>(count, self.apart)))
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 16, |count| runtime.run(trips_of_tasks::<P>(count)))
    }
}

fn trips_of_threads<P: Threads>(count: u64, apart: bool) -> Duration {
    let me = P::current();
    let started = Arc::new(AtomicBool::new(false));
    let note = started.clone();
    let handle = P::spawn(move || {
        // ORDERING: Relaxed; nothing else is read by it.
        note.store(true, Ordering::Relaxed);
        for _ in 0..count {
            P::park();
            P::unpark(&me);
        }
    });
    // Without a switch here, only another worker can start the thread, and it stays there.
    //
    // ORDERING: Relaxed; as above.
    while apart && !started.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
    let other = P::thread_of(&handle);
    let start = Instant::now();
    for _ in 0..count {
        P::unpark(&other);
        P::park();
    }
    let took = start.elapsed();
    P::join(handle);
    took
}

async fn trips_of_tasks<P: Tasks>(count: u64) -> Duration {
    let gates = Arc::new((P::gate(), P::gate()));
    let theirs = gates.clone();
    let handle = P::spawn(async move {
        for _ in 0..count {
            P::pass(&theirs.0).await;
            P::open(&theirs.1);
        }
    });
    let start = Instant::now();
    for _ in 0..count {
        P::open(&gates.0);
        P::pass(&gates.1).await;
    }
    let took = start.elapsed();
    P::join(handle).await;
    took
}

fn tokio_channels<P: Tasks>(scale: Scale, workers: usize) -> Outcome {
    async fn trips<P: Tasks>(count: u64) -> Duration {
        let (there, mut at_there) = tokio::sync::mpsc::channel::<()>(1);
        let (back, mut at_back) = tokio::sync::mpsc::channel::<()>(1);
        let handle = P::spawn(async move {
            while at_there.recv().await.is_some() {
                back.send(()).await.expect("the other end lives");
            }
        });
        let start = Instant::now();
        for _ in 0..count {
            there.send(()).await.expect("the other end lives");
            at_back.recv().await.expect("the other end lives");
        }
        let took = start.elapsed();
        drop(there);
        P::join(handle).await;
        took
    }
    let runtime = P::start(workers);
    each(scale, 16, |count| runtime.run(trips::<P>(count)))
}

/// may has unbounded channels only.
fn may_channels(scale: Scale, workers: usize) -> Outcome {
    let runtime = May::start(workers);
    each(scale, 16, |count| {
        runtime.run(move || {
            let (there, at_there) = may::sync::mpsc::channel::<()>();
            let (back, at_back) = may::sync::mpsc::channel::<()>();
            let handle = May::spawn(move || {
                while at_there.recv().is_ok() {
                    back.send(()).expect("the other end lives");
                }
            });
            let start = Instant::now();
            for _ in 0..count {
                there.send(()).expect("the other end lives");
                at_back.recv().expect("the other end lives");
            }
            let took = start.elapsed();
            drop(there);
            May::join(handle);
            took
        })
    })
}

fn std_channels(scale: Scale, workers: usize) -> Outcome {
    let runtime = Std::start(workers);
    each(scale, 16, |count| {
        runtime.run(move || {
            let (there, at_there) = std::sync::mpsc::sync_channel::<()>(1);
            let (back, at_back) = std::sync::mpsc::sync_channel::<()>(1);
            let handle = Std::spawn(move || {
                while at_there.recv().is_ok() {
                    back.send(()).expect("the other end lives");
                }
            });
            let start = Instant::now();
            for _ in 0..count {
                there.send(()).expect("the other end lives");
                at_back.recv().expect("the other end lives");
            }
            let took = start.elapsed();
            drop(there);
            Std::join(handle);
            took
        })
    })
}
