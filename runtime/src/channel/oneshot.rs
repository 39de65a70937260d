//! Channels for one message: the answer to a request, the result of a thread.
//!
//! Two ends of a [`bounded`](crate::channel::bounded) channel that can be used once, so the types
//! say what a protocol means. Sending never waits.
//!
//! ```
//! use sylvan::channel::{oneshot, unbounded};
//! use sylvan::go;
//!
//! let (requests, received) = unbounded::<(u64, oneshot::Sender<u64>)>();
//! go!(move || {
//!     for (number, answer) in received {
//!         // Whoever asked may have gone meanwhile.
//!         let _ = answer.send(number * number);
//!     }
//! });
//! let (sender, answer) = oneshot::channel();
//! requests.send((7, sender)).unwrap();
//! assert_eq!(answer.recv(), Ok(49));
//! ```
#![forbid(unsafe_code)]

use std::fmt;
use std::time::{Duration, Instant};

use crate::channel::{
    self, RecvError, RecvFuture, RecvTimeoutError, SendError, TryRecvError, TrySendError,
};

/// Makes a channel for one message.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = channel::bounded(1);
    (Sender { inner: sender }, Receiver { inner: receiver })
}

/// The right to send one message. Its drop without that is seen by the receiver.
pub struct Sender<T> {
    inner: channel::Sender<T>,
}

/// The right to receive the one message.
pub struct Receiver<T> {
    inner: channel::Receiver<T>,
}

impl<T> Sender<T> {
    /// Sends the message. Never waits, and never switches to another thread.
    ///
    /// # Errors
    ///
    /// The message, if the receiver has gone.
    pub fn send(self, message: T) -> Result<(), SendError<T>> {
        self.inner.try_send(message).map_err(|error| match error {
            TrySendError::Full(message) | TrySendError::Disconnected(message) => SendError(message),
        })
    }
}

impl<T> Receiver<T> {
    /// Receives the message.
    ///
    /// # Blocking
    ///
    /// Waits until it is sent, or the sender has gone. A cancellation ends the wait. A kernel
    /// thread blocks.
    ///
    /// # Errors
    ///
    /// If the sender has gone without sending.
    #[track_caller]
    pub fn recv(self) -> Result<T, RecvError> {
        self.inner.recv()
    }

    /// Receives the message, and waits no longer than `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], and no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// If it was not sent in time, or the sender has gone without sending, or it was received
    /// before.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.inner.recv_timeout(timeout)
    }

    /// Receives the message, and waits no longer than until `deadline`.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], and no longer than until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_timeout`].
    #[track_caller]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.inner.recv_deadline(deadline)
    }

    /// Receives the message if it is there. Never switches to another thread.
    ///
    /// # Errors
    ///
    /// If it is not, with the sender gone or not; also if it was received before.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.inner.try_recv()
    }

    /// Returns a future that receives the message, for a task of any executor.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        self.inner.recv_async()
    }
}

/// For `select!`, and whatever else takes an end of a channel.
impl<T> AsRef<channel::Receiver<T>> for Receiver<T> {
    fn as_ref(&self) -> &channel::Receiver<T> {
        &self.inner
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("oneshot::Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("oneshot::Receiver { .. }")
    }
}
