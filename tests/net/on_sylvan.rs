//! The drop-in tests with sylvan's names, on every shape of runtime and on a kernel thread of none.
//!
//! That last one spawns green threads of the default runtime, so its bodies have a kernel thread
//! on one end of each socket and green threads on the other.
#![forbid(unsafe_code)]
#![allow(clippy::duplicate_mod, reason = "once with std's names, twice with sylvan's")]

use std::time::Instant;

use sylvan::net::unix;
use sylvan::{net, thread, time};
use sylvan_workspace::{settle, until};

#[path = "drop_in/mod.rs"]
mod drop_in;

/// Runs `body` on every shape.
fn everywhere(body: impl Fn() + Sync) {
    sylvan_workspace::everywhere(|_| body());
}

/// The present of the clock by which timeouts are kept.
fn now() -> Instant {
    time::now()
}
