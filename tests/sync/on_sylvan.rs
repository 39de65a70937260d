//! The drop-in tests with sylvan's names, on every shape of runtime and on a kernel thread of none.
#![forbid(unsafe_code)]
#![allow(clippy::duplicate_mod, reason = "once with std's names, once with sylvan's")]

use std::time::Instant;

use sylvan::{sync, thread, time};
use sylvan_workspace::{settle, until};

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

/// Runs `body` on every shape.
fn everywhere(body: impl Fn() + Sync) {
    sylvan_workspace::everywhere(|_| body());
}

/// The present of the clock by which timeouts are kept.
fn now() -> Instant {
    time::now()
}
