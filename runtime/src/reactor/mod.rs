//! Waiting for descriptors: what sockets stand on.
//!
//! `source` owns a descriptor and tries, waits, and tries again; `socket` is what it asks of std's,
//! and `pause` is for states whose end the kernel tells nobody of.
//! How a worker learns that one is ready is `sched::events`, who is told of it `sched::readiness`,
//! and what the kernel is asked is `poller`.

pub(crate) mod pause;
mod socket;
mod source;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use crate::sched::readiness::Interest;
pub(crate) use source::Source;
