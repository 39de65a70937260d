//! The primitives of peers whose tasks are futures: tokio's and smol's.
//!
//! The counterpart of `blocking`: the same calls, awaited. smol's are those of async-lock, which it
//! shows as `smol::lock`.
#![forbid(unsafe_code)]

use std::future::Future;

pub(super) trait Mutex: Send + Sync + 'static {
    fn new() -> Self;
    fn add_one(&self) -> impl Future<Output = ()> + Send;
    fn total(&self) -> impl Future<Output = u64> + Send;
}

pub(super) trait RwLock: Send + Sync + 'static {
    fn new() -> Self;
    fn read(&self) -> impl Future<Output = u64> + Send;
    fn add_one(&self) -> impl Future<Output = ()> + Send;
}

pub(super) trait Semaphore: Send + Sync + 'static {
    fn new(permits: usize) -> Self;
    fn with_permit(&self, f: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send;
}

pub(super) trait Barrier: Send + Sync + 'static {
    fn new(threads: usize) -> Self;
    fn wait(&self) -> impl Future<Output = ()> + Send;
}

macro_rules! locks {
    ($($sync:ident)::+) => {
        impl Mutex for $($sync)::+::Mutex<u64> {
            fn new() -> Self {
                Self::new(0)
            }

            #[inline]
            async fn add_one(&self) {
                *self.lock().await += 1;
            }

            async fn total(&self) -> u64 {
                *self.lock().await
            }
        }

        impl RwLock for $($sync)::+::RwLock<u64> {
            fn new() -> Self {
                Self::new(0)
            }

            #[inline]
            async fn read(&self) -> u64 {
                *self.read().await
            }

            #[inline]
            async fn add_one(&self) {
                *self.write().await += 1;
            }
        }

        impl Barrier for $($sync)::+::Barrier {
            fn new(threads: usize) -> Self {
                Self::new(threads)
            }

            #[inline]
            async fn wait(&self) {
                self.wait().await;
            }
        }
    };
}

locks!(smol::lock);
locks!(tokio::sync);

impl Semaphore for smol::lock::Semaphore {
    fn new(permits: usize) -> Self {
        Self::new(permits)
    }

    #[inline]
    async fn with_permit(&self, f: impl Future<Output = ()> + Send) {
        let _permit = self.acquire().await;
        f.await;
    }
}

impl Semaphore for tokio::sync::Semaphore {
    fn new(permits: usize) -> Self {
        Self::new(permits)
    }

    #[inline]
    async fn with_permit(&self, f: impl Future<Output = ()> + Send) {
        let _permit = self.acquire().await.expect("no row closes a semaphore");
        f.await;
    }
}

/// tokio's stand-in for a condition variable: it has none.
///
/// Each side has a `Notify` of its own. It keeps a permit for who does not wait yet, and with a
/// shared one whoever has just handed over would take the permit that was meant for the other.
pub(super) struct NotifiedTurn {
    turn: tokio::sync::Mutex<u64>,
    news: [tokio::sync::Notify; 2],
}

impl NotifiedTurn {
    /// Turn 0 is first.
    pub(super) fn new() -> NotifiedTurn {
        NotifiedTurn { turn: Mutex::new(), news: Default::default() }
    }

    /// Waits for turn `own`, then makes it turn `next`; one of them is 0 and the other 1.
    #[inline]
    pub(super) async fn hand_over(&self, own: usize, next: usize) {
        loop {
            let mut turn = self.turn.lock().await;
            if *turn == own as u64 {
                *turn = next as u64;
                self.news[next].notify_one();
                return;
            }
            drop(turn);
            self.news[own].notified().await;
        }
    }
}
