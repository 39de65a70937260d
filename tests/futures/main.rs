//! Waiting for futures: `block_on`, threads that are awaited, and the libraries of others.
//!
//! A body runs on every shape of runtime and on a kernel thread of none. The runtime of tokio has
//! kernel threads of its own, which seeded runs have to know; see [`tokio_beside`].
#![forbid(unsafe_code)]

mod awaiting;
mod block_on;
mod leaving;
mod libraries;
mod support;
mod under_seeds;
