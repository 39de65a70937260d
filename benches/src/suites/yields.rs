//! The yield rows: what it costs that a thread lets others run and is run again.
//!
//! So many threads on one worker yield in turn. Yielding from five calls deep is the honest
//! figure: a switch in the loop's own frame keeps the processor's return predictor right, which
//! real programs do not. With many threads the cost of a switch is that of fetching cold stacks.
//!
//! Time runs from the moment when all threads have started to the moment when the last one has
//! yielded as often as it shall. Those that were done before yield on until then, and what they
//! yield counts, so neither starts nor ends of threads nor an unfair queue spoil the figure.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use corosensei::Coroutine;
use corosensei::stack::DefaultStack;

use crate::measure::per_unit;
use crate::row::{Row, Scale};
use crate::tasks::{Smol, Tasks, TokioCurrent, TokioMulti};
use crate::threads::{May, Std, Sylvan, Threads};

/// What distinguishes the rows.
#[derive(Clone, Copy)]
struct Work {
    threads: u64,
    /// Frames between the thread's loop and the yield.
    depth: u32,
}

/// More kernel threads than this are not asked of the system.
const KERNEL_THREADS_MAX: u64 = 2_000;
/// may holds some 32,000 stacks, each of two map entries, and hangs beyond.
const MAY_THREADS_MAX: u64 = 20_000;

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    let work = |threads, depth| Work { threads, depth };
    vec![
        row(scale, "2 threads, 1 worker, inlined", work(2, 0)),
        row(scale, "2 threads, 1 worker, five calls deep", work(2, 5)),
        row(scale, "1,000 threads, 1 worker, five calls deep", work(1_000, 5)),
        row(scale, "100,000 threads, 1 worker, five calls deep", work(100_000, 5)),
    ]
}

fn row(scale: Scale, name: &str, work: Work) -> Row {
    let row = Row::new("yield", format!("yield: {name}"), "ns per yield")
        .peer("sylvan", move || Ok(threads::<Sylvan>(scale, work)))
        .peer("may", move || Ok(threads::<May>(scale, work)))
        .peer("tokio", move || Ok(tasks::<TokioMulti>(scale, work)))
        .peer("tokio current thread", move || Ok(tasks::<TokioCurrent>(scale, work)))
        .peer("smol", move || Ok(tasks::<Smol>(scale, work)))
        .peer("corosensei, switch only", move || switch_only(scale, work));
    let row = if work.threads <= KERNEL_THREADS_MAX {
        row.peer("std", move || Ok(threads::<Std>(scale, work)))
    } else {
        row.without("std", "not tried: more than 2,000 kernel threads")
    };
    if work.threads > MAY_THREADS_MAX {
        let fewer = Work { threads: MAY_THREADS_MAX, ..work };
        row.peer("may, 20,000 threads", move || Ok(threads::<May>(scale, fewer)))
    } else {
        row
    }
}

/// When the threads of a row have all begun and all done their share, and what they did between.
struct Race {
    threads: u64,
    started: AtomicU64,
    done: AtomicU64,
    yields: AtomicU64,
    start: OnceLock<Instant>,
    end: OnceLock<Instant>,
}

impl Race {
    fn new(threads: u64) -> Arc<Race> {
        Arc::new(Race {
            threads,
            started: AtomicU64::new(0),
            done: AtomicU64::new(0),
            yields: AtomicU64::new(0),
            start: OnceLock::new(),
            end: OnceLock::new(),
        })
    }

    fn note_started(&self) {
        // ORDERING: AcqRel; the last one comes after all others.
        if self.started.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.start.set(Instant::now()).expect("there is one last starter");
        }
    }

    fn all_started(&self) -> bool {
        // ORDERING: Acquire; pairs with the last starter.
        self.started.load(Ordering::Acquire) == self.threads
    }

    fn note_done(&self) {
        // ORDERING: AcqRel; as in `note_started`.
        if self.done.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.end.set(Instant::now()).expect("there is one last to be done");
        }
    }

    fn all_done(&self) -> bool {
        // ORDERING: Acquire; pairs with the last one.
        self.done.load(Ordering::Acquire) == self.threads
    }

    fn count_yields(&self, yields: u64) {
        // ORDERING: Relaxed; read after all threads were joined.
        self.yields.fetch_add(yields, Ordering::Relaxed);
    }

    /// The time that `count` of the yields took.
    fn time_of(&self, count: u64) -> Duration {
        let start = self.start.get().expect("all have started");
        let took = *self.end.get().expect("all are done") - *start;
        // ORDERING: Relaxed; as in `count_yields`.
        took.mul_f64(count as f64 / self.yields.load(Ordering::Relaxed) as f64)
    }
}

/// Calls `f` so many frames down, and comes back up. The frames stay: the value that each needs
/// after its call forbids a jump instead.
#[inline(never)]
fn deep(depth: u32, f: fn()) {
    if depth <= 1 {
        f()
    } else {
        deep(depth - 1, f)
    }
    black_box(depth);
}

fn threads<P: Threads>(scale: Scale, work: Work) -> f64 {
    let runtime = P::start(1);
    per_unit(scale, 4 * work.threads, |count| {
        let each = count.div_ceil(work.threads);
        runtime.run(move || {
            let race = Race::new(work.threads);
            let handles: Vec<_> = (0..work.threads)
                .map(|_| {
                    let race = race.clone();
                    P::spawn(move || yielding_thread::<P>(&race, each, work.depth))
                })
                .collect();
            for handle in handles {
                P::join(handle);
            }
            race.time_of(count)
        })
    })
}

fn yielding_thread<P: Threads>(race: &Race, each: u64, depth: u32) {
    race.note_started();
    while !race.all_started() {
        P::yield_now();
    }
    if depth == 0 {
        for _ in 0..each {
            P::yield_now();
        }
    } else {
        for _ in 0..each {
            deep(depth, P::yield_now);
        }
    }
    race.note_done();
    let mut extra = 0;
    while !race.all_done() {
        P::yield_now();
        extra += 1;
    }
    race.count_yields(each + extra);
}

fn tasks<P: Tasks>(scale: Scale, work: Work) -> f64 {
    let runtime = P::start(1);
    per_unit(scale, 4 * work.threads, |count| {
        let each = count.div_ceil(work.threads);
        runtime.run(async move {
            let race = Race::new(work.threads);
            let mut handles = Vec::new();
            for _ in 0..work.threads {
                handles.push(P::spawn(yielding_task::<P>(race.clone(), each, work.depth)));
            }
            for handle in handles {
                P::join(handle).await;
            }
            race.time_of(count)
        })
    })
}

async fn yielding_task<P: Tasks>(race: Arc<Race>, each: u64, depth: u32) {
    race.note_started();
    while !race.all_started() {
        P::yield_now().await;
    }
    if depth == 0 {
        for _ in 0..each {
            P::yield_now().await;
        }
    } else {
        for _ in 0..each {
            deep_1::<P>().await;
        }
    }
    race.note_done();
    let mut extra = 0;
    while !race.all_done() {
        P::yield_now().await;
        extra += 1;
    }
    race.count_yields(each + extra);
}

/// Five `async fn`s deep. The compiler melts them into one state machine, which is what a program
/// of futures gets, so this is the same work as inlined, or nearly.
async fn deep_1<P: Tasks>() {
    deep_2::<P>().await;
}

async fn deep_2<P: Tasks>() {
    deep_3::<P>().await;
}

async fn deep_3<P: Tasks>() {
    deep_4::<P>().await;
}

async fn deep_4<P: Tasks>() {
    deep_5::<P>().await;
}

async fn deep_5<P: Tasks>() {
    P::yield_now().await;
}

/// Coroutines of corosensei in a plain queue: what a scheduler without any duty would cost.
fn switch_only(scale: Scale, work: Work) -> Result<f64, String> {
    type Switch = Coroutine<(), (), std::convert::Infallible, DefaultStack>;
    let mut queue = VecDeque::new();
    for made in 0..work.threads {
        let stack = DefaultStack::new(64 << 10)
            .map_err(|error| format!("stack {made} could not be had: {error}"))?;
        let mut coroutine: Pin<Box<Switch>> =
            Box::pin(Coroutine::with_stack(stack, move |yielder, ()| {
                loop {
                    match work.depth {
                        0 => yielder.suspend(()),
                        depth => deep_suspend(depth, yielder),
                    }
                }
            }));
        coroutine.resume(());
        queue.push_back(coroutine);
    }
    let ns = per_unit(scale, work.threads, |count| {
        let start = Instant::now();
        for _ in 0..count {
            let mut coroutine = queue.pop_front().expect("each comes back");
            coroutine.resume(());
            queue.push_back(coroutine);
        }
        start.elapsed()
    });
    // Endless bodies cannot be dropped without being unwound, and the process ends anyway.
    std::mem::forget(queue);
    Ok(ns)
}

/// As [`deep`], with the yielder that corosensei hands to the body.
#[inline(never)]
fn deep_suspend(depth: u32, yielder: &corosensei::Yielder<(), ()>) {
    if depth <= 1 {
        yielder.suspend(())
    } else {
        deep_suspend(depth - 1, yielder)
    }
    black_box(depth);
}
