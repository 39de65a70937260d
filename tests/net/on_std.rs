//! The drop-in tests with std's names, on kernel threads: what they ask is what std gives.
//!
//! std is no promise about itself, but a body that does not hold here proves nothing about us.
#![forbid(unsafe_code)]
#![allow(clippy::duplicate_mod, reason = "once with std's names, twice with sylvan's")]

use std::os::unix::net as unix;
use std::time::Instant;
use std::{net, thread};

use sylvan_workspace::{Watchdog, on_foreign_thread};

#[path = "drop_in/mod.rs"]
mod drop_in;

/// Runs `body` on the only shape that std has.
fn everywhere(body: impl Fn() + Sync) {
    let _watchdog = Watchdog::new("with std's names");
    // By reference, for the body need not be `Send`.
    on_foreign_thread(&body);
}

/// Waits until `state` is true.
fn until(state: impl Fn() -> bool) {
    while !state() {
        thread::yield_now();
    }
}

/// Lets the other threads get to where they wait. No test may need that: std cannot be asked
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
