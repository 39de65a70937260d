//! The sending side.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::channel::errors::{SendError, SendTimeoutError, TrySendError};
use crate::channel::select::{Handle, Token};
use crate::channel::shared::SenderRef;
use crate::channel::state::{Sent, Wakes};
use crate::channel::wait::Unsent;
use crate::channel::waiter::{Kind, Outcome, Waiter};
use crate::clock;
use crate::sched::door;
use crate::task::Header;

/// The sending side of a channel.
///
/// It can be cloned and shared by threads of any kind. When the last one is dropped the channel is
/// disconnected: what lies in it can still be received, and then receiving fails.
///
/// # Examples
///
/// ```
/// use sylvan::{channel, go};
///
/// let (sender, receiver) = channel::unbounded();
/// let other = sender.clone();
/// go!(move || sender.send(1).unwrap());
/// go!(move || other.send(2).unwrap());
/// assert_eq!(receiver.iter().sum::<i32>(), 3);
/// ```
pub struct Sender<T> {
    pub(super) shared: SenderRef<T>,
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// Sends a message if that needs no wait. Never switches to another thread.
    ///
    /// At capacity 0 a receiver must be waiting. One that waits in a select counts.
    ///
    /// # Errors
    ///
    /// The message, if the channel is full or disconnected.
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        door::charge();
        let mut state = self.shared.lock();
        if state.takes_quietly() {
            state.send_quietly(msg);
            return Ok(());
        }
        let (mut wakes, mut message) = (Wakes::new(), Some(msg));
        let sent = state.send(&mut message, &mut wakes);
        self.shared.unlock(state, &mut wakes);
        match (sent, message) {
            (Sent::Full, Some(message)) => Err(TrySendError::Full(message)),
            (Sent::Disconnected, Some(message)) => Err(TrySendError::Disconnected(message)),
            _ => Ok(()),
        }
    }

    /// Sends a message.
    ///
    /// # Blocking
    ///
    /// On a bounded channel: waits until there is room for the message, at capacity 0 until a
    /// receiver takes it. Whoever came first sends first. A cancellation ends the wait, and the
    /// message is dropped then. Other threads may have their turns in any case. A kernel thread
    /// blocks. On an unbounded channel it never waits, never switches and is never cancelled.
    ///
    /// # Errors
    ///
    /// The message, if all receivers have gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::channel;
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// sender.send(7).unwrap();
    /// assert_eq!(receiver.recv(), Ok(7));
    /// drop(receiver);
    /// assert_eq!(sender.send(8).unwrap_err().into_inner(), 8);
    /// ```
    #[inline]
    #[track_caller]
    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        match self.shared.send(msg, None, Location::caller()) {
            Ok(()) => Ok(()),
            Err(Unsent::Disconnected(message) | Unsent::TimedOut(message)) => {
                Err(SendError(message))
            }
        }
    }

    /// Sends a message, and waits no longer than `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Sender::send`], and no longer than `timeout`.
    ///
    /// # Units
    ///
    /// With a timeout of zero it is sent if that needs no wait; one that no clock will ever show is
    /// none.
    ///
    /// # Errors
    ///
    /// The message, if the time is over or all receivers have gone.
    #[track_caller]
    pub fn send_timeout(&self, msg: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_by(msg, clock::deadline_in(timeout), Location::caller())
    }

    /// Sends a message, and waits no longer than until `deadline`.
    ///
    /// # Blocking
    ///
    /// As [`Sender::send`], and no longer than until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`Sender::send_timeout`].
    #[track_caller]
    pub fn send_deadline(&self, msg: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_by(msg, Some(deadline), Location::caller())
    }

    // SUSPENDS
    fn send_by(
        &self,
        message: T,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Result<(), SendTimeoutError<T>> {
        match self.shared.send(message, deadline, site) {
            Ok(()) => Ok(()),
            Err(Unsent::TimedOut(message)) => Err(SendTimeoutError::Timeout(message)),
            Err(Unsent::Disconnected(message)) => Err(SendTimeoutError::Disconnected(message)),
        }
    }

    /// Completes the send of a select.
    pub(super) fn complete(&self, token: Token, message: T) -> Result<(), T> {
        let mut wakes = Wakes::new();
        let mut state = self.shared.lock();
        let mut message = Some(message);
        state.complete_send(token, &mut message, &mut wakes);
        self.shared.unlock(state, &mut wakes);
        message.map_or(Ok(()), Err)
    }

    /// Returns whether no message lies in the channel; at capacity 0 none ever does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty()
    }

    /// Returns whether there is no room; at capacity 0 there never is.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// Returns how many messages lie in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Returns how many messages the channel has room for; `None` if it is unbounded.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }

    /// Returns whether both send on the same channel.
    #[must_use]
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        std::ptr::eq(self.shared.address(), other.shared.address())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

impl<T> Handle for Sender<T> {
    fn attempt(&self) -> Option<Token> {
        let mut wakes = Wakes::new();
        let mut state = self.shared.lock();
        let token = state.select_send(&mut wakes);
        self.shared.unlock(state, &mut wakes);
        token
    }

    fn is_ready(&self) -> bool {
        self.shared.lock().is_writable(std::ptr::null())
    }

    unsafe fn enter(&self, waiter: &Waiter, me: &Header) -> bool {
        let mut state = self.shared.lock();
        if state.is_writable(me) {
            return false;
        }
        if let Kind::Watching = waiter.kind() {
            // SAFETY: S1, S2 are ours of the same numbers.
            unsafe { state.senders.watching.enter(waiter, false) };
            return true;
        }
        // SAFETY: as above.
        let is_watched = unsafe { state.enter_sender(waiter) };
        drop(state);
        if is_watched {
            self.shared.wake_watchers();
        }
        true
    }

    fn leave(&self, waiter: &Waiter) -> Option<Outcome> {
        let mut state = self.shared.lock();
        state.senders.leave(waiter);
        waiter.outcome()
    }

    fn release(&self, token: Token) {
        let mut wakes = Wakes::new();
        let mut state = self.shared.lock();
        state.refuse(token, &mut wakes);
        self.shared.unlock(state, &mut wakes);
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
