//! std's channels, `std::sync::mpsc`, on sylvan's: the names, signatures and errors are std's, and
//! threads of every kind may wait.
//!
//! A thin face: each type is an end of a [`channel`](mod@crate::channel), which has more to offer.
//! Receivers cannot be shared here, as in std; a
//! [`channel::Receiver`] can. The errors are std's own types.
//!
//! ```
//! use sylvan::go;
//! use sylvan::sync::mpsc;
//!
//! let (sender, receiver) = mpsc::channel();
//! for number in 0..3 {
//!     let sender = sender.clone();
//!     go!(move || sender.send(number).unwrap());
//! }
//! drop(sender);
//! assert_eq!(receiver.iter().sum::<i32>(), 3);
//! ```
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::channel;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

/// Makes a channel on which sending never waits.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = channel::unbounded();
    (Sender { inner: sender }, Receiver::new(receiver))
}

/// Makes a channel with room for `bound` messages; with 0, sender and receiver meet.
///
/// Memory is taken as the channel is filled.
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let (sender, receiver) = channel::bounded(bound);
    (SyncSender { inner: sender }, Receiver::new(receiver))
}

/// The sending side of [`channel()`].
pub struct Sender<T> {
    inner: channel::Sender<T>,
}

/// The sending side of [`sync_channel`].
pub struct SyncSender<T> {
    inner: channel::Sender<T>,
}

/// The receiving side.
pub struct Receiver<T> {
    inner: channel::Receiver<T>,
    /// Not to be shared, as std's.
    alone: PhantomData<Cell<()>>,
}

/// Receives until the channel is empty and all senders have gone; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Receives as long as that needs no wait; see [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// Receives until the channel is empty and all senders have gone, and owns the receiver.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Sender<T> {
    /// Sends a message. Never waits, and never switches to another thread.
    ///
    /// # Errors
    ///
    /// The message, if the receiver has gone.
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        self.inner.send(t).map_err(|channel::SendError(message)| SendError(message))
    }
}

impl<T> SyncSender<T> {
    /// Sends a message.
    ///
    /// # Blocking
    ///
    /// As [`channel::Sender::send`]: waits until there is room, with a bound of 0 until the message
    /// is received.
    ///
    /// # Errors
    ///
    /// The message, if the receiver has gone.
    #[track_caller]
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        self.inner.send(t).map_err(|channel::SendError(message)| SendError(message))
    }

    /// Sends a message if that needs no wait. Never switches to another thread.
    ///
    /// # Errors
    ///
    /// The message, if the channel is full or the receiver has gone.
    pub fn try_send(&self, t: T) -> Result<(), TrySendError<T>> {
        self.inner.try_send(t).map_err(|error| match error {
            channel::TrySendError::Full(message) => TrySendError::Full(message),
            channel::TrySendError::Disconnected(message) => TrySendError::Disconnected(message),
        })
    }
}

impl<T> Receiver<T> {
    fn new(inner: channel::Receiver<T>) -> Receiver<T> {
        Receiver { inner, alone: PhantomData }
    }

    /// Receives a message if that needs no wait. Never switches to another thread.
    ///
    /// # Errors
    ///
    /// If there is no message, with all senders gone or not.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.inner.try_recv().map_err(|error| match error {
            channel::TryRecvError::Empty => TryRecvError::Empty,
            channel::TryRecvError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Receives a message.
    ///
    /// # Blocking
    ///
    /// As [`channel::Receiver::recv`]: waits until a message comes or the last sender goes.
    ///
    /// # Errors
    ///
    /// If there is no message and all senders have gone.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.inner.recv().map_err(|channel::RecvError| RecvError)
    }

    /// Receives a message, and waits no longer than `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], and no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// If no message came in time, or there is none and all senders have gone.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.inner.recv_timeout(timeout).map_err(|error| match error {
            channel::RecvTimeoutError::Timeout => RecvTimeoutError::Timeout,
            channel::RecvTimeoutError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    /// Returns an iterator that receives until the channel is empty and all senders have gone.
    ///
    /// # Blocking
    ///
    /// Each step as [`Receiver::recv`].
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Returns an iterator that receives as long as that needs no wait. Never switches.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { inner: self.inner.clone() }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> SyncSender<T> {
        SyncSender { inner: self.inner.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
