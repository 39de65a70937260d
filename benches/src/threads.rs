//! Peers whose threads block: sylvan, std and may, behind the few calls that the rows need.
//!
//! A row's work is written once against this trait, so that all three do the same. The calls are
//! generic and inlined; there is no table in between.

use std::time::Duration;

use crate::measure;

/// A runtime of threads that block.
pub(crate) trait Threads: Sized + 'static {
    /// The right to join.
    type Handle<T: Send + 'static>: Send;
    /// The right to unpark.
    type Thread: Clone + Send + 'static;

    /// Starts the runtime with so many workers.
    fn start(workers: usize) -> Self;
    /// Runs `f` as a thread of the runtime.
    fn run(&self, f: impl FnOnce() -> Duration + Send + 'static) -> Duration;
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T>;
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T;
    fn yield_now();
    fn current() -> Self::Thread;
    fn thread_of<T: Send + 'static>(handle: &Self::Handle<T>) -> Self::Thread;
    fn park();
    fn unpark(thread: &Self::Thread);
}

pub(crate) struct Sylvan(sylvan::Runtime);

/// A runtime under M:N, whatever the environment says.
pub(crate) fn sylvan_runtime(workers: usize) -> sylvan::Runtime {
    sylvan::Runtime::builder()
        .mapping(sylvan::Mapping::ManyToMany)
        .workers(workers)
        .build()
        .expect("the system grants a few kernel threads")
}

impl Threads for Sylvan {
    type Handle<T: Send + 'static> = sylvan::thread::JoinHandle<T>;
    type Thread = sylvan::thread::Thread;

    fn start(workers: usize) -> Sylvan {
        Sylvan(sylvan_runtime(workers))
    }

    fn run(&self, f: impl FnOnce() -> Duration + Send + 'static) -> Duration {
        self.0.run(f)
    }

    #[inline]
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        sylvan::thread::spawn(f)
    }

    #[inline]
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.join().expect("no thread of a row panics")
    }

    #[inline]
    fn yield_now() {
        sylvan::thread::yield_now();
    }

    fn current() -> Self::Thread {
        sylvan::thread::current()
    }

    fn thread_of<T: Send + 'static>(handle: &Self::Handle<T>) -> Self::Thread {
        handle.thread().clone()
    }

    #[inline]
    fn park() {
        sylvan::thread::park();
    }

    #[inline]
    fn unpark(thread: &Self::Thread) {
        thread.unpark();
    }
}

/// Kernel threads. "One worker" is one processor for all of them.
pub(crate) struct Std;

impl Threads for Std {
    type Handle<T: Send + 'static> = std::thread::JoinHandle<T>;
    type Thread = std::thread::Thread;

    fn start(workers: usize) -> Std {
        if workers == 1 {
            measure::pin_to_one_processor();
        }
        Std
    }

    fn run(&self, f: impl FnOnce() -> Duration + Send + 'static) -> Duration {
        f()
    }

    #[inline]
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        std::thread::Builder::new().stack_size(64 << 10).spawn(f).expect("a kernel thread")
    }

    #[inline]
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.join().expect("no thread of a row panics")
    }

    #[inline]
    fn yield_now() {
        std::thread::yield_now();
    }

    fn current() -> Self::Thread {
        std::thread::current()
    }

    fn thread_of<T: Send + 'static>(handle: &Self::Handle<T>) -> Self::Thread {
        handle.thread().clone()
    }

    #[inline]
    fn park() {
        std::thread::park();
    }

    #[inline]
    fn unpark(thread: &Self::Thread) {
        thread.unpark();
    }
}

/// may's coroutines. Its workers are set once in a process, before the first coroutine.
pub(crate) struct May;

impl Threads for May {
    type Handle<T: Send + 'static> = may::coroutine::JoinHandle<T>;
    type Thread = may::coroutine::Coroutine;

    fn start(workers: usize) -> May {
        may::config().set_workers(workers);
        May
    }

    fn run(&self, f: impl FnOnce() -> Duration + Send + 'static) -> Duration {
        Self::join(Self::spawn(f))
    }

    #[inline]
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        // What `may::go!` expands to; the macro hides this `unsafe`.
        //
        // SAFETY: the rows keep no address of a thread-local over a switch, and their frames fit
        // may's default stack.
        unsafe { may::coroutine::spawn(f) }
    }

    #[inline]
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
        handle.join().expect("no thread of a row panics")
    }

    #[inline]
    fn yield_now() {
        may::coroutine::yield_now();
    }

    fn current() -> Self::Thread {
        may::coroutine::current()
    }

    fn thread_of<T: Send + 'static>(handle: &Self::Handle<T>) -> Self::Thread {
        handle.coroutine().clone()
    }

    #[inline]
    fn park() {
        may::coroutine::park();
    }

    #[inline]
    fn unpark(thread: &Self::Thread) {
        thread.unpark();
    }
}
