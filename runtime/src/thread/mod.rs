//! Threads with the names of `std::thread`.
//!
//! A program that was written for kernel threads changes its imports and runs on green ones. So
//! signatures, error types and panics are those of std's namesakes; where something must differ,
//! the item's documentation says so first. Every function here also works on a kernel thread
//! that no runtime knows.
//!
//! This folder holds no mechanism: threads are made in `sched::spawn`, wait at `sched::door`, and
//! end in `sched::life`.

mod builder;
mod cancel;
mod handle;
mod join;
mod join_future;
mod local;
mod park;
mod scope;
mod stack;

pub use builder::{Builder, spawn, spawn_local};
pub use cancel::{CancelError, cancel_reason, cancelled, shield};
pub use handle::{Thread, ThreadId, current};
pub use join::{JoinHandle, LocalJoinHandle, Result};
pub use join_future::{JoinFuture, LocalJoinFuture};
pub use local::{AccessError, LocalKey};
pub use park::{available_parallelism, park, park_timeout, sleep, sleep_until, yield_now};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use stack::{remaining_stack, with_stack};
pub use std::thread::panicking;

pub use crate::group::{Group, GroupHandle, Race, group, race};
pub use crate::task::cancelled::{CancelKind, CancelReason, Cancelled};
pub use crate::task::packet::Leaked;

pub(crate) use cancel::NO_UNWINDING;
pub(crate) use join::join_arms;
pub(crate) use scope::run_scoped;
