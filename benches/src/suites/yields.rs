//! The yield rows: what it costs that a thread lets others run and is run again.
//!
//! So many threads on one worker yield in turn. Yielding from five calls deep is the honest
//! figure: a switch in the loop's own frame keeps the processor's return predictor right, which
//! real programs do not. With many threads the cost of a switch is that of fetching cold stacks.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use corosensei::Coroutine;
use corosensei::stack::DefaultStack;

use super::{KERNEL_THREADS_MAX, MANY_KERNEL_THREADS, MAY_THREADS_MAX, floors};
use crate::measure::each;
use crate::peers::tasks::Tasks;
use crate::peers::threads::{May, Threads};
use crate::race::Race;
use crate::row::{Floor, Game, Outcome, Row, Scale};

/// What distinguishes the rows.
#[derive(Clone, Copy)]
struct Yields {
    scale: Scale,
    threads: u64,
    /// Frames between the thread's loop and the yield.
    depth: u32,
}

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    let game = |threads, depth| Yields { scale, threads, depth };
    vec![
        row("yield: 2 threads, inlined", game(2, 0)).floor(Floor::Sum(&[(floors::SWITCH, 1.0)])),
        row("yield: 2 threads, five calls deep", game(2, 5))
            .limit(0.5, &["may"])
            .limit(0.1, &["tokio"])
            .floor(Floor::Sum(&[(floors::DEEP_SWITCH, 1.0)])),
        row("yield: 1,000 threads, five calls deep", game(1_000, 5))
            .floor(Floor::Peer("corosensei, switch only")),
        row("yield: 100,000 threads, five calls deep", game(100_000, 5))
            .limit(0.25, &["may, 30,000 threads"])
            .floor(Floor::Sum(&[(floors::DEEP_SWITCH, 1.0), (floors::MISS, 1.0)])),
    ]
}

fn row(title: &str, game: Yields) -> Row {
    let row = Row::new("yield", title)
        .workers(1)
        .unit("ns per yield")
        .everyone(game)
        .peer("corosensei, switch only", move || game.switch_only());
    let row = if game.threads > KERNEL_THREADS_MAX {
        row.without("std", MANY_KERNEL_THREADS)
    } else {
        row
    };
    if game.threads > MAY_THREADS_MAX {
        let fewer = Yields { threads: MAY_THREADS_MAX, ..game };
        row.peer("may, 30,000 threads", move || fewer.threads::<May>())
    } else {
        row
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

impl Game for Yields {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(1);
        let Yields { scale, threads, depth } = self;
        each(scale, 4 * threads, |count| {
            let each = count.div_ceil(threads);
            runtime.run(move || {
                let race = Arc::new(Race::new(threads));
                let spawn = |_| {
                    let race = race.clone();
                    P::spawn(move || yielding_thread::<P>(&race, each, depth))
                };
                let handles: Vec<_> = (0..threads).map(spawn).collect();
                for handle in handles {
                    P::join(handle);
                }
                race.time_of(count)
            })
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(1);
        let Yields { scale, threads, depth } = self;
        each(scale, 4 * threads, |count| {
            let each = count.div_ceil(threads);
            runtime.run(async move {
                let race = Arc::new(Race::new(threads));
                let mut handles = Vec::new();
                for _ in 0..threads {
                    handles.push(P::spawn(yielding_task::<P>(race.clone(), each, depth)));
                }
                for handle in handles {
                    P::join(handle).await;
                }
                race.time_of(count)
            })
        })
    }
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
    race.count(each + extra);
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
    race.count(each + extra);
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

impl Yields {
    /// Coroutines of corosensei in a plain queue: what a scheduler without any duty would cost.
    fn switch_only(self) -> Outcome {
        type Switch = Coroutine<(), (), std::convert::Infallible, DefaultStack>;
        let mut queue = VecDeque::new();
        for made in 0..self.threads {
            let stack = DefaultStack::new(64 << 10)
                .map_err(|error| format!("stack {made} could not be had: {error}"))?;
            let mut coroutine: Pin<Box<Switch>> =
                Box::pin(Coroutine::with_stack(stack, move |yielder, ()| {
                    loop {
                        match self.depth {
                            0 => yielder.suspend(()),
                            depth => deep_suspend(depth, yielder),
                        }
                    }
                }));
            coroutine.resume(());
            queue.push_back(coroutine);
        }
        let figure = each(self.scale, self.threads, |count| {
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
        figure
    }
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
