//! The idle row: 10,000 threads wait and nobody runs; how often does a kernel thread of the
//! process wake up, and how much does it compute?
//!
//! Both are read from `/proc` at the beginning and the end of some seconds, for all kernel threads
//! but the one that reads. They are the kernel's counts, so there is no tolerance: none is none.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use super::crowd::{hold_tasks, park_threads};
use super::{KERNEL_THREADS_MAX, MANY_KERNEL_THREADS};
use crate::peers::tasks::{Smol, Tasks, TokioMulti};
use crate::peers::threads::{May, Std, Sylvan, Threads};
use crate::process::other_threads;
use crate::row::{Outcome, Row, Scale};

const THREADS: u64 = 10_000;

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    let title = scale.pick("idle: 10,000 waiting, for 5 s", "idle: 10,000 waiting, for 1 s");
    let row = Row::new("idle", title)
        .workers(2)
        .metric("wake-ups", "in all")
        .limit(0.0, &[])
        .metric("CPU time", "ms")
        .limit(0.0, &[])
        .peer("sylvan", move || threads::<Sylvan>(scale, THREADS))
        .peer("may", move || threads::<May>(scale, THREADS))
        .peer("tokio", move || tasks::<TokioMulti>(scale, 2))
        // One of smol's kernel threads is the caller, which stays outside here.
        .peer("smol", move || tasks::<Smol>(scale, 3))
        .without("tokio current thread", "does not apply: its worker is its caller")
        .without("open-coroutine", "does not apply: its threads can only end or sleep")
        .without("std", MANY_KERNEL_THREADS)
        .peer("std, 2,000", move || threads::<Std>(scale, KERNEL_THREADS_MAX));
    vec![row]
}

/// Wake-ups and milliseconds of processor time while nobody does anything.
fn figures(scale: Scale) -> Outcome {
    // What is still on its way to sleep shall arrive first.
    std::thread::sleep(Duration::from_millis(300));
    let before = other_threads();
    std::thread::sleep(Duration::from_secs(scale.pick(5, 1)));
    let after = other_threads();
    let ran = after.ran.saturating_sub(before.ran);
    Ok(vec![(after.sleeps - before.sleeps) as f64, ran.as_secs_f64() * 1e3])
}

fn threads<P: Threads>(scale: Scale, count: u64) -> Outcome {
    let runtime = P::start(2);
    runtime.run(move || park_threads::<P>(count));
    let figures = figures(scale);
    // Its end would wake them all, to cancel them; the process ends anyway.
    std::mem::forget(runtime);
    figures
}

fn tasks<P: Tasks>(scale: Scale, workers: usize) -> Outcome {
    let runtime = P::start(workers);
    let door = Arc::new(P::semaphore());
    let inner = door.clone();
    runtime.run(async move { hold_tasks::<P>(THREADS, &inner).await });
    let figures = figures(scale);
    // Its end would wake them all, to cancel them; the process ends anyway.
    std::mem::forget(runtime);
    figures
}
