//! The memory rows: what a waiting thread costs, what one that has not started, and how fast many
//! come to wait.
//!
//! Resident memory and page tables are read from `/proc` before and after; the threads are spawned
//! by one of their kind and nobody keeps a handle. Each cell is a process of its own, so nothing
//! of an earlier size is reused. Threads park; tasks wait for a permit of one semaphore.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Instant;

use super::crowd::{hold_tasks, park_threads};
use super::{MAY_THREADS_MAX, floors};
use crate::peers::tasks::Tasks;
use crate::peers::threads::{May, Threads};
use crate::process::{available_bytes, map_entries, resident_bytes};
use crate::row::{Floor, Game, Outcome, Row, Scale};

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    let mut rows = vec![waiting("memory: 10,000 waiting", 10_000, false)];
    rows.push(waiting("memory: 100,000 waiting", 100_000, scale.quick));
    if !scale.quick {
        rows.push(waiting("memory: 1,000,000 waiting", 1_000_000, true));
    }
    rows.push(unstarted(scale));
    rows
}

/// What a stack of 256 KiB needs when its first page is touched: that page, and of the page that
/// holds the entries for 2 MiB an eighth.
pub(super) const STACK: Floor = Floor::Value(4.5, "a page, and an eighth of a page of entries");
const TIME: Floor = Floor::Sum(&[(floors::PAGE, 1.0), (floors::GUARD, 1.0)]);

fn waiting(title: &'static str, count: u64, limited: bool) -> Row {
    let game = Waiting { count };
    let row = Row::new("memory", title)
        .workers(2)
        .metric("memory", "KiB each")
        .limit_if(limited, 4.8, &[])
        .floor(STACK)
        .metric("spawn and park", "ns each")
        .limit_if(limited, 2_500.0, &[])
        .floor(TIME)
        .metric("map entries", "in all")
        .limit_if(limited, 16.0, &[])
        .everyone(game)
        .limit_s(60);
    if count <= 10_000 {
        return row;
    }
    let few = Waiting { count: MAY_THREADS_MAX };
    row.without("std", "not tried: more than 10,000 kernel threads")
        .peer("may, 30,000", move || few.threads::<May>())
}

#[derive(Clone, Copy)]
struct Waiting {
    count: u64,
}

/// What was there before, and when.
struct Before {
    resident: u64,
    entries: u64,
    start: Instant,
}

impl Before {
    fn now() -> Before {
        Before { resident: resident_bytes(), entries: map_entries(), start: Instant::now() }
    }

    /// The figures, when all wait.
    fn figures(&self, count: u64, took_ns: f64) -> Vec<f64> {
        let bytes = resident_bytes().saturating_sub(self.resident) as f64;
        let entries = map_entries().saturating_sub(self.entries) as f64;
        vec![bytes / 1024.0 / count as f64, took_ns / count as f64, entries]
    }
}

impl Waiting {
    fn fits(self) -> Result<(), String> {
        // 4.8 KiB each, and a quarter more for the rest of the system.
        let needed = (self.count * 6) << 10;
        if available_bytes() < needed {
            return Err(format!("not tried: needs {} MiB of free memory", needed >> 20));
        }
        Ok(())
    }
}

impl Game for Waiting {
    fn threads<P: Threads>(self) -> Outcome {
        self.fits()?;
        let runtime = P::start(2);
        let count = self.count;
        let figures = runtime.run(move || {
            let before = Before::now();
            park_threads::<P>(count);
            let took = before.start.elapsed().as_nanos() as f64;
            before.figures(count, took)
        });
        // Its end would wake them all, to cancel them; the process ends anyway.
        std::mem::forget(runtime);
        Ok(figures)
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        self.fits()?;
        let runtime = P::start(2);
        let figures = runtime.run(wait_as_tasks::<P>(self.count));
        // As for threads.
        std::mem::forget(runtime);
        Ok(figures)
    }
}

async fn wait_as_tasks<P: Tasks>(count: u64) -> Vec<f64> {
    let door = Arc::new(P::semaphore());
    let before = Before::now();
    hold_tasks::<P>(count, &door).await;
    let took = before.start.elapsed().as_nanos() as f64;
    let figures = before.figures(count, took);
    // The process ends with the figures; until then nobody must be woken or freed.
    std::mem::forget(door);
    figures
}

fn unstarted(scale: Scale) -> Row {
    let count = scale.pick(1_000_000, 100_000);
    let few = Unstarted { count: MAY_THREADS_MAX };
    Row::new("memory", "memory: unstarted")
        .workers(1)
        .unit("bytes each")
        .limit(256.0, &[])
        .everyone(Unstarted { count })
        .without("may", "not tried: its stacks run out")
        .peer("may, 30,000", move || few.threads::<May>())
        .without("std", "does not apply: the kernel starts a thread by itself")
        .without("open-coroutine", "does not apply: spawned from outside, threads start at once")
        .limit_s(60)
}

/// The only worker is busy spawning, so nothing that it spawns can start.
#[derive(Clone, Copy)]
struct Unstarted {
    count: u64,
}

impl Game for Unstarted {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(1);
        let bytes = runtime.run(move || {
            let before = resident_bytes();
            for n in 0..self.count {
                drop(P::spawn(move || std::hint::black_box(n)));
            }
            resident_bytes().saturating_sub(before)
        });
        std::mem::forget(runtime);
        Ok(vec![bytes as f64 / self.count as f64])
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(1);
        let bytes = runtime.run(async move {
            let before = resident_bytes();
            for n in 0..self.count {
                P::detach(P::spawn(async move { std::hint::black_box(n) }));
            }
            resident_bytes().saturating_sub(before)
        });
        Ok(vec![bytes as f64 / self.count as f64])
    }
}
