//! The receiving side.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::errors::{RecvError, RecvTimeoutError, TryRecvError};
use crate::channel::iter::{IntoIter, Iter, TryIter};
use crate::channel::select::{Handle, Token};
use crate::channel::shared::ReceiverRef;
use crate::channel::state::{Nothing, Wakes};
use crate::channel::timer::{self, Timer};
use crate::channel::wait::NotReceived;
use crate::channel::waiter::{Kind, Outcome, Waiter};
use crate::clock;
use crate::sched::door;
use crate::task::{Header, Reason, WaitKind};

/// The receiving side of a channel.
///
/// It can be cloned and shared by threads of any kind; each message goes to one receiver. When the
/// last one is dropped the channel is disconnected: the messages in it are dropped, first to last,
/// and sending fails from then on.
///
/// # Examples
///
/// ```
/// use sylvan::{channel, go};
///
/// let (sender, receiver) = channel::bounded(2);
/// go!(move || (1..=10).for_each(|number| sender.send(number).unwrap()));
/// // Ends when the sender has gone and nothing is left.
/// let all: Vec<i32> = receiver.iter().collect();
/// assert_eq!(all, (1..=10).collect::<Vec<_>>());
/// ```
pub struct Receiver<T> {
    pub(super) source: Source<T>,
}

/// Where the messages come from.
pub(super) enum Source<T> {
    Channel(ReceiverRef<T>),
    Timer(Arc<Timed<T>>),
    Never,
}

/// A clock that sends.
pub(super) struct Timed<T> {
    pub(super) timer: Timer,
    /// Makes the message of its instants: they are it.
    pub(super) message: fn(Instant) -> T,
}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    /// Receives a message if that needs no wait. Never switches to another thread.
    ///
    /// At capacity 0 a sender must be waiting with its message. One that waits in a *select* does
    /// not count, unlike in crossbeam-channel: it writes its message only when it is chosen, and
    /// this call would have to wait for that. `select! { recv(r) -> m => …, default => … }` meets
    /// it.
    ///
    /// # Errors
    ///
    /// If there is no message, with all senders gone or not.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        door::charge();
        match &self.source {
            Source::Channel(shared) => {
                let mut state = shared.lock();
                if let Some(message) = state.receive_quietly() {
                    return Ok(message);
                }
                let mut wakes = Wakes::new();
                let received = state.receive(&mut wakes);
                shared.unlock(state, &mut wakes);
                received.map_err(|nothing| match nothing {
                    Nothing::Empty => TryRecvError::Empty,
                    Nothing::Disconnected => TryRecvError::Disconnected,
                })
            }
            Source::Timer(timed) => {
                timed.timer.receive_now().map(timed.message).ok_or(TryRecvError::Empty)
            }
            Source::Never => Err(TryRecvError::Empty),
        }
    }

    /// Receives a message.
    ///
    /// # Blocking
    ///
    /// Waits until a message comes, or the last sender goes. Whoever came first receives first. A
    /// cancellation ends the wait, and takes no message along. Other threads may have their turns
    /// in any case. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// If there is no message and all senders have gone.
    #[inline]
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receive(None, Location::caller()).map_err(|_| RecvError)
    }

    /// Receives a message, and waits no longer than `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], and no longer than `timeout`.
    ///
    /// # Units
    ///
    /// With a timeout of zero it receives what needs no wait; one that no clock will ever show is
    /// none.
    ///
    /// # Errors
    ///
    /// If no message came in time, or there is none and all senders have gone.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.receive_by(clock::deadline_in(timeout), Location::caller())
    }

    /// Receives a message, and waits no longer than until `deadline`.
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
        self.receive_by(Some(deadline), Location::caller())
    }

    // SUSPENDS
    fn receive_by(
        &self,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Result<T, RecvTimeoutError> {
        self.receive(deadline, site).map_err(|not| match not {
            NotReceived::TimedOut => RecvTimeoutError::Timeout,
            NotReceived::Disconnected => RecvTimeoutError::Disconnected,
        })
    }

    // SUSPENDS
    #[inline]
    fn receive(
        &self,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Result<T, NotReceived> {
        match &self.source {
            Source::Channel(shared) => shared.receive(deadline, site),
            Source::Timer(timed) => {
                let reason = Reason::new(WaitKind::Receive, site);
                timed.timer.receive(reason, deadline).map(timed.message)
            }
            Source::Never => loop {
                door::switch_point();
                if deadline.is_some_and(|deadline| deadline <= clock::now()) {
                    return Err(NotReceived::TimedOut);
                }
                timer::wait(Reason::new(WaitKind::Receive, site), deadline);
            },
        }
    }

    /// Completes the receive of a select.
    // SUSPENDS
    pub(super) fn complete(
        &self,
        token: Token,
        site: &'static Location<'static>,
    ) -> Result<T, RecvError> {
        match (&self.source, token) {
            (Source::Channel(shared), Token::Promise(number)) => {
                match shared.receive_promised(number, site) {
                    Some(message) => Ok(message),
                    // The other side was a select too, and has not kept its promise.
                    None => shared.receive(None, site).map_err(|_| RecvError),
                }
            }
            (Source::Timer(timed), Token::Instant(instant)) => Ok((timed.message)(instant)),
            _ => Err(RecvError),
        }
    }

    /// Returns whether no message lies in the channel; at capacity 0 none ever does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.source {
            Source::Channel(shared) => shared.is_empty(),
            Source::Timer(timed) => !timed.timer.is_due(),
            Source::Never => true,
        }
    }

    /// Returns whether there is no room; at capacity 0 there never is.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match &self.source {
            Source::Channel(shared) => shared.is_full(),
            Source::Timer(timed) => timed.timer.is_due(),
            Source::Never => true,
        }
    }

    /// Returns how many messages lie in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Channel(shared) => shared.len(),
            Source::Timer(timed) => usize::from(timed.timer.is_due()),
            Source::Never => 0,
        }
    }

    /// Returns how many messages the channel has room for; `None` if it is unbounded.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        match &self.source {
            Source::Channel(shared) => shared.capacity(),
            Source::Timer(_) => Some(1),
            Source::Never => Some(0),
        }
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

    /// Returns whether both receive from the same channel.
    #[must_use]
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.source, &other.source) {
            (Source::Channel(one), Source::Channel(other)) => {
                ptr::eq(one.address(), other.address())
            }
            (Source::Timer(one), Source::Timer(other)) => Arc::ptr_eq(one, other),
            (Source::Never, Source::Never) => true,
            _ => false,
        }
    }

    /// What tells this channel from others.
    pub(super) fn address(&self) -> *const () {
        match &self.source {
            Source::Channel(shared) => shared.address(),
            Source::Timer(timed) => Arc::as_ptr(timed).cast(),
            Source::Never => ptr::null(),
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        let source = match &self.source {
            Source::Channel(shared) => Source::Channel(shared.clone()),
            Source::Timer(timed) => Source::Timer(timed.clone()),
            Source::Never => Source::Never,
        };
        Receiver { source }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
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

impl<T> Handle for Receiver<T> {
    fn attempt(&self) -> Option<Token> {
        match &self.source {
            Source::Channel(shared) => {
                let mut wakes = Wakes::new();
                let mut state = shared.lock();
                let token = state.select_receive(&mut wakes);
                shared.unlock(state, &mut wakes);
                token
            }
            Source::Timer(timed) => timed.timer.receive_now().map(Token::Instant),
            Source::Never => None,
        }
    }

    fn is_ready(&self) -> bool {
        match &self.source {
            Source::Channel(shared) => shared.lock().has_message(),
            Source::Timer(timed) => timed.timer.is_due(),
            Source::Never => false,
        }
    }

    unsafe fn enter(&self, waiter: &Waiter, me: &Header) -> bool {
        let Source::Channel(shared) = &self.source else { return !self.is_ready() };
        let mut state = shared.lock();
        if state.is_readable(me) {
            return false;
        }
        if let Kind::Watching = waiter.kind() {
            // SAFETY: S1, S2 are ours of the same numbers.
            unsafe { state.receivers.watching.enter(waiter, false) };
            return true;
        }
        // SAFETY: as above.
        let is_watched = unsafe { state.enter_receiver(waiter, false) };
        drop(state);
        if is_watched {
            shared.wake_watchers();
        }
        true
    }

    fn leave(&self, waiter: &Waiter) -> Option<Outcome> {
        let Source::Channel(shared) = &self.source else { return None };
        let mut state = shared.lock();
        state.receivers.leave(waiter);
        waiter.outcome()
    }

    fn fetch(&self, deadline: Option<Instant>, site: &'static Location<'static>) -> bool {
        match &self.source {
            Source::Channel(shared) => shared.fetch(deadline, site),
            _ => false,
        }
    }

    fn release(&self, token: Token) {
        if let (Source::Channel(shared), Token::Promise(number)) = (&self.source, token) {
            let mut wakes = Wakes::new();
            let mut state = shared.lock();
            let left = state.withdraw(number, &mut wakes);
            shared.unlock(state, &mut wakes);
            drop(left);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.source {
            Source::Timer(timed) => timed.timer.next(),
            _ => None,
        }
    }
}
