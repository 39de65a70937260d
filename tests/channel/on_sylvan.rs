//! The drop-in tests with sylvan's names, on every shape of runtime and on a kernel thread of none.
#![forbid(unsafe_code)]
#![allow(clippy::duplicate_mod, reason = "once with crossbeam's names, once with sylvan's")]

use std::time::Instant;

use sylvan::{channel, thread, time};
use sylvan_workspace::{settle, until};

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

/// Runs `body` on every shape.
fn everywhere(body: impl Fn() + Sync) {
    sylvan_workspace::everywhere(|_| body());
}

/// The present of the clock by which timeouts are kept.
fn now() -> Instant {
    time::now()
}
