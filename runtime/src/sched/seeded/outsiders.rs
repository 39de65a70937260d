//! How many outside of a seeded run may still act on it.
//!
//! The run concludes that nothing can move only when nobody outside can move it. So whoever may
//! wake or spawn its threads is counted from before its first act until after its last:
//!
//! ```text
//!   outsider                                worker that has nothing to run
//!   acts: push into mailbox or injector     1  none := the count is zero
//!   leave: count − 1                        2  looks at mailbox, injector and orders
//!   posts an order to look round, nudges    3  found nothing: concludes if none, else sleeps
//! ```
//!
//! *Why nothing is concluded too early.* A worker that reads zero reads what the last `leave` has
//! written, so it sees what was pushed before that (Release and Acquire), for it looks at the
//! queues after the count, and in this order.
//!
//! *Why it does not sleep for ever.* A worker that reads another number sleeps; whoever leaves
//! after that posts an order, and an order reaches a worker that is about to sleep (see
//! `Mailbox::post`). `models.rs` checks both under loom.

#[cfg(all(loom, test))]
mod models;

use crate::primitives::{AtomicUsize, Ordering};

/// See the file's comment.
pub(crate) struct Outsiders(AtomicUsize);

impl Outsiders {
    pub(crate) fn new() -> Outsiders {
        Outsiders(AtomicUsize::new(0))
    }

    /// Counts one more. Called by a thread of the run, so before its worker looks.
    pub(crate) fn enter(&self) {
        // ORDERING: Relaxed; the worker that looks is the caller's own.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less. The caller posts an order to look round afterwards.
    pub(crate) fn leave(&self) {
        // ORDERING: Release; publishes what the outsider has pushed. Pairs with `none`; several
        // that leave are one release sequence.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Whether nobody is left. What they have pushed is to be seen after this.
    pub(crate) fn none(&self) -> bool {
        // ORDERING: Acquire; pairs with `leave`.
        self.0.load(Ordering::Acquire) == 0
    }
}
