//! Peers whose tasks are futures: tokio on several kernel threads, tokio on one, and smol.
//!
//! The counterpart of `threads`: the same work written once for all three. The driver of a row is
//! itself a task of the runtime, as it is a green thread there: a driver outside would measure
//! kernel threads waking each other.
#![forbid(unsafe_code)]

use std::future::Future;
use std::time::Duration;

/// A runtime of futures.
pub(crate) trait Tasks: Sized + 'static {
    /// The right to join.
    type Handle<T: Send + 'static>: Send;
    /// Lets one task wait for another; `open` before `pass` is not lost.
    type Gate: Send + Sync + 'static;

    /// Starts the runtime with so many workers.
    fn start(workers: usize) -> Self;
    /// Runs `task` as a task of the runtime.
    fn run(&self, task: impl Future<Output = Duration> + Send + 'static) -> Duration;
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Self::Handle<T>;
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> impl Future<Output = T> + Send;
    fn yield_now() -> impl Future<Output = ()> + Send;
    fn gate() -> Self::Gate;
    fn open(gate: &Self::Gate);
    fn pass(gate: &Self::Gate) -> impl Future<Output = ()> + Send;
}

pub(crate) struct TokioMulti(tokio::runtime::Runtime);

impl Tasks for TokioMulti {
    type Handle<T: Send + 'static> = tokio::task::JoinHandle<T>;
    type Gate = tokio::sync::Notify;

    fn start(workers: usize) -> TokioMulti {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build();
        TokioMulti(runtime.expect("the system grants a few kernel threads"))
    }

    fn run(&self, task: impl Future<Output = Duration> + Send + 'static) -> Duration {
        self.0.block_on(self.0.spawn(task)).expect("no task of a row panics")
    }

    #[inline]
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Self::Handle<T> {
        tokio::spawn(task)
    }

    #[inline]
    async fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.await.expect("no task of a row panics")
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    fn gate() -> Self::Gate {
        tokio::sync::Notify::new()
    }

    #[inline]
    fn open(gate: &Self::Gate) {
        gate.notify_one();
    }

    #[inline]
    fn pass(gate: &Self::Gate) -> impl Future<Output = ()> + Send {
        gate.notified()
    }
}

pub(crate) struct TokioCurrent(tokio::runtime::Runtime);

impl Tasks for TokioCurrent {
    type Handle<T: Send + 'static> = tokio::task::JoinHandle<T>;
    type Gate = tokio::sync::Notify;

    fn start(_workers: usize) -> TokioCurrent {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        TokioCurrent(runtime.expect("a runtime without kernel threads of its own"))
    }

    fn run(&self, task: impl Future<Output = Duration> + Send + 'static) -> Duration {
        self.0.block_on(self.0.spawn(task)).expect("no task of a row panics")
    }

    #[inline]
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Self::Handle<T> {
        tokio::spawn(task)
    }

    #[inline]
    async fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.await.expect("no task of a row panics")
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    fn gate() -> Self::Gate {
        tokio::sync::Notify::new()
    }

    #[inline]
    fn open(gate: &Self::Gate) {
        gate.notify_one();
    }

    #[inline]
    fn pass(gate: &Self::Gate) -> impl Future<Output = ()> + Send {
        gate.notified()
    }
}

/// smol's executor, run by `workers` kernel threads: the caller of `run` is one of them.
pub(crate) struct Smol;

static EXECUTOR: smol::Executor<'static> = smol::Executor::new();

impl Tasks for Smol {
    type Handle<T: Send + 'static> = smol::Task<T>;
    type Gate = (smol::channel::Sender<()>, smol::channel::Receiver<()>);

    fn start(workers: usize) -> Smol {
        for _ in 1..workers {
            std::thread::spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
        }
        Smol
    }

    fn run(&self, task: impl Future<Output = Duration> + Send + 'static) -> Duration {
        smol::block_on(EXECUTOR.run(EXECUTOR.spawn(task)))
    }

    #[inline]
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Self::Handle<T> {
        EXECUTOR.spawn(task)
    }

    #[inline]
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> impl Future<Output = T> + Send {
        handle
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        smol::future::yield_now()
    }

    fn gate() -> Self::Gate {
        smol::channel::bounded(1)
    }

    #[inline]
    fn open(gate: &Self::Gate) {
        gate.0.try_send(()).expect("a gate is passed before it is opened again");
    }

    #[inline]
    async fn pass(gate: &Self::Gate) {
        gate.1.recv().await.expect("the sender lies beside the receiver");
    }
}
