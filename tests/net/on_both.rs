//! The drop-in tests with sylvan's sockets and std's threads: the body is a green thread of every
//! shape, and all that it spawns are kernel threads, which wait on the same sockets.
//!
//! Not under seeds: those decide nothing about kernel threads. The body may wait for the kernel
//! threads by std's means, for they need nothing of the worker that stands still meanwhile.
#![forbid(unsafe_code)]
#![allow(clippy::duplicate_mod, reason = "once with std's names, twice with sylvan's")]

use std::thread;
use std::time::Instant;

use sylvan::net::{self, unix};
use sylvan_workspace::{Shape, in_every_runtime, settle, until};

#[path = "drop_in/mod.rs"]
mod drop_in;

/// Runs `body` on every shape that knows no seed.
fn everywhere(body: impl Fn() + Sync) {
    in_every_runtime(|shape| match shape {
        Shape::Seeded(_) => (),
        _ => body(),
    });
}

/// The present of the clock by which timeouts are kept.
fn now() -> Instant {
    Instant::now()
}
