//! Embedding: how a program builds, runs and ends a runtime.
//!
//! Everything here is a thin face of `sched`; the entry of `main` lives here too.

mod builder;
pub mod doors;
mod entry;
mod runtime;

pub use builder::Builder;
pub use runtime::{Handle, Runtime, join, run};

pub use entry::{Options, main};
