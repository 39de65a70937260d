//! Threads begin together: each waits until the last one has come.
//!
//! By waiting, not by yielding in a loop: some runtimes start nobody while others yield.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::peers::tasks::Tasks;
use crate::peers::threads::Threads;
use crate::race::Race;

/// A race whose threads wait for its start. `S` is a semaphore of the peer.
pub(super) struct Gathering<S> {
    pub(super) race: Race,
    threads: u64,
    start: S,
}

impl<S> Gathering<S> {
    pub(super) fn new(threads: u64, start: S) -> Arc<Gathering<S>> {
        Arc::new(Gathering { race: Race::new(threads), threads, start })
    }

    /// Notes the caller; returns how many permits it must give, if it was the last one.
    fn come(&self) -> Option<u64> {
        self.race.note_started().then_some(self.threads - 1)
    }
}

pub(super) fn await_start<P: Threads>(gathering: &Gathering<P::Semaphore>) {
    match gathering.come() {
        Some(others) => (0..others).for_each(|_| P::release(&gathering.start)),
        None => P::acquire(&gathering.start),
    }
}

pub(super) async fn await_start_of_tasks<P: Tasks>(gathering: &Gathering<P::Semaphore>) {
    match gathering.come() {
        Some(others) => (0..others).for_each(|_| P::release(&gathering.start)),
        None => P::acquire(&gathering.start).await,
    }
}
