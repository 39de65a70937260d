//! Peers whose tasks are futures: tokio on several kernel threads, tokio on one, and smol.
//!
//! The counterpart of `threads`: the same work written once for all three. The driver of a row is
//! itself a task of the runtime, as it is a green thread there: a driver outside would measure
//! kernel threads waking each other.
#![forbid(unsafe_code)]

use std::future::Future;
use std::time::Duration;

use async_executor::StaticExecutor;

use crate::peers::fair;

/// A runtime of futures.
pub(crate) trait Tasks: Sized + 'static {
    /// The right to join.
    type Handle<T: Send + 'static>: Send;
    /// Lets one task wait for another; `open` before `pass` is not lost.
    type Gate: Send + Sync + 'static;
    type Semaphore: Send + Sync + 'static;

    /// Starts the runtime with so many workers, without timers.
    fn start(workers: usize) -> Self;
    /// Starts it for rows that sleep.
    fn start_with_timers(workers: usize) -> Self;
    /// Runs `task` as a task of the runtime.
    fn run<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T;
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Self::Handle<T>;
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> impl Future<Output = T> + Send;
    /// Lets the task go on by itself.
    fn detach<T: Send + 'static>(handle: Self::Handle<T>);
    fn yield_now() -> impl Future<Output = ()> + Send;
    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send;
    fn gate() -> Self::Gate;
    fn open(gate: &Self::Gate);
    fn pass(gate: &Self::Gate) -> impl Future<Output = ()> + Send;
    /// Without any permit.
    fn semaphore() -> Self::Semaphore;
    fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = ()> + Send;
    fn release(semaphore: &Self::Semaphore);
}

/// tokio, on several kernel threads or on that of the caller.
pub(crate) struct Tokio<const MULTI: bool>(tokio::runtime::Runtime);

pub(crate) type TokioMulti = Tokio<true>;
pub(crate) type TokioCurrent = Tokio<false>;

pub(crate) fn tokio_builder(multi: bool, workers: usize) -> tokio::runtime::Builder {
    if !multi {
        return tokio::runtime::Builder::new_current_thread();
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers);
    builder
}

impl<const MULTI: bool> Tasks for Tokio<MULTI> {
    type Handle<T: Send + 'static> = tokio::task::JoinHandle<T>;
    type Gate = tokio::sync::Notify;
    type Semaphore = tokio::sync::Semaphore;

    fn start(workers: usize) -> Self {
        Tokio(tokio_builder(MULTI, workers).build().expect("the system grants kernel threads"))
    }

    fn start_with_timers(workers: usize) -> Self {
        let runtime = tokio_builder(MULTI, workers).enable_time().build();
        Tokio(runtime.expect("the system grants kernel threads"))
    }

    fn run<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
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

    fn detach<T: Send + 'static>(handle: Self::Handle<T>) {
        drop(handle);
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(duration)
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

    fn semaphore() -> Self::Semaphore {
        tokio::sync::Semaphore::new(0)
    }

    #[inline]
    async fn acquire(semaphore: &Self::Semaphore) {
        semaphore.acquire().await.expect("no row closes a semaphore").forget();
    }

    #[inline]
    fn release(semaphore: &Self::Semaphore) {
        semaphore.add_permits(1);
    }
}

/// smol's executor, the static one that its documentation calls the fast one, run by `workers`
/// kernel threads: the caller of `run` is one of them.
pub(crate) struct Smol;

static EXECUTOR: StaticExecutor = StaticExecutor::new();

impl Tasks for Smol {
    type Handle<T: Send + 'static> = smol::Task<T>;
    type Gate = (smol::channel::Sender<()>, smol::channel::Receiver<()>);
    type Semaphore = fair::Semaphore;

    fn start(workers: usize) -> Smol {
        for _ in 1..workers {
            std::thread::spawn(|| smol::block_on(EXECUTOR.run(std::future::pending::<()>())));
        }
        Smol
    }

    /// The same: each kernel thread that runs the executor looks after timers, too.
    fn start_with_timers(workers: usize) -> Smol {
        Self::start(workers)
    }

    fn run<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
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

    fn detach<T: Send + 'static>(handle: Self::Handle<T>) {
        handle.detach();
    }

    #[inline]
    fn yield_now() -> impl Future<Output = ()> + Send {
        smol::future::yield_now()
    }

    async fn sleep(duration: Duration) {
        smol::Timer::after(duration).await;
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

    fn semaphore() -> Self::Semaphore {
        fair::Semaphore::new()
    }

    #[inline]
    fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = ()> + Send {
        semaphore.acquire()
    }

    #[inline]
    fn release(semaphore: &Self::Semaphore) {
        semaphore.release();
    }
}
