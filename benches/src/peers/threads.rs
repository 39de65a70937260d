//! Peers whose threads block: sylvan, std and may, behind the few calls that the rows need.
//!
//! A row's work is written once against this trait, so that all of them do the same. The calls are
//! generic and inlined; there is no table in between.

use std::time::Duration;

use crate::measure;
use crate::peers::waiter::{self, Waiter};

/// A runtime of threads that block.
pub(crate) trait Threads: Sized + 'static {
    /// The right to join.
    type Handle<T: Send + 'static>: Send;
    /// The right to unpark.
    type Thread: Clone + Send + Sync + 'static;
    type Semaphore: Send + Sync + 'static;

    /// Starts the runtime with so many workers.
    fn start(workers: usize) -> Self;
    /// Runs `f` as a thread of the runtime.
    fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T;
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T>;
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T;
    fn yield_now();
    fn sleep(duration: Duration);
    fn current() -> Self::Thread;
    fn thread_of<T: Send + 'static>(handle: &Self::Handle<T>) -> Self::Thread;
    fn park();
    fn unpark(thread: &Self::Thread);
    /// Without any permit.
    fn semaphore() -> Self::Semaphore;
    fn acquire(semaphore: &Self::Semaphore);
    fn release(semaphore: &Self::Semaphore);
}

/// What peers with the names of std do alike.
macro_rules! std_shaped {
    ($library:ident::thread) => {
        #[inline]
        fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T {
            handle.join().expect("no thread of a row panics")
        }

        #[inline]
        fn yield_now() {
            $library::thread::yield_now();
        }

        fn sleep(duration: Duration) {
            $library::thread::sleep(duration);
        }

        fn current() -> Self::Thread {
            $library::thread::current()
        }

        fn thread_of<T: Send + 'static>(handle: &Self::Handle<T>) -> Self::Thread {
            handle.thread().clone()
        }

        #[inline]
        fn park() {
            $library::thread::park();
        }

        #[inline]
        fn unpark(thread: &Self::Thread) {
            thread.unpark();
        }

        fn semaphore() -> Self::Semaphore {
            waiter::Semaphore::new(0)
        }

        #[inline]
        fn acquire(semaphore: &Self::Semaphore) {
            semaphore.acquire(&Waiter::new());
        }

        #[inline]
        fn release(semaphore: &Self::Semaphore) {
            semaphore.release();
        }
    };
}

pub(crate) struct Sylvan(pub(crate) sylvan::Runtime);

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
    type Semaphore = waiter::Semaphore<Sylvan>;

    fn start(workers: usize) -> Sylvan {
        Sylvan(sylvan_runtime(workers))
    }

    fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        self.0.run(f)
    }

    #[inline]
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        sylvan::thread::spawn(f)
    }

    std_shaped!(sylvan::thread);
}

/// Kernel threads. "One worker" is one processor for all of them.
pub(crate) struct Std;

impl Threads for Std {
    type Handle<T: Send + 'static> = std::thread::JoinHandle<T>;
    type Thread = std::thread::Thread;
    type Semaphore = waiter::Semaphore<Std>;

    fn start(workers: usize) -> Std {
        let all = measure::processors();
        measure::stay_on(&all[..workers.min(all.len())]);
        Std
    }

    fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
        f()
    }

    #[inline]
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        std::thread::Builder::new().stack_size(64 << 10).spawn(f).expect("a kernel thread")
    }

    std_shaped!(std::thread);
}

/// may's coroutines. Its workers are set once in a process, before the first coroutine.
pub(crate) struct May;

impl Threads for May {
    type Handle<T: Send + 'static> = may::coroutine::JoinHandle<T>;
    type Thread = may::coroutine::Coroutine;
    type Semaphore = may::sync::Semphore;

    fn start(workers: usize) -> May {
        may::config().set_workers(workers);
        May
    }

    fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> T {
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

    fn sleep(duration: Duration) {
        may::coroutine::sleep(duration);
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

    fn semaphore() -> Self::Semaphore {
        may::sync::Semphore::new(0)
    }

    #[inline]
    fn acquire(semaphore: &Self::Semaphore) {
        semaphore.wait();
    }

    #[inline]
    fn release(semaphore: &Self::Semaphore) {
        semaphore.post();
    }
}
