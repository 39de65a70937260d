//! What a lock and a permit cost that nobody else wants.
//!
//! One thread takes it and gives it back, over and over. Nothing but the primitive is in the loop,
//! so for peers that keep a count of what a task may do before it must yield, as tokio does, that
//! is part of the figure. "One worker" is one processor for the peers on kernel threads.
#![forbid(unsafe_code)]

use std::future::ready;
use std::hint::black_box;
use std::time::Instant;

use super::{NO_SEMAPHORE, awaiting, blocking};
use crate::measure::each;
use crate::peers::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::row::{Floor, Outcome, Row, Scale};
use crate::suites::floors;

/// Taking and giving back are an atomic operation each.
const FLOOR: Floor = Floor::Sum(&[(floors::ADDITION, 2.0)]);

pub(super) fn mutex(scale: Scale) -> Row {
    Row::new("sync", "sync: mutex, uncontended")
        .workers(1)
        .unit("ns per lock and unlock")
        .limit(1.2, &["parking_lot"])
        .floor(FLOOR)
        .peer("sylvan", move || lock::<Sylvan, sylvan::sync::Mutex<u64>>(scale))
        .peer("sylvan, kernel threads", move || lock::<Std, sylvan::sync::Mutex<u64>>(scale))
        .peer("parking_lot", move || lock::<Std, parking_lot::Mutex<u64>>(scale))
        .peer("std", move || lock::<Std, std::sync::Mutex<u64>>(scale))
        .peer("may", move || lock::<May, may::sync::Mutex<u64>>(scale))
        .peer("tokio", move || lock_awaiting::<TokioMulti, tokio::sync::Mutex<u64>>(scale))
        .tokio_current(move || lock_awaiting::<TokioCurrent, tokio::sync::Mutex<u64>>(scale))
        .peer("smol", move || lock_awaiting::<Smol, smol::lock::Mutex<u64>>(scale))
}

pub(super) fn semaphore(scale: Scale) -> Row {
    Row::new("sync", "sync: semaphore, uncontended")
        .workers(1)
        .unit("ns per acquire and release")
        .limit(0.5, &["tokio", "tokio current thread"])
        .floor(FLOOR)
        .peer("sylvan", move || permit::<Sylvan, sylvan::sync::Semaphore>(scale))
        .peer("sylvan, kernel threads", move || permit::<Std, sylvan::sync::Semaphore>(scale))
        .without("parking_lot", NO_SEMAPHORE)
        .without("std", NO_SEMAPHORE)
        .peer("may", move || permit::<May, may::sync::Semphore>(scale))
        .peer("tokio", move || permit_awaiting::<TokioMulti, tokio::sync::Semaphore>(scale))
        .tokio_current(move || permit_awaiting::<TokioCurrent, tokio::sync::Semaphore>(scale))
        .peer("smol", move || permit_awaiting::<Smol, smol::lock::Semaphore>(scale))
}

fn lock<P: Threads, M: blocking::Mutex>(scale: Scale) -> Outcome {
    let runtime = P::start(1);
    each(scale, 16, |count| {
        runtime.run(move || {
            let mutex = M::new();
            let start = Instant::now();
            for _ in 0..count {
                black_box(&mutex).add_one();
            }
            start.elapsed()
        })
    })
}

fn lock_awaiting<P: Tasks, M: awaiting::Mutex>(scale: Scale) -> Outcome {
    let runtime = P::start(1);
    each(scale, 16, |count| {
        runtime.run(async move {
            let mutex = M::new();
            let start = Instant::now();
            for _ in 0..count {
                black_box(&mutex).add_one().await;
            }
            start.elapsed()
        })
    })
}

fn permit<P: Threads, S: blocking::Semaphore>(scale: Scale) -> Outcome {
    let runtime = P::start(1);
    each(scale, 16, |count| {
        runtime.run(move || {
            let semaphore = S::new(1);
            let start = Instant::now();
            for _ in 0..count {
                black_box(&semaphore).with_permit(|| ());
            }
            start.elapsed()
        })
    })
}

fn permit_awaiting<P: Tasks, S: awaiting::Semaphore>(scale: Scale) -> Outcome {
    let runtime = P::start(1);
    each(scale, 16, |count| {
        runtime.run(async move {
            let semaphore = S::new(1);
            let start = Instant::now();
            for _ in 0..count {
                black_box(&semaphore).with_permit(ready(())).await;
            }
            start.elapsed()
        })
    })
}
