//! The rows, suite by suite.

mod cforall;
mod channel;
mod crowd;
mod ends;
mod floors;
mod gathering;
mod idle;
mod imbalance;
mod memory;
mod net;
mod park;
mod seeded;
mod spawn;
mod start;
mod sync;
mod timers;
mod tree;
mod wake;
mod yields;

use crate::row::{Row, Scale};

/// The names by which suites are chosen.
pub(crate) const NAMES: [&str; 17] = [
    "floors",
    "yield",
    "park",
    "sync",
    "channel",
    "spawn",
    "tree",
    "imbalance",
    "memory",
    "timers",
    "ends",
    "wake",
    "start",
    "idle",
    "seeded",
    "net",
    "cforall",
];

/// Every row of every suite. Floors come first, for they stand beside the figures of the others.
pub(crate) fn all(scale: Scale, workers: &[usize]) -> Vec<Row> {
    let mut rows = floors::rows(scale);
    rows.extend(yields::rows(scale));
    rows.extend(park::rows(scale));
    rows.extend(sync::rows(scale, workers));
    rows.extend(channel::rows(scale, workers));
    rows.extend(spawn::rows(scale, workers));
    rows.extend(tree::rows(scale, workers));
    rows.extend(imbalance::rows(scale, workers));
    rows.extend(memory::rows(scale));
    rows.extend(timers::rows(scale));
    rows.extend(ends::rows(scale));
    rows.extend(wake::rows(scale));
    rows.extend(start::rows());
    rows.extend(idle::rows(scale));
    rows.extend(seeded::rows());
    rows.extend(net::rows(scale, workers));
    rows.extend(cforall::rows(scale, workers));
    rows
}

/// More kernel threads than this are not asked of the system, where many would do the same.
const KERNEL_THREADS_MAX: u64 = 2_000;
const MANY_KERNEL_THREADS: &str = "not tried: more than 2,000 kernel threads";
/// may holds some 32,000 stacks, each of two map entries of 65,530, and hangs beyond.
const MAY_THREADS_MAX: u64 = 30_000;
