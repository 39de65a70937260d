//! Channels on which every receiver gets every message.
//!
//! Room is bounded, and sending never waits: a receiver that is so slow that the channel is full
//! *loses the oldest* messages, and is told how many it has missed, once, before it goes on with
//! the oldest that is left. So a slow receiver slows down neither the sender nor the others.
//! Messages are cloned without a lock, which is why they have to be `Sync` to cross threads.
//!
//! ```
//! use sylvan::channel::broadcast::{self, RecvError};
//!
//! let (sender, mut first) = broadcast::channel(2);
//! let mut second = sender.subscribe();
//! sender.send("one").unwrap();
//! sender.send("two").unwrap();
//! assert_eq!(first.recv(), Ok("one"));
//! sender.send("three").unwrap();
//!
//! assert_eq!(first.recv(), Ok("two"));
//! assert_eq!(second.recv(), Err(RecvError::Lagged(1)));
//! assert_eq!(second.recv(), Ok("two"));
//! drop(sender);
//! assert_eq!(second.recv(), Ok("three"));
//! assert_eq!(second.recv(), Err(RecvError::Disconnected));
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::channel::SendError;
use crate::channel::watched::{Watched, Watcher};
use crate::clock;
use crate::sched::door;
use crate::task::{Reason, WaitKind};

/// Makes a channel with room for `capacity` messages, with one sender and one receiver.
///
/// # Panics
///
/// If the capacity is 0: every message would be lost before it is received.
#[must_use]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a broadcast channel needs a capacity of at least 1; 0 was given");
    let state = State { messages: VecDeque::new(), first: 0, capacity, senders: 1, receivers: 1 };
    let shared = Arc::new(Watched::new(state));
    (Sender { shared: shared.clone() }, Receiver { shared, next: 0 })
}

/// The sending side: it can be cloned and shared.
pub struct Sender<T> {
    shared: Arc<Watched<State<T>>>,
}

/// A receiver of all messages that are sent from its making on. A clone of it goes on from where it
/// is, and then on its own.
pub struct Receiver<T> {
    shared: Arc<Watched<State<T>>>,
    /// The number of the message that it looks for.
    next: u64,
}

struct State<T> {
    messages: VecDeque<Kept<T>>,
    /// The number of the first one of them.
    first: u64,
    capacity: usize,
    senders: usize,
    receivers: usize,
}

/// A message, as long as somebody looks for it.
struct Kept<T> {
    message: Option<Arc<T>>,
    /// How many receivers have yet to see it.
    left: usize,
}

/// No message could be received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvError {
    /// So many messages were lost, for the receiver was too slow. The next call goes on with the
    /// oldest that is left.
    Lagged(u64),
    /// There is no message left, and all senders have gone.
    Disconnected,
}

/// No message could be received without waiting, or in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TryRecvError {
    /// There is none.
    Empty,
    /// As of [`RecvError`].
    Lagged(u64),
    /// As of [`RecvError`].
    Disconnected,
}

impl<T> State<T> {
    fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// The message of that number, for one who has now seen it; the last one takes it out. `None`:
    /// there is none yet.
    fn see(&mut self, next: &mut u64) -> Option<Result<Arc<T>, RecvError>> {
        if *next < self.first {
            let missed = self.first - *next;
            *next = self.first;
            return Some(Err(RecvError::Lagged(missed)));
        }
        let place = usize::try_from(*next - self.first).unwrap_or(usize::MAX);
        let Some(kept) = self.messages.get_mut(place) else {
            return (self.senders == 0).then_some(Err(RecvError::Disconnected));
        };
        *next += 1;
        kept.left -= 1;
        let message = match kept.left {
            0 => kept.message.take(),
            _ => kept.message.clone(),
        };
        self.forget_seen();
        message.map(Ok)
    }

    /// Makes room of the messages in front that everybody has seen.
    fn forget_seen(&mut self) {
        while self.messages.front().is_some_and(|kept| kept.left == 0) {
            self.messages.pop_front();
            self.first += 1;
        }
    }
}

impl<T> Sender<T> {
    /// Sends a message to all receivers, and returns how many there are. Never waits, and never
    /// switches to another thread.
    ///
    /// # Errors
    ///
    /// The message, if there is no receiver.
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        door::charge();
        let mut message = Some(Arc::new(message));
        // What is lost is dropped without the lock.
        let lost;
        let receivers = self.shared.change(|state| {
            if state.receivers == 0 {
                return (0, None);
            }
            let mut lost = None;
            if state.messages.len() == state.capacity {
                lost = state.messages.pop_front();
                state.first += 1;
            }
            state.messages.push_back(Kept { message: message.take(), left: state.receivers });
            (state.receivers, lost)
        });
        let count;
        (count, lost) = receivers;
        drop(lost);
        match message.and_then(Arc::into_inner) {
            Some(message) => Err(SendError(message)),
            None => Ok(count),
        }
    }

    /// Returns a new receiver, of all messages that are sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let next = self.shared.look(|state| {
            state.receivers += 1;
            state.end()
        });
        Receiver { shared: self.shared.clone(), next }
    }

    /// Returns how many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.look(|state| state.receivers)
    }
}

impl<T: Clone> Receiver<T> {
    /// Receives the next message.
    ///
    /// # Blocking
    ///
    /// Waits until one is sent, or the last sender goes. A cancellation ends the wait. Other
    /// threads may have their turns in any case. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// If messages were lost, or all senders have gone; see [`RecvError`].
    #[track_caller]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.receive(door::reason(WaitKind::Receive), None)
            .expect("it waits for as long as it takes")
    }

    /// Receives the next message, and waits no longer than `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], and no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`], and [`TryRecvError::Empty`] if the time is over.
    #[track_caller]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, TryRecvError> {
        let received = self.receive(door::reason(WaitKind::Receive), clock::deadline_in(timeout));
        or_empty(received)
    }

    /// Receives the next message, and waits no longer than until `deadline`.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], and no longer than until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_timeout`].
    #[track_caller]
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, TryRecvError> {
        or_empty(self.receive(door::reason(WaitKind::Receive), Some(deadline)))
    }

    /// Receives the next message if it is there. Never switches to another thread.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`], and [`TryRecvError::Empty`] if there is none.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        door::charge();
        let next = &mut self.next;
        or_empty(self.shared.look(|state| state.see(next)).map(|seen| seen.map(unwrap)))
    }

    /// Returns a future that receives the next message, for a task of any executor. To drop it
    /// loses no message.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    pub fn recv_async(&mut self) -> RecvFuture<'_, T> {
        let Receiver { shared, next } = self;
        RecvFuture { watcher: Watcher::new(shared), next }
    }

    // SUSPENDS
    fn receive(
        &mut self,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Option<Result<T, RecvError>> {
        let next = &mut self.next;
        let seen = self.shared.wait(reason, deadline, |state| state.see(next))?;
        Some(seen.map(unwrap))
    }
}

/// The message itself for the last one who sees it, a clone for the others.
fn unwrap<T: Clone>(message: Arc<T>) -> T {
    Arc::unwrap_or_clone(message)
}

fn or_empty<T>(received: Option<Result<T, RecvError>>) -> Result<T, TryRecvError> {
    match received {
        Some(Ok(message)) => Ok(message),
        Some(Err(RecvError::Lagged(missed))) => Err(TryRecvError::Lagged(missed)),
        Some(Err(RecvError::Disconnected)) => Err(TryRecvError::Disconnected),
        None => Err(TryRecvError::Empty),
    }
}

/// Receives a message when it is awaited; see [`Receiver::recv_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct RecvFuture<'a, T> {
    watcher: Watcher<'a, State<T>>,
    next: &'a mut u64,
}

// SAFETY: what others see of it is guarded by the channel's lock, and messages are shared and sent.
unsafe impl<T: Send + Sync> Send for RecvFuture<'_, T> {}

impl<T: Clone> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let waker = context.waker().clone();
        // SAFETY: nothing is moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: S1: it is pinned.
        let seen = unsafe { this.watcher.poll(waker, |state| state.see(this.next)) };
        seen.map(|seen| seen.map(unwrap))
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("broadcast::RecvFuture { .. }")
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.look(|state| state.senders += 1);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.change(|state| state.senders -= 1);
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        let next = self.next;
        self.shared.look(|state| {
            state.receivers += 1;
            let seen = usize::try_from(next.saturating_sub(state.first)).unwrap_or(usize::MAX);
            state.messages.iter_mut().skip(seen).for_each(|kept| kept.left += 1);
        });
        Receiver { shared: self.shared.clone(), next }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let next = self.next;
        // Dropped without the lock.
        let unseen: Vec<Option<Arc<T>>> = self.shared.look(|state| {
            state.receivers -= 1;
            let seen = usize::try_from(next.saturating_sub(state.first)).unwrap_or(usize::MAX);
            let mut unseen = Vec::new();
            for kept in state.messages.iter_mut().skip(seen) {
                kept.left -= 1;
                if kept.left == 0 {
                    unseen.push(kept.message.take());
                }
            }
            state.forget_seen();
            unseen
        });
        drop(unseen);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("broadcast::Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("broadcast::Receiver { .. }")
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Lagged(missed) => {
                write!(f, "the receiver was too slow for {missed} messages")
            }
            RecvError::Disconnected => f.pad("receiving on an empty and disconnected channel"),
        }
    }
}

impl Error for RecvError {}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.pad("receiving on an empty channel"),
            TryRecvError::Lagged(missed) => RecvError::Lagged(*missed).fmt(f),
            TryRecvError::Disconnected => RecvError::Disconnected.fmt(f),
        }
    }
}

impl Error for TryRecvError {}
