//! What the tests here have in common: messages that are accounted for, kernel threads, waiting for
//! a state.
#![forbid(unsafe_code)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sylvan::channel::{Receiver, Select, Sender};
pub(crate) use sylvan_workspace::settle;
use sylvan_workspace::{outside, until};

/// Longer than any test.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// How often each message was dropped.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<[AtomicUsize]>);

/// A message with a number, which the ledger knows.
pub(crate) struct Letter {
    ledger: Ledger,
    pub(crate) number: usize,
}

impl Ledger {
    /// For the numbers below `count`.
    pub(crate) fn new(count: usize) -> Ledger {
        Ledger((0..count).map(|_| AtomicUsize::new(0)).collect())
    }

    /// The message of that number, which is written once.
    pub(crate) fn letter(&self, number: usize) -> Letter {
        Letter { ledger: self.clone(), number }
    }

    /// How often the message of that number was dropped.
    pub(crate) fn drops(&self, number: usize) -> usize {
        self.0[number].load(SeqCst)
    }

    /// Fails unless each message was dropped once.
    #[track_caller]
    pub(crate) fn expect_all_gone(&self) {
        let drops: Vec<_> = (0..self.0.len()).map(|number| self.drops(number)).collect();
        assert!(drops.iter().all(|drops| *drops == 1), "messages were lost or doubled: {drops:?}");
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.ledger.0[self.number].fetch_add(1, SeqCst);
    }
}

/// Whether a message sent now would find a receiver that waits; for a channel of capacity 0.
pub(crate) fn is_wanted<T>(sender: &Sender<T>) -> bool {
    let mut select = Select::new();
    select.send(sender);
    select.try_ready().is_ok()
}

/// Whether a receiver would find a message, or a sender that waits.
pub(crate) fn is_offered<T>(receiver: &Receiver<T>) -> bool {
    let mut select = Select::new();
    select.recv(receiver);
    select.try_ready().is_ok()
}

/// A kernel thread that no runtime knows, of a scope.
pub(crate) struct Foreign<'scope, T>(std::thread::ScopedJoinHandle<'scope, T>);

impl<'scope, T: Send + 'scope> Foreign<'scope, T> {
    pub(crate) fn spawn<'env>(
        scope: &'scope std::thread::Scope<'scope, 'env>,
        f: impl FnOnce() -> T + Send + 'scope,
    ) -> Foreign<'scope, T> {
        let registered = outside();
        Foreign(scope.spawn(move || {
            let value = f();
            drop(registered);
            value
        }))
    }

    /// Waits without keeping other threads from the worker.
    pub(crate) fn join(self) -> T {
        until(|| self.0.is_finished());
        self.0.join().expect("no kernel thread fails")
    }
}

/// Polls once, with a waker that does nothing.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Unwinds the current thread without the text on stderr.
pub(crate) fn fail() -> ! {
    std::panic::resume_unwind(Box::new("expected in a test"))
}
