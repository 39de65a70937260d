//! Green threads for Rust.

mod clock;
mod embed;
mod fiber;
#[cfg(feature = "macros")]
mod macros;
mod os;
mod primitives;
mod record;
mod sched;
mod stack;
mod task;
pub mod thread;
mod wheel;

pub use embed::{Builder, Handle, Runtime, join, run};
pub use sched::config::{Config, Mapping, ParseMappingError};
#[cfg(feature = "macros")]
pub use sylvan_macros::{main, test};

/// What the macros expand to. No part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::embed::{Options, doors, main, test};
    #[cfg(feature = "macros")]
    pub use sylvan_macros::{go_impl, join_impl};
}
