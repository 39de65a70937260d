//! The drop-in tests with crossbeam's channels, on kernel threads: what they ask is what it gives.
//!
//! crossbeam is no promise about itself, but a body that does not hold here proves nothing about
//! us.
#![forbid(unsafe_code)]
#![allow(clippy::duplicate_mod, reason = "once with crossbeam's names, once with sylvan's")]

use std::thread;
use std::time::Instant;

use crossbeam_channel as channel;
use sylvan_workspace::{Watchdog, on_foreign_thread};

use super::panic_of;

#[path = "drop_in/bounded.rs"]
mod bounded;
#[path = "drop_in/clocks.rs"]
mod clocks;
#[path = "drop_in/disconnect.rs"]
mod disconnect;
#[path = "drop_in/drops.rs"]
mod drops;
#[path = "drop_in/errors.rs"]
mod errors;
#[path = "drop_in/fairness.rs"]
mod fairness;
#[path = "drop_in/handles.rs"]
mod handles;
#[path = "drop_in/iterators.rs"]
mod iterators;
#[path = "drop_in/macro_choice.rs"]
mod macro_choice;
#[path = "drop_in/macro_syntax.rs"]
mod macro_syntax;
#[path = "drop_in/ready.rs"]
mod ready;
#[path = "drop_in/rendezvous.rs"]
mod rendezvous;
#[path = "drop_in/select.rs"]
mod select;
#[path = "drop_in/select_misuse.rs"]
mod select_misuse;
#[path = "drop_in/select_waits.rs"]
mod select_waits;
#[path = "drop_in/signatures.rs"]
mod signatures;
#[path = "drop_in/unbounded.rs"]
mod unbounded;

/// Runs `body` on the only shape that crossbeam has.
fn everywhere(body: impl Fn() + Sync) {
    let _watchdog = Watchdog::new("with crossbeam's names");
    // By reference, for the body need not be `Send`.
    on_foreign_thread(&body);
}

/// Waits until `state` is true.
fn until(state: impl Fn() -> bool) {
    while !state() {
        thread::yield_now();
    }
}

/// Lets the other threads get to where they wait. No test may need that: crossbeam cannot be asked
/// whether they have.
fn settle() {
    for _ in 0..50 {
        thread::yield_now();
    }
}

/// The present of the clock by which timeouts are kept.
fn now() -> Instant {
    Instant::now()
}
