//! Sending and receiving as futures, for tasks of any executor.
//!
//! A future is a waiter like any other: it stands in the same lists, in the same order, and has a
//! waker where a thread has the number of its wait. It lies in the future itself, which is pinned
//! from its first poll to its drop, and the drop leaves the list. A message that was put into a
//! future's hands and that nobody polls for any more goes back to the front of the channel; so a
//! future that loses a race (`select!`, a timeout) loses no message.
//!
//! A timer's receiver has nothing that could wake a task, so a future of it keeps a green thread
//! that sleeps.
//!
//! No waker is cloned, called or dropped under the channel's lock: that is user code.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::channel::errors::{RecvError, SendError};
use crate::channel::receiver::{Receiver, Source};
use crate::channel::sender::Sender;
use crate::channel::timer::Timer;
use crate::channel::wait::Waiting;
use crate::thread::{self, JoinHandle};

/// Receives a message when it is awaited; see [`Receiver::recv_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct RecvFuture<'a, T> {
    from: From<'a, T>,
}

enum From<'a, T> {
    Channel(Waiting<'a, T>),
    Timer(Awaited<'a>, fn(Instant) -> T),
    Never,
}

// SAFETY: what others see of it is guarded by the channel's lock, and messages may be sent.
unsafe impl<T: Send> Send for RecvFuture<'_, T> {}

/// Sends a message when it is awaited; see [`Sender::send_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct SendFuture<'a, T> {
    sending: Waiting<'a, T>,
}

// SAFETY: as for `RecvFuture`.
unsafe impl<T: Send> Send for SendFuture<'_, T> {}

impl<T> Receiver<T> {
    /// Returns a future that receives a message, for a task of any executor.
    ///
    /// It takes its place in the queue at its first poll, among threads and other futures. To drop
    /// it loses no message. From blocking code, [`recv`](Receiver::recv) does the same. The
    /// receiver of a timer keeps a green thread while its future waits.
    ///
    /// # Errors
    ///
    /// If there is no message and all senders have gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::{channel, go};
    ///
    /// async fn sum(numbers: channel::Receiver<u32>) -> u32 {
    ///     let mut sum = 0;
    ///     while let Ok(number) = numbers.recv_async().await {
    ///         sum += number;
    ///     }
    ///     sum
    /// }
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// go!(move || (1..=4).for_each(|number| sender.send(number).unwrap()));
    /// assert_eq!(sylvan::block_on(sum(receiver)), 10);
    /// ```
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        let from = match &self.source {
            Source::Channel(shared) => From::Channel(Waiting::to_receive(shared)),
            Source::Timer(timed) => From::Timer(Awaited::new(&timed.timer), timed.message),
            Source::Never => From::Never,
        };
        RecvFuture { from }
    }
}

impl<T> Sender<T> {
    /// Returns a future that sends `msg`, for a task of any executor.
    ///
    /// It takes its place in the queue at its first poll, among threads and other futures. If it is
    /// dropped before it is ready the message was not sent, and is dropped too. From blocking code,
    /// [`send`](Sender::send) does the same.
    ///
    /// # Errors
    ///
    /// The message, if all receivers have gone.
    pub fn send_async(&self, msg: T) -> SendFuture<'_, T> {
        SendFuture { sending: Waiting::to_send(&self.shared, msg) }
    }
}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        match &self.as_ref().get_ref().from {
            // SAFETY: S1: it is pinned.
            From::Channel(receiving) => unsafe { receiving.poll_receive(context.waker().clone()) }
                .map(|received| received.map_err(|_| RecvError)),
            From::Timer(awaited, message) => awaited.poll(context).map(message).map(Ok),
            From::Never => Poll::Pending,
        }
    }
}

impl<T> Future for SendFuture<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let sending = &self.as_ref().get_ref().sending;
        // SAFETY: S1: it is pinned.
        unsafe { sending.poll_send(context.waker().clone()) }.map(|sent| sent.map_err(SendError))
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("RecvFuture { .. }")
    }
}

impl<T> fmt::Debug for SendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendFuture { .. }")
    }
}

/// A timer that a task waits for.
struct Awaited<'a> {
    timer: &'a Timer,
    alarm: Arc<Mutex<Alarm>>,
    /// The green thread that sleeps, or has slept.
    sleeper: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Alarm {
    waker: Option<Waker>,
    /// Whether somebody sleeps who will take the waker, and call it.
    is_set: bool,
}

impl<'a> Awaited<'a> {
    fn new(timer: &'a Timer) -> Awaited<'a> {
        Awaited { timer, alarm: Arc::default(), sleeper: Mutex::new(None) }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Instant> {
        // Before the look at the clock: a sleeper that ends meanwhile wakes the new one.
        let mine = context.waker().clone();
        let old_waker = lock(&self.alarm).waker.replace(mine);
        drop(old_waker);
        if let Some(instant) = self.timer.receive_now() {
            return Poll::Ready(instant);
        }
        if let Some(next) = self.timer.next()
            && !mem::replace(&mut lock(&self.alarm).is_set, true)
        {
            let alarm = self.alarm.clone();
            let sleeper = thread::spawn(move || {
                thread::sleep_until(next);
                let Alarm { waker, .. } = mem::take(&mut *lock(&alarm));
                waker.inspect(Waker::wake_by_ref);
            });
            *lock(&self.sleeper) = Some(sleeper);
        }
        Poll::Pending
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if let Some(sleeper) = lock(&self.sleeper).take() {
            // With `panic = "abort"` it sleeps on, and wakes nobody.
            let _ = sleeper.cancel();
        }
        let waker = lock(&self.alarm).waker.take();
        drop(waker);
    }
}

/// Locks for a moment, and never over user code.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
