//! The seeded rows: what a switch costs in a run whose every choice is drawn from a seed. No peer
//! runs its own scheduler so; what counts is that hundreds of seeds fit into a test.
#![forbid(unsafe_code)]

use std::time::Instant;

use sylvan::testing::{Plan, Strategy};

use crate::row::{Outcome, Row};

const SWITCHES: u64 = 100_000;

pub(super) fn rows() -> Vec<Row> {
    let strategies = [("random", Strategy::Random), ("pct", Strategy::Pct { depth: 3 })];
    let rows = strategies.iter().flat_map(|&(name, strategy)| {
        [2, 100].map(|threads| {
            Row::new("seeded", format!("seeded: 100,000 switches, {threads} threads, {name}"))
                .unit("ms")
                .limit(100.0, &[])
                .peer("sylvan", move || switches(strategy, threads))
        })
    });
    let empty = Row::new("seeded", "seeded: a run in which nothing happens")
        .unit("µs")
        .peer("sylvan", empty_runs);
    rows.chain([empty]).collect()
}

fn switches(strategy: Strategy, threads: u64) -> Outcome {
    let plan = Plan::new().strategy(strategy);
    let each = SWITCHES / threads;
    let start = Instant::now();
    plan.run(1, move || {
        let yields = move || (0..each).for_each(|_| sylvan::thread::yield_now());
        let threads: Vec<_> = (0..threads).map(|_| sylvan::thread::spawn(yields)).collect();
        for thread in threads {
            thread.join().expect("it does not panic");
        }
    });
    Ok(vec![start.elapsed().as_secs_f64() * 1e3])
}

fn empty_runs() -> Outcome {
    const RUNS: u64 = 200;
    let start = Instant::now();
    for seed in 0..RUNS {
        sylvan::testing::run_seeded(seed, || ());
    }
    Ok(vec![start.elapsed().as_secs_f64() * 1e6 / RUNS as f64])
}
