//! Join handles as futures: whoever writes `async` can wait for a thread with `.await`.
//!
//! What a poll leaves behind is a waker in the header of the thread, where `join` leaves the
//! joining thread; see `task::joiner` for whose it is when. A poll with another waker takes the old
//! one back and puts the new one in; if that fails, the thread has ended, and the poll gives its
//! result. The drop of the future takes the waker back before the handle goes, so that it never
//! outlives it in there.
//!
//! Wakers are user code: they are cloned and dropped here by whoever polls and drops the future,
//! and called by the ending side; see `life::make_courier`. Nothing is held meanwhile.

#[cfg(all(loom, test))]
mod models;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::sched::life;
use crate::thread::join::{JoinHandle, JoinInner, LocalJoinHandle, Result};

/// The future of a thread's end, with its result; a [`JoinHandle`] becomes one by `.await`.
///
/// Dropping it lets the thread run on, as dropping the handle does, so it may stand in a `select`
/// whose other arm comes first. It may be polled anywhere, by any executor; to wait for it in
/// blocking code is what [`JoinHandle::join`] is for.
///
/// The waker is called by the ending thread after its end, as its last act, on a stack of its own:
/// it may wait, and a panic of it is reported and kept from everybody else. Under 1:1 the poll that
/// gives the result joins the kernel thread, which takes the moment that the destructors of its
/// thread-locals do.
///
/// Nobody runs an N:1 runtime for this future. Outside of `run` its threads do not go on, and a
/// future that is waited for there never comes: `join` would run them.
///
/// A thread that waits for itself waits for ever.
///
/// # Panics
///
/// If it is polled again when it has given its result.
///
/// # Examples
///
/// ```
/// use sylvan::{block_on, thread};
///
/// async fn sum(threads: Vec<thread::JoinHandle<u64>>) -> u64 {
///     let mut sum = 0;
///     for thread in threads {
///         sum += thread.await.expect("it does not panic");
///     }
///     sum
/// }
///
/// let threads = (1..=10).map(|n| thread::spawn(move || n * n)).collect();
/// assert_eq!(block_on(sum(threads)), 385);
/// ```
#[must_use = "a future does nothing unless it is polled"]
pub struct JoinFuture<T>(Awaited<T>);

/// The same of a [`LocalJoinHandle`]. It stays on its kernel thread.
///
/// # Panics
///
/// If it is polled again when it has given its result.
#[must_use = "a future does nothing unless it is polled"]
pub struct LocalJoinFuture<T> {
    awaited: Awaited<T>,
    here: PhantomData<*const ()>,
}

impl<T> IntoFuture for JoinHandle<T> {
    type Output = Result<T>;
    type IntoFuture = JoinFuture<T>;

    fn into_future(self) -> JoinFuture<T> {
        JoinFuture(Awaited::new(self.0))
    }
}

impl<T> Future for JoinFuture<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        self.get_mut().0.poll(context.waker())
    }
}

impl<T> fmt::Debug for JoinFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe(&mut f.debug_struct("JoinFuture"))
    }
}

impl<T> IntoFuture for LocalJoinHandle<T> {
    type Output = Result<T>;
    type IntoFuture = LocalJoinFuture<T>;

    fn into_future(self) -> LocalJoinFuture<T> {
        LocalJoinFuture { awaited: Awaited::new(self.into_inner()), here: PhantomData }
    }
}

impl<T> Future for LocalJoinFuture<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        self.get_mut().awaited.poll(context.waker())
    }
}

impl<T> fmt::Debug for LocalJoinFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.awaited.describe(&mut f.debug_struct("LocalJoinFuture"))
    }
}

/// What both futures are.
struct Awaited<T> {
    /// `None`: it has given its result.
    handle: Option<JoinInner<T>>,
    /// Whether a waker was left in the thread's header and not taken back.
    is_registered: bool,
}

/// Nothing of `T` is ever pinned: it is moved out of the header when it is there.
impl<T> Unpin for Awaited<T> {}

impl<T> Awaited<T> {
    fn new(handle: JoinInner<T>) -> Awaited<T> {
        Awaited { handle: Some(handle), is_registered: false }
    }

    fn poll(&mut self, waker: &Waker) -> Poll<Result<T>> {
        let handle = self.handle.as_ref().expect("a join future is polled until it has come");
        if !handle.is_finished() && self.register(waker) {
            return Poll::Pending;
        }
        // If one is registered, it is the ending side's.
        self.is_registered = false;
        let handle = self.handle.take().expect("it was there above");
        Poll::Ready(handle.take_outcome())
    }

    /// Sees to it that `waker` is registered. False: the thread has ended.
    fn register(&mut self, waker: &Waker) -> bool {
        let Some(handle) = &self.handle else { return false };
        let header = handle.header();
        if self.is_registered {
            if header.joiner.holds(waker) {
                return true;
            }
            // SAFETY: S1: the handle is ours, and `is_registered` says so.
            let Some(old) = (unsafe { life::take_waker_back(header) }) else { return false };
            self.is_registered = false;
            drop(old);
        }
        // A clone may panic: nothing is registered meanwhile.
        let waker = waker.clone();
        // SAFETY: S1: the handle is ours, and nobody is registered.
        let registered = unsafe { life::register_waker(header, waker) };
        self.is_registered = registered.is_ok();
        self.is_registered
    }

    fn describe(&self, f: &mut fmt::DebugStruct<'_, '_>) -> fmt::Result {
        f.field("thread", &self.handle.as_ref().map(JoinInner::thread)).finish_non_exhaustive()
    }
}

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        if let (true, Some(handle)) = (self.is_registered, &self.handle) {
            // SAFETY: S1: the handle is ours, and `is_registered` says so.
            drop(unsafe { life::take_waker_back(handle.header()) });
        }
    }
}
