//! The drop-in tests with std's names, on kernel threads: what they ask is what std gives.
//!
//! std is no promise about itself, but a body that does not hold here proves nothing about us.
#![forbid(unsafe_code)]
#![allow(clippy::duplicate_mod, reason = "once with std's names, once with sylvan's")]

use std::time::Instant;
use std::{sync, thread};

use sylvan_workspace::{Watchdog, on_foreign_thread};

#[path = "drop_in/barrier.rs"]
mod barrier;
#[path = "drop_in/condvar.rs"]
mod condvar;
#[path = "drop_in/condvar_time.rs"]
mod condvar_time;
#[path = "drop_in/lazy_lock.rs"]
mod lazy_lock;
#[path = "drop_in/mutex.rs"]
mod mutex;
#[path = "drop_in/mutex_poison.rs"]
mod mutex_poison;
#[path = "drop_in/once.rs"]
mod once;
#[path = "drop_in/once_lock.rs"]
mod once_lock;
#[path = "drop_in/panics.rs"]
mod panics;
#[path = "drop_in/rwlock.rs"]
mod rwlock;
#[path = "drop_in/rwlock_poison.rs"]
mod rwlock_poison;
#[path = "drop_in/signatures.rs"]
mod signatures;

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
