//! A crowd: threads that all wait, for nobody, with whoever made them waiting until they do.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::peers::tasks::Tasks;
use crate::peers::threads::Threads;

/// Spawns `count` threads that park for ever, and returns when all have come so far.
pub(super) fn park_threads<P: Threads>(count: u64) {
    let arrived = Arc::new(AtomicU64::new(0));
    for _ in 0..count {
        let arrived = arrived.clone();
        drop(P::spawn(move || {
            // ORDERING: Relaxed; a mere count.
            arrived.fetch_add(1, Ordering::Relaxed);
            loop {
                P::park();
            }
        }));
    }
    // ORDERING: Relaxed; as above.
    while arrived.load(Ordering::Relaxed) < count {
        P::yield_now();
    }
}

/// The same for tasks, which wait at `door`, a semaphore that nobody releases.
pub(super) async fn hold_tasks<P: Tasks>(count: u64, door: &Arc<P::Semaphore>) {
    let arrived = Arc::new(AtomicU64::new(0));
    for _ in 0..count {
        let (arrived, door) = (arrived.clone(), door.clone());
        P::detach(P::spawn(async move {
            // ORDERING: Relaxed; a mere count.
            arrived.fetch_add(1, Ordering::Relaxed);
            P::acquire(&door).await;
        }));
    }
    // ORDERING: Relaxed; as above.
    while arrived.load(Ordering::Relaxed) < count {
        P::yield_now().await;
    }
}
