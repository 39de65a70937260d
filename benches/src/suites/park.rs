//! The park rows: what it costs that two threads wait for each other in turn.
//!
//! A round trip is: wake the other, wait until woken. Threads do it by `unpark` and `park`, tokio
//! by two `Notify`s and smol by two channels of one place, which hold a permit as they do. On two
//! workers the runtime chooses where the pair runs; "apart" forces each on a worker of its own.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::measure::per_unit;
use crate::row::{Row, Scale};
use crate::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::threads::{May, Std, Sylvan, Threads};

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    vec![
        row(scale, "1 worker", 1)
            .peer("tokio current thread", move || Ok(tasks::<TokioCurrent>(scale, 1))),
        row(scale, "2 workers", 2)
            .without("tokio current thread", "does not apply: it has one worker"),
        apart(scale),
    ]
}

fn row(scale: Scale, name: &str, workers: usize) -> Row {
    Row::new("park", format!("park: round trip, {name}"), "ns per round trip")
        .peer("sylvan", move || Ok(threads::<Sylvan>(scale, workers, false)))
        .peer("may", move || Ok(threads::<May>(scale, workers, false)))
        .peer("tokio", move || Ok(tasks::<TokioMulti>(scale, workers)))
        .peer("smol", move || Ok(tasks::<Smol>(scale, workers)))
        .peer("std", move || Ok(threads::<Std>(scale, workers, false)))
}

fn apart(scale: Scale) -> Row {
    let wanders = "does not apply: a task may change its worker at any wake";
    Row::new("park", "park: round trip, 2 workers, apart", "ns per round trip")
        .peer("sylvan", move || Ok(threads::<Sylvan>(scale, 2, true)))
        .peer("std", move || Ok(threads::<Std>(scale, 2, true)))
        .without("may", wanders)
        .without("tokio", wanders)
        .without("smol", wanders)
}

fn threads<P: Threads>(scale: Scale, workers: usize, apart: bool) -> f64 {
    let runtime = P::start(workers);
    per_unit(scale, 16, |count| {
        runtime.run(move || {
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
        })
    })
}

fn tasks<P: Tasks>(scale: Scale, workers: usize) -> f64 {
    let runtime = P::start(workers);
    per_unit(scale, 16, |count| {
        runtime.run(async move {
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
        })
    })
}
