//! The sync rows: what threads pay to share things, and to wait for each other by the names of
//! `std::sync`.
//!
//! Each peer plays with its own primitives and its own threads. The cells "sylvan, kernel threads"
//! use sylvan's primitives from plain kernel threads, as std and parking_lot do with theirs, and
//! have no limits: they show what a program pays that shares a lock between both kinds.
#![forbid(unsafe_code)]

mod awaiting;
mod barrier;
mod blocking;
mod crowded;
mod turns;
mod uncontended;

use crate::row::{Row, Scale};

/// Threads of the rows with many.
const THREADS: u64 = 1_000;

pub(super) fn rows(scale: Scale, workers: &[usize]) -> Vec<Row> {
    let mut rows = vec![
        uncontended::mutex(scale),
        uncontended::semaphore(scale),
        turns::row(scale, 1),
        turns::row(scale, 2),
    ];
    for &workers in workers {
        rows.extend(crowded::rows(scale, workers));
        rows.push(barrier::row(scale, workers));
    }
    rows
}

const NO_SEMAPHORE: &str = "does not apply: it has no semaphore";
const NO_BARRIER: &str = "does not apply: it has no barrier";
