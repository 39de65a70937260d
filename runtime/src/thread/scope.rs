//! Threads that borrow: a scope waits for all of its threads before it returns.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use crate::sched::config::Mapping;
use crate::sched::cut;
use crate::sched::door;
use crate::sched::inplace;
use crate::sched::many_to_one;
use crate::sched::shared::Shared;
use crate::sched::spawn::{self, Order};
use crate::sched::worker::Core;
use crate::task::scope::ScopeData;
use crate::task::{HeaderRef, WaitKind, current};
use crate::thread::cancel::{self, CancelError};
use crate::thread::handle::Thread;
use crate::thread::join::{JoinInner, Result};

/// A scope in which threads may borrow; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    data: ScopeData,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// The right to wait for a scoped thread's end and to take its result.
pub struct ScopedJoinHandle<'scope, T> {
    inner: JoinInner<T>,
    scope: PhantomData<&'scope ()>,
}

// SAFETY: spawning demanded `T: Send`, and the header may be touched from anywhere.
unsafe impl<T> Send for ScopedJoinHandle<'_, T> {}
// SAFETY: as above; nothing of `T` can be reached through a shared reference.
unsafe impl<T> Sync for ScopedJoinHandle<'_, T> {}

/// Runs `f` with a scope in which it can spawn threads that borrow, and waits for all of them.
///
/// As std's. Threads that nobody has started when `f` returns run right here, on the caller's
/// stack, under their own names and numbers.
///
/// # Blocking
///
/// Waits until all threads of the scope have ended. The wait is shielded: cancelling the caller, or
/// its deadline, cuts off the scope's threads, whose end it then sees. If one was cut off that
/// nobody joined, and the caller is to end too, the caller is unwound here.
///
/// # Panics
///
/// If `f` panics, with its payload; if a thread panicked that nobody joined, like std's. In both
/// cases after all threads have ended.
///
/// # Examples
///
/// ```
/// let words = ["many", "threads", "borrow"];
/// let lengths = sylvan::thread::scope(|scope| {
///     let threads: Vec<_> = words.iter().map(|word| scope.spawn(|| word.len())).collect();
///     threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
/// });
/// assert_eq!(lengths, [4, 7, 6]);
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let site = Location::caller();
    let me = current::me();
    // It stays in this frame until the close below, which every way out passes: `f` is caught, and
    // the end of the scope is shielded.
    let scope = Scope { data: ScopeData::new(&me), scope: PhantomData, env: PhantomData };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    inplace::end_scope(&scope.data, WaitKind::Scope, site);
    scope.data.close();
    match result {
        Err(payload) => cut::unwind_by(payload),
        Ok(_) if scope.data.has_panicked() => panic!("a scoped thread panicked"),
        Ok(value) => {
            if scope.data.was_cut_off() {
                // If the caller is to end as well, what the scope was for has not been done.
                cut::cut_off_if_due();
            }
            value
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Spawns a thread that may borrow from outside of the scope.
    ///
    /// Never switches.
    ///
    /// # Panics
    ///
    /// If the thread cannot be started; [`Builder::spawn_scoped`] gives an error instead.
    ///
    /// [`Builder::spawn_scoped`]: crate::thread::Builder::spawn_scoped
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let order = Order { scope: self.data(), ..Order::plain(Location::caller()) };
        // SAFETY: S1: the scope waits for the thread before anything of `'scope` ends.
        match unsafe { spawn::spawn(order, f) } {
            Ok(thread) => ScopedJoinHandle::of(thread),
            Err(error) => panic!("failed to spawn thread: {error}"),
        }
    }

    /// Asks all threads of the scope to end, those that are spawned into it later too.
    ///
    /// What runs in the closure of [`scope`] itself goes on. See
    /// [`JoinHandle::cancel`](crate::thread::JoinHandle::cancel) for how a thread ends. Does not
    /// wait, and never switches.
    ///
    /// # Errors
    ///
    /// In a program built with `panic = "abort"`.
    #[track_caller]
    pub fn cancel(&self) -> std::result::Result<(), CancelError> {
        self.cancel_for(None, Location::caller())
    }

    /// Does the same and says why; see
    /// [`JoinHandle::cancel_with`](crate::thread::JoinHandle::cancel_with).
    ///
    /// # Errors
    ///
    /// In a program built with `panic = "abort"`.
    #[track_caller]
    pub fn cancel_with(
        &self,
        why: impl Into<Cow<'static, str>>,
    ) -> std::result::Result<(), CancelError> {
        self.cancel_for(Some(why.into()), Location::caller())
    }

    fn cancel_for(
        &self,
        why: Option<Cow<'static, str>>,
        site: &'static Location<'static>,
    ) -> std::result::Result<(), CancelError> {
        door::cancel_scope(&self.data, &cancel::request(why, site)?);
        Ok(())
    }

    pub(super) fn data(&self) -> *const ScopeData {
        &self.data
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

impl<'scope, T> ScopedJoinHandle<'scope, T> {
    pub(crate) fn of(thread: HeaderRef) -> ScopedJoinHandle<'scope, T> {
        ScopedJoinHandle::new(JoinInner::new(thread))
    }

    /// The scope whose thread it is.
    pub(crate) fn scope(&self) -> &'scope ScopeData {
        let scope = self.inner.header().scope.get();
        // SAFETY: a scoped thread has one, which is open as long as `'scope` lasts.
        unsafe { scope.as_ref() }.expect("a scoped thread has a scope")
    }

    pub(super) fn new(inner: JoinInner<T>) -> ScopedJoinHandle<'scope, T> {
        ScopedJoinHandle { inner, scope: PhantomData }
    }

    /// Returns a handle to the thread itself.
    pub fn thread(&self) -> &Thread {
        self.inner.thread()
    }

    /// Waits for the thread to end and returns its result.
    ///
    /// # Blocking
    ///
    /// As [`JoinHandle::join`](crate::thread::JoinHandle::join).
    ///
    /// # Errors
    ///
    /// `Err` with the payload if the thread was unwound; the scope then does not panic for it.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.join_at(Location::caller())
    }

    /// The same for a call further out.
    // SUSPENDS
    pub(super) fn join_at(self, site: &'static Location<'static>) -> Result<T> {
        self.inner.join(site)
    }

    /// Returns whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    /// Asks the thread to end; see [`JoinHandle::cancel`](crate::thread::JoinHandle::cancel).
    ///
    /// # Errors
    ///
    /// In a program built with `panic = "abort"`.
    #[track_caller]
    pub fn cancel(&self) -> std::result::Result<(), CancelError> {
        self.inner.cancel(None, Location::caller())
    }

    /// Does the same and says why; see
    /// [`JoinHandle::cancel_with`](crate::thread::JoinHandle::cancel_with).
    ///
    /// # Errors
    ///
    /// In a program built with `panic = "abort"`.
    #[track_caller]
    pub fn cancel_with(
        &self,
        why: impl Into<Cow<'static, str>>,
    ) -> std::result::Result<(), CancelError> {
        self.inner.cancel(Some(why.into()), Location::caller())
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("thread", self.thread()).finish_non_exhaustive()
    }
}

/// Runs `f` as a thread of `shared` and waits for it: the body of `Runtime::run`.
// SUSPENDS
pub(crate) fn run_scoped<F, T>(
    shared: &Arc<Shared>,
    f: F,
    site: &'static Location<'static>,
) -> io::Result<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let inside = Core::current().is_some_and(|core| Arc::ptr_eq(&core.shared, shared));
    let by_us = shared.config.mapping == Mapping::ManyToOne && !inside;
    if by_us && let Some(obstacle) = many_to_one::obstacle(shared) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, obstacle));
    }
    let me = current::me();
    // It stays in this frame until the close below; the wait is shielded.
    let scope = ScopeData::new(&me);
    let order = Order { scope: &scope, ..Order::plain(site) };
    // SAFETY: S1: the scope waits for the thread before anything that it borrows ends.
    let spawned = unsafe { spawn::spawn_on(shared, order, f) };
    let thread = match spawned {
        Ok(thread) => JoinInner::<T>::of(thread, shared),
        Err(error) => {
            scope.close();
            return Err(error);
        }
    };
    if by_us && let Err(error) = many_to_one::run_until(shared, &*thread.thread().0) {
        // Checked above, and only the kernel thread that was first can lose here.
        crate::os::abort_with(&format!("an n:1 runtime was lost between check and run: {error}"));
    }
    // Inside of its runtime a run is a scope; else it waits for what other kernel threads do.
    let kind = if inside { WaitKind::Scope } else { WaitKind::Run };
    inplace::end_scope(&scope, kind, site);
    scope.close();
    // A seeded run that came to where nothing could move has failed, whatever the closure made of
    // its cancellation.
    if by_us && let Some(verdict) = shared.seeded.as_ref().and_then(|run| run.take_verdict()) {
        panic!("{verdict}");
    }
    match thread.join(site) {
        Ok(value) => Ok(value),
        Err(payload) => cut::unwind_by(payload),
    }
}
