//! What the bodies share: futures and wakers that show what is done to them.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Wake, Waker};

use sylvan_workspace::{Shape, outside};

/// Something that happens once, for which one future waits. Unlike those of libraries it says
/// whether somebody asks.
#[derive(Default)]
pub struct Signal {
    state: std::sync::Mutex<Option<Waker>>,
    has_come: AtomicBool,
    pub polls: AtomicUsize,
}

impl Signal {
    pub fn new() -> Arc<Signal> {
        Arc::default()
    }

    pub fn set(&self) {
        self.has_come.store(true, SeqCst);
        let waker = self.state.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }

    pub async fn wait(&self) {
        poll_fn(|context| {
            self.polls.fetch_add(1, SeqCst);
            // Left before the look: who comes after the look finds it.
            *self.state.lock().unwrap() = Some(context.waker().clone());
            match self.has_come.load(SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// A task that is never run; counts how often it was woken.
#[derive(Default)]
pub struct Woken(AtomicUsize);

impl Woken {
    pub fn new() -> Arc<Woken> {
        Arc::default()
    }

    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A waker that calls a closure.
pub struct Calls<F>(pub F);

impl<F: Fn() + Send + Sync + 'static> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Runs `body` with a runtime of tokio's, whose kernel threads the current seeded run, if it is
/// one, knows of.
pub fn tokio_beside<R>(body: impl FnOnce(&tokio::runtime::Runtime) -> R) -> R {
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    let tokio = builder.worker_threads(1).enable_time().build().unwrap();
    let registered = outside();
    let result = body(&tokio);
    drop(registered);
    // Its drop waits for its threads, and would stop a worker.
    tokio.shutdown_background();
    result
}

/// How many threads a body has beside its own.
pub fn some_threads(shape: Shape) -> usize {
    if shape == Shape::Outside { 4 } else { 20 }
}
