//! Gives the lock-free parts one set of atomics: the real ones, or loom's.
//!
//! The state word, the inbox, the idle word and the join slots are checked by loom models that
//! stand beside them. A model needs loom's own atomics in place of std's; this file is the only
//! place that knows which of the two a build uses. It never holds logic.

#[cfg(loom)]
pub(crate) use loom::cell::Cell;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, fence};
#[cfg(not(loom))]
pub(crate) use std::cell::Cell;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, fence};

pub(crate) use std::sync::atomic::Ordering;
