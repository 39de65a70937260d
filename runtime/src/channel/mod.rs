//! Channels, by the names and with the behaviour of crossbeam-channel, for threads of every kind.
//!
//! A program that imports `crossbeam_channel` may import this instead. A green thread that waits
//! here lets others of its worker run; a kernel thread blocks. Both ends of a channel may be with
//! threads of several runtimes and of none. [`sync::mpsc`](crate::sync::mpsc) has the names of std
//! for the same channels.
//!
//! | | |
//! |---|---|
//! | [`bounded`] | room for so many messages; with 0, sender and receiver meet |
//! | [`unbounded`] | sending never waits |
//! | [`after`], [`at`], [`tick`], [`never()`] | receivers that a clock sends to, or nobody |
//! | [`select!`], [`select_biased!`], [`Select`] | one of several operations |
//! | [`oneshot`], [`broadcast`], [`watch`] | one message; all for everybody; the latest value |
//! | [`Receiver::recv_async`], [`Sender::send_async`] | both ends for tasks of any executor |
//!
//! ```
//! use sylvan::channel::{bounded, select};
//! use sylvan::{go, thread};
//! use std::time::Duration;
//!
//! let (words, received) = bounded::<String>(8);
//! let (quit, quitting) = bounded::<()>(0);
//! let listener = go!(move || {
//!     let mut heard = Vec::new();
//!     loop {
//!         select! {
//!             recv(received) -> word => match word {
//!                 Ok(word) => heard.push(word),
//!                 Err(_) => return heard,
//!             },
//!             recv(quitting) -> _ => return heard,
//!             default(Duration::from_secs(60)) => return heard,
//!         }
//!     }
//! });
//! words.send("hello".to_owned()).unwrap();
//! drop(words);
//! assert_eq!(listener.join().unwrap(), ["hello"]);
//! # drop(quit);
//! ```
//!
//! # Waiting and fairness
//!
//! Whoever came first sends or receives first, and nobody barges: a message that comes while
//! somebody waits for it is put into that one's hands. `try_…`, unbounded `send` and the drop of
//! either end never switch to another thread. All other calls on channels are switch points, also
//! if there is nothing to wait for, so a loop over a channel that is always ready shares its
//! worker.
//!
//! # Cancellation
//!
//! A cancellation ends a wait by unwinding. The message is with exactly one side then: a sender
//! that is unwound has not sent it and drops it, and a receiver takes none along.
//!
//! # Where it differs from crossbeam-channel
//!
//! - At capacity 0, [`Receiver::try_recv`], and `recv_timeout` when its time is over, do not meet a
//!   sender that waits in a select: that one writes its message only when it is chosen, and these
//!   calls must not wait for it.
//! - If one of two selects that have met at capacity 0 has gone before its operation is complete
//!   (by a panic, or a cancellation), the other is none the worse: who receives looks on for
//!   another message, and the message of one who sends lies in the channel for the next receiver. A
//!   [`SelectedOperation`] that is dropped while its thread unwinds does not panic again.
//! - What lies in a channel when its last receiver goes is dropped at once, also if it is bounded;
//!   if destructors panic, the others still run.
//! - A select that finds nothing and must not wait has looked at all its channels at one moment.
//! - A bounded channel takes memory as it is filled: its capacity may be as large as `usize::MAX`.

pub mod broadcast;
mod buffer;
mod errors;
mod future;
mod iter;
mod macros;
#[cfg(all(loom, test))]
mod models;
pub mod oneshot;
mod promises;
mod receiver;
mod select;
mod sender;
mod shared;
mod state;
mod timer;
mod wait;
mod waiter;
pub mod watch;
mod watched;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;

pub use errors::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
    SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use future::{RecvFuture, SendFuture};
pub use iter::{IntoIter, Iter, TryIter};
pub use receiver::Receiver;
pub use select::{Select, SelectedOperation};
pub use sender::Sender;

#[doc(inline)]
pub use crate::{__select as select, __select_biased as select_biased};

use receiver::{Source, Timed};
use shared::Shared;
use timer::Timer;

/// What `select!` expands to. No part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use super::select::{Arm, select_fixed, select_fixed_timeout, try_select_fixed};
}

/// Makes a channel with room for `cap` messages.
///
/// With a capacity of 0 there is no room: a message goes from hand to hand when a sender and a
/// receiver are there at the same time. Memory is taken as the channel is filled.
///
/// # Units
///
/// Messages, up to `usize::MAX`, which is as good as unbounded.
///
/// # Examples
///
/// ```
/// use sylvan::channel::{TrySendError, bounded};
///
/// let (sender, receiver) = bounded(1);
/// sender.send(1).unwrap();
/// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
#[must_use]
pub fn bounded<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    make(Some(cap))
}

/// Makes a channel on which sending never waits.
///
/// # Examples
///
/// ```
/// use sylvan::channel::unbounded;
///
/// let (sender, receiver) = unbounded();
/// for number in 0..1000 {
///     sender.send(number).unwrap();
/// }
/// assert_eq!(receiver.len(), 1000);
/// ```
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    make(None)
}

fn make<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = Shared::make(capacity);
    (Sender { shared: sender }, Receiver { source: Source::Channel(receiver) })
}

/// Returns a receiver that gets one message, when `duration` is over: that instant.
///
/// Nothing runs behind it. A duration that no clock will ever show brings no message. In a seeded
/// run the clock is the run's.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sylvan::channel::{after, select, unbounded};
///
/// let (_sender, receiver) = unbounded::<i32>();
/// select! {
///     recv(receiver) -> _ => unreachable!("nobody sends"),
///     recv(after(Duration::from_millis(1))) -> instant => assert!(instant.is_ok()),
/// }
/// ```
#[must_use]
pub fn after(duration: Duration) -> Receiver<Instant> {
    of_timer(clock::deadline_in(duration), None)
}

/// Returns a receiver that gets one message, at `when`: that instant. See [`after`].
#[must_use]
pub fn at(when: Instant) -> Receiver<Instant> {
    of_timer(Some(when), None)
}

/// Returns a receiver that gets a message each time when `duration` is over: the instant when it
/// was due. See [`after`].
///
/// The next one is due `duration` after the last one was received, or due if nobody was late; what
/// is missed is left out.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sylvan::channel::tick;
///
/// let ticks = tick(Duration::from_millis(1));
/// let (first, second) = (ticks.recv().unwrap(), ticks.recv().unwrap());
/// assert!(second - first >= Duration::from_millis(1));
/// ```
#[must_use]
pub fn tick(duration: Duration) -> Receiver<Instant> {
    of_timer(clock::deadline_in(duration), Some(duration))
}

fn of_timer(first: Option<Instant>, period: Option<Duration>) -> Receiver<Instant> {
    let Some(first) = first else { return never() };
    let timed = Timed { timer: Timer::new(first, period), message: std::convert::identity };
    Receiver { source: Source::Timer(Arc::new(timed)) }
}

/// Returns a receiver that never gets a message, and is never disconnected.
///
/// # Examples
///
/// ```
/// use sylvan::channel::{never, select, unbounded};
///
/// let (sender, receiver) = unbounded();
/// sender.send(1).unwrap();
/// let other: Option<sylvan::channel::Receiver<i32>> = None;
/// select! {
///     recv(receiver) -> message => assert_eq!(message, Ok(1)),
///     recv(other.as_ref().unwrap_or(&never())) -> _ => unreachable!("there is none"),
/// }
/// ```
#[must_use]
pub const fn never<T>() -> Receiver<T> {
    Receiver { source: Source::Never }
}
