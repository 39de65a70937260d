//! Channels that hold one value, of which every receiver wants the latest: settings, a state, a
//! signal to stop.
//!
//! A value that is sent takes the place of the one before, seen or not. Values are shared
//! ([`Arc`]), so to read one takes no lock that could keep a sender waiting, and what a reader has
//! got stays as it is.
//!
//! ```
//! use sylvan::channel::watch;
//! use sylvan::go;
//!
//! let (settings, mut current) = watch::channel(1);
//! let reader = go!(move || {
//!     let mut last = *current.get();
//!     while let Ok(value) = current.recv() {
//!         last = *value;
//!     }
//!     last
//! });
//! settings.send(2).unwrap();
//! settings.send(3).unwrap();
//! drop(settings);
//! assert_eq!(reader.join().unwrap(), 3);
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::channel::watched::{Watched, Watcher};
use crate::channel::{RecvError, RecvTimeoutError, SendError, TryRecvError};
use crate::clock;
use crate::sched::door;
use crate::task::{Reason, WaitKind};

/// Makes a channel that holds `initial`, with one sender and one receiver, who has seen it.
#[must_use]
pub fn channel<T>(initial: T) -> (Sender<T>, Receiver<T>) {
    let state = State { value: Arc::new(initial), version: 0, senders: 1, receivers: 1 };
    let shared = Arc::new(Watched::new(state));
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 0 })
}

/// The sending side: it can be cloned and shared.
pub struct Sender<T> {
    shared: Arc<Watched<State<T>>>,
}

/// A receiver of the latest value. A clone of it has seen what it has seen.
pub struct Receiver<T> {
    shared: Arc<Watched<State<T>>>,
    /// The version that it has seen last.
    seen: u64,
}

struct State<T> {
    value: Arc<T>,
    version: u64,
    senders: usize,
    receivers: usize,
}

impl<T> State<T> {
    /// The value, for one who has now seen it. `None`: it is seen already.
    fn see(&mut self, seen: &mut u64) -> Option<Result<Arc<T>, RecvError>> {
        if self.version != *seen {
            *seen = self.version;
            return Some(Ok(self.value.clone()));
        }
        (self.senders == 0).then_some(Err(RecvError))
    }

    /// Puts a value in the place of the one before, which is to be dropped without the lock.
    fn replace(&mut self, value: Arc<T>) -> Arc<T> {
        self.version += 1;
        std::mem::replace(&mut self.value, value)
    }
}

impl<T> Sender<T> {
    /// Puts `value` in the place of the one before. Never waits, and never switches to another
    /// thread.
    ///
    /// # Errors
    ///
    /// The value, if there is no receiver; it is not stored then. To store it all the same there is
    /// [`Sender::replace`].
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        door::charge();
        let mut value = Some(Arc::new(value));
        let old = self.shared.change(|state| {
            let value = value.take_if(|_| state.receivers > 0)?;
            Some(state.replace(value))
        });
        drop(old);
        match value.and_then(Arc::into_inner) {
            Some(value) => Err(SendError(value)),
            None => Ok(()),
        }
    }

    /// Puts `value` in the place of the one before, which is returned. Never waits.
    pub fn replace(&self, value: T) -> Arc<T> {
        door::charge();
        let value = Arc::new(value);
        self.shared.change(|state| state.replace(value))
    }

    /// Puts what `update` makes of the value in its place. Never waits.
    ///
    /// `update` is called again if another value was sent meanwhile, so that none is overwritten
    /// that it has not seen.
    pub fn update(&self, mut update: impl FnMut(&T) -> T) {
        door::charge();
        let (mut value, mut version) =
            self.shared.look(|state| (state.value.clone(), state.version));
        loop {
            let new = Arc::new(update(&value));
            let refused = self.shared.change(|state| {
                if state.version == version {
                    return Ok(state.replace(new));
                }
                version = state.version;
                Err((state.value.clone(), new))
            });
            match refused {
                Ok(_old) => return,
                Err((now, _new)) => value = now,
            }
        }
    }

    /// Returns the value.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.shared.look(|state| state.value.clone())
    }

    /// Returns a new receiver, who has seen the value that is there.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.shared.look(|state| {
            state.receivers += 1;
            state.version
        });
        Receiver { shared: self.shared.clone(), seen }
    }

    /// Returns how many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.look(|state| state.receivers)
    }
}

impl<T> Receiver<T> {
    /// Returns the value, seen or not; it does not count as seen by that.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.shared.look(|state| state.value.clone())
    }

    /// Receives a value that this receiver has not seen yet.
    ///
    /// # Blocking
    ///
    /// Waits until one is sent, or the last sender goes. A cancellation ends the wait. Other
    /// threads may have their turns in any case. A kernel thread blocks.
    ///
    /// # Errors
    ///
    /// If it has seen the value and all senders have gone.
    #[track_caller]
    pub fn recv(&mut self) -> Result<Arc<T>, RecvError> {
        self.receive(door::reason(WaitKind::Receive), None)
            .expect("it waits for as long as it takes")
    }

    /// Receives a value that this receiver has not seen yet, and waits no longer than `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], and no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`], and if none was sent in time.
    #[track_caller]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Arc<T>, RecvTimeoutError> {
        let received = self.receive(door::reason(WaitKind::Receive), clock::deadline_in(timeout));
        Ok(received.ok_or(RecvTimeoutError::Timeout)??)
    }

    /// Receives a value that this receiver has not seen yet, and waits no longer than until
    /// `deadline`.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], and no longer than until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_timeout`].
    #[track_caller]
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Arc<T>, RecvTimeoutError> {
        let received = self.receive(door::reason(WaitKind::Receive), Some(deadline));
        Ok(received.ok_or(RecvTimeoutError::Timeout)??)
    }

    /// Receives the value if this receiver has not seen it yet. Never switches to another thread.
    ///
    /// # Errors
    ///
    /// If it has, with all senders gone or not.
    pub fn try_recv(&mut self) -> Result<Arc<T>, TryRecvError> {
        door::charge();
        let seen = &mut self.seen;
        let value = self.shared.look(|state| state.see(seen));
        Ok(value.ok_or(TryRecvError::Empty)??)
    }

    /// Waits until the value is one that `is_wanted`, and receives it, seen or not.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], as often as it takes.
    ///
    /// # Errors
    ///
    /// If the value is not wanted and all senders have gone.
    #[track_caller]
    pub fn wait_for(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> Result<Arc<T>, RecvError> {
        let reason = door::reason(WaitKind::Receive);
        let seen = &mut self.seen;
        let mut value = self.shared.look(|state| {
            *seen = state.version;
            state.value.clone()
        });
        while !is_wanted(&value) {
            value = self.receive(reason, None).expect("it waits for as long as it takes")?;
        }
        Ok(value)
    }

    /// Returns a future that receives a value that this receiver has not seen yet, for a task of
    /// any executor. To drop it loses no value.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    pub fn recv_async(&mut self) -> RecvFuture<'_, T> {
        let Receiver { shared, seen } = self;
        RecvFuture { watcher: Watcher::new(shared), seen }
    }

    // SUSPENDS
    fn receive(
        &mut self,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Option<Result<Arc<T>, RecvError>> {
        let seen = &mut self.seen;
        self.shared.wait(reason, deadline, |state| state.see(seen))
    }
}

/// Receives a value when it is awaited; see [`Receiver::recv_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct RecvFuture<'a, T> {
    watcher: Watcher<'a, State<T>>,
    seen: &'a mut u64,
}

// SAFETY: what others see of it is guarded by the channel's lock, and values are shared and sent.
unsafe impl<T: Send + Sync> Send for RecvFuture<'_, T> {}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<Arc<T>, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Arc<T>, RecvError>> {
        let waker = context.waker().clone();
        // SAFETY: nothing is moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: S1: it is pinned.
        unsafe { this.watcher.poll(waker, |state| state.see(this.seen)) }
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("watch::RecvFuture { .. }")
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
        self.shared.look(|state| state.receivers += 1);
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.look(|state| state.receivers -= 1);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("watch::Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("watch::Receiver { .. }")
    }
}
