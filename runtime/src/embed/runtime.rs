//! A runtime as its owner sees it, and the calls at the crate's root.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;

use crate::embed::builder::Builder;
use crate::sched::config::Config;
use crate::sched::seeded::RemoteRun;
use crate::sched::shared::Shared;
use crate::sched::shutdown::{self, Leftover};
use crate::sched::spawn::{self, Order};
use crate::thread::{JoinHandle, join_arms, run_scoped};

/// A runtime of the program's own: workers under M:N, a queue under N:1, a book under 1:1.
///
/// Several may live in one process. Dropping it ends it: every thread is cancelled, and the drop
/// waits until all have ended. What has not ended when the shutdown's timeout is over is reported
/// by name and leaked: never resumed, its memory and its kernel thread kept for ever. Where that
/// would break a borrow, or where the kernel thread is the caller's own, the process aborts after
/// the report.
///
/// Dropped inside one of its own threads it starts the shutdown and does not wait. An N:1 runtime
/// that belongs to another kernel thread is only marked; its owner carries the shutdown out when
/// it ends. One that nobody has run, dropped inside a thread of another runtime, is ended by a
/// helper.
///
/// # Blocking
///
/// The drop waits, shielded from cancellation, for at most the shutdown's timeout and 0.1 s.
///
/// # Examples
///
/// ```
/// let runtime = sylvan::Runtime::builder().build()?;
/// let doubled = runtime.run(|| {
///     let threads: Vec<_> = (0..4).map(|n| sylvan::thread::spawn(move || 2 * n)).collect();
///     threads.into_iter().map(|thread| thread.join().unwrap()).sum::<i32>()
/// });
/// assert_eq!(doubled, 12);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    shared: Arc<Shared>,
}

impl Runtime {
    pub(super) fn new(shared: Arc<Shared>) -> Runtime {
        Runtime { shared }
    }

    /// Returns a builder.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Runs `f` as a thread of this runtime and returns its value.
    ///
    /// Under N:1 the calling kernel thread *is* the worker meanwhile, and from the first time on
    /// no other kernel thread can run it. Threads that `f` has spawned and not joined run on, or
    /// under N:1 wait for the next `run`.
    ///
    /// # Blocking
    ///
    /// Waits until `f` has returned or was unwound. The wait is shielded: cancelling the caller
    /// cancels `f`.
    ///
    /// # Panics
    ///
    /// With what unwinds `f`. If it cannot be started: the runtime is N:1 and belongs to another
    /// kernel thread, or the call comes from a thread of another runtime.
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        self.run_at(Location::caller(), f)
    }

    /// The same, for a caller further up.
    pub(crate) fn run_at<F, T>(&self, site: &'static Location<'static>, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        match run_scoped(&self.shared, f, site) {
            Ok(value) => value,
            Err(error) => panic!("the closure could not be run: {error}"),
        }
    }

    /// Returns a handle, by which others can spawn on this runtime.
    pub fn handle(&self) -> Handle {
        Handle { shared: self.shared.clone() }
    }

    /// Returns what holds for this runtime, from builder, environment and defaults.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// What others see of the seeded run that this runtime is, if it is one.
    pub(crate) fn seeded_run(&self) -> Option<Arc<RemoteRun>> {
        self.shared.seeded.clone()
    }

    /// Ends the runtime like a drop, and the process with `code` if an N:1 runtime's threads are
    /// left.
    pub(super) fn end_or_exit(self, code: i32) {
        shutdown::shutdown(&self.shared, Leftover::Exit(code));
    }
}

impl Drop for Runtime {
    #[track_caller]
    fn drop(&mut self) {
        shutdown::shutdown(&self.shared, Leftover::Abort);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("config", self.config()).finish_non_exhaustive()
    }
}

/// A handle to a runtime: spawns on it from anywhere, and does not keep it running.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Returns the handle of the runtime to which the current thread belongs; on a kernel thread
    /// of no runtime that of the default one, which is started if need be.
    ///
    /// # Panics
    ///
    /// If the default runtime cannot be started.
    pub fn current() -> Handle {
        match spawn::current_runtime() {
            Ok(shared) => Handle { shared },
            Err(error) => panic!("the default runtime could not be started: {error}"),
        }
    }

    /// Spawns a thread on the runtime; see [`thread::spawn`](crate::thread::spawn).
    ///
    /// # Panics
    ///
    /// If the runtime has shut down, and else as [`thread::spawn`](crate::thread::spawn).
    /// [`Handle::try_spawn`] gives an error instead.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.try_spawn(f) {
            Ok(handle) => handle,
            Err(error) => panic!("failed to spawn thread: {error}"),
        }
    }

    /// Spawns a thread on the runtime, if it can be had.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the runtime has shut down; under 1:1 what the system says if it refuses a
    /// kernel thread. The closure is dropped then.
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: S1: both types are `'static`.
        let thread = unsafe { spawn::spawn_on(&self.shared, Order::plain(Location::caller()), f) }?;
        Ok(JoinHandle::of(thread, &self.shared))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Returns what holds for the runtime.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("config", self.config()).finish_non_exhaustive()
    }
}

/// Builds a runtime from the environment, runs `f` on it, and ends it.
///
/// # Blocking
///
/// As [`Runtime::run`], and as the drop of a [`Runtime`].
///
/// # Panics
///
/// With what unwinds `f`, and if the runtime cannot be built: with the builder's error.
///
/// # Examples
///
/// ```
/// let greeting = sylvan::run(|| {
///     let name = sylvan::thread::spawn(|| "world");
///     format!("hello, {}", name.join().unwrap())
/// });
/// assert_eq!(greeting, "hello, world");
/// ```
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    match Builder::new().build() {
        Ok(runtime) => runtime.run(f),
        Err(error) => panic!("the runtime could not be built: {error}"),
    }
}

/// Runs both closures, at the same time if another worker is free, and returns both values.
///
/// For divide and conquer: it costs a few nanoseconds if nobody helps, since `b` then runs after
/// `a` on the same stack. Recursion through it is bounded by memory, not by the stack. What runs
/// in an arm must not rely on [`thread::current`](crate::thread::current): an arm that runs here
/// is the caller, one that runs elsewhere an anonymous thread. For more than two,
/// [`join!`](crate::join!); for threads with an identity,
/// [`thread::scope`](fn@crate::thread::scope).
///
/// On a kernel thread that no runtime knows `b` is offered to the default runtime. Under 1:1 it
/// gets a kernel thread.
///
/// # Blocking
///
/// Waits until both have ended. The wait is shielded: cancelling the caller cancels a `b` that
/// runs elsewhere.
///
/// # Panics
///
/// With what unwinds `a`; else with what unwinds `b`. Both have ended by then: where `a` was
/// unwound, a `b` that nobody has started is dropped.
///
/// # Examples
///
/// ```
/// fn sum(numbers: &[u64]) -> u64 {
///     if numbers.len() < 1000 {
///         return numbers.iter().sum();
///     }
///     let (left, right) = numbers.split_at(numbers.len() / 2);
///     let (left, right) = sylvan::join(|| sum(left), || sum(right));
///     left + right
/// }
/// let numbers: Vec<u64> = (1..=100_000).collect();
/// assert_eq!(sylvan::run(|| sum(&numbers)), 5_000_050_000);
/// ```
#[track_caller]
pub fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    join_arms(a, b, Location::caller())
}
