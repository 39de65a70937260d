//! Waiting for one of several operations, on channels of any kinds.
//!
//! A select *chooses* an operation that can go on, and *completes* it afterwards: that is when the
//! message is written or read. What stands between the two is a [`Token`]: room that is kept, or
//! the number of a promise in the channel. It is a mere value, so a [`SelectedOperation`] can be
//! moved, forgotten or dropped without harm to the other side.

#[cfg(all(loom, test))]
mod models;
mod run;

use std::fmt;
use std::mem;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::channel::errors::{
    ReadyTimeoutError, RecvError, SelectTimeoutError, SendError, TryReadyError, TrySelectError,
};
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::channel::waiter::{Kind, Outcome, Waiter};
use crate::clock;
use crate::task::{Header, Reason, WaitKind};

use run::Until;
pub use run::{Arm, select_fixed, select_fixed_timeout, try_select_fixed};

/// What a select has chosen.
#[derive(Clone, Copy)]
pub(super) enum Token {
    /// To learn that the other side has gone.
    Disconnected,
    /// To send into room that is kept.
    Reserved,
    /// To keep or redeem the promise of this number.
    Promise(usize),
    /// To receive this instant, of a timer.
    Instant(Instant),
}

/// An operation on a channel that a select may choose: the end by which it is done.
pub(super) trait Handle {
    /// Chooses the operation, if it need not wait.
    fn attempt(&self) -> Option<Token>;

    /// Whether the operation need not wait, at the moment.
    fn is_ready(&self) -> bool;

    /// Enters `waiter`, of the thread `me`, unless the operation need not wait any more.
    ///
    /// # Safety
    /// S1: `waiter` stays where it is until it has left.
    /// S2: it has not entered.
    unsafe fn enter(&self, waiter: &Waiter, me: &Header) -> bool;

    /// Takes `waiter` out if it is still in, and gives its outcome if it has one.
    fn leave(&self, waiter: &Waiter) -> Option<Outcome>;

    /// Waits for what would make the operation ready and is to come at once. True: it has come.
    // SUSPENDS
    fn fetch(&self, _deadline: Option<Instant>, _site: &'static Location<'static>) -> bool {
        false
    }

    /// Gives a chosen operation up.
    fn release(&self, token: Token);

    /// When the operation will be ready without anybody's doing.
    fn deadline(&self) -> Option<Instant>;
}

/// Waits for one of several operations on channels, of which a list is made at run time.
///
/// For a list that is known when the program is written, [`select!`](crate::channel::select!) is
/// easier to read. An operation is *ready* if it need not wait; one on a disconnected channel
/// always is, for it fails. Of several that are ready a random one is chosen, each with the same
/// probability, or with [`Select::new_biased`] the first in the list.
///
/// Nothing is allocated for a wait, save by the first one of a list.
///
/// # Examples
///
/// ```
/// use sylvan::channel::{Select, unbounded};
///
/// let channels: Vec<_> = (0..10).map(|_| unbounded::<usize>()).collect();
/// channels[7].0.send(42).unwrap();
///
/// let mut select = Select::new();
/// for (_, receiver) in &channels {
///     select.recv(receiver);
/// }
/// let operation = select.select();
/// let index = operation.index();
/// assert_eq!((index, operation.recv(&channels[index].1)), (7, Ok(42)));
/// ```
pub struct Select<'a> {
    arms: Vec<Arm<'a>>,
    /// Room for those who wait, as many as arms; empty until the first wait.
    waiters: Vec<Waiter>,
    next_index: usize,
    is_biased: bool,
}

// SAFETY: the waiters are used by nobody but a call that has the list for itself. Of the messages
// of a channel such a call on another thread moves some within the channel; to complete an
// operation takes a reference to its end, which crosses threads only if messages may.
unsafe impl Send for Select<'_> {}
// SAFETY: as above; a shared reference can only be cloned and printed.
unsafe impl Sync for Select<'_> {}

// Its waiters stand in lists only while a call has it for itself.
impl Unpin for Select<'_> {}

impl<'a> Select<'a> {
    /// Returns an empty list, of which a random one is chosen.
    #[must_use]
    pub fn new() -> Select<'a> {
        Select { arms: Vec::new(), waiters: Vec::new(), next_index: 0, is_biased: false }
    }

    /// Returns an empty list, of which the first that is ready is chosen.
    #[must_use]
    pub fn new_biased() -> Select<'a> {
        Select { is_biased: true, ..Select::new() }
    }

    /// Adds the operation to send on `sender`, and returns its index.
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(|index| Arm::sending(sender, index))
    }

    /// Adds the operation to receive from `receiver`, and returns its index.
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(|index| Arm::receiving(receiver, index))
    }

    fn add(&mut self, arm: impl FnOnce(usize) -> Arm<'a>) -> usize {
        let index = self.next_index;
        self.next_index += 1;
        self.arms.push(arm(index));
        index
    }

    /// Removes the operation of that index. The others keep theirs.
    ///
    /// # Panics
    ///
    /// If there is no operation of that index.
    pub fn remove(&mut self, index: usize) {
        let place = self.arms.iter().position(|arm| arm.index() == index);
        let Some(place) = place else {
            panic!("no operation has the index {index}; it was never added, or is removed already");
        };
        self.arms.remove(place);
    }

    /// Chooses an operation that is ready. Never switches to another thread.
    ///
    /// # Errors
    ///
    /// If none is ready.
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        let reason = Reason::new(WaitKind::Select, Location::caller());
        self.run(reason, Until::Now).ok_or(TrySelectError)
    }

    /// Chooses an operation, and waits until one is ready.
    ///
    /// # Blocking
    ///
    /// Waits until one of the operations is ready. A cancellation ends the wait, and nothing is
    /// chosen then. Other threads may have their turns in any case. A kernel thread blocks.
    ///
    /// # Panics
    ///
    /// If the list is empty: nothing would ever end the wait.
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        let reason = Reason::new(WaitKind::Select, Location::caller());
        self.run(reason, Until::Deadline(None)).expect("it waits until one is chosen")
    }

    /// Chooses an operation, and waits no longer than `timeout` until one is ready.
    ///
    /// # Blocking
    ///
    /// As [`Select::select`], and no longer than `timeout`. An empty list waits for that time.
    ///
    /// # Errors
    ///
    /// If none was ready in time.
    ///
    /// # Panics
    ///
    /// If the list is empty and no clock will ever show that the time is over.
    #[track_caller]
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        let reason = Reason::new(WaitKind::Select, Location::caller());
        self.run(reason, Until::Deadline(clock::deadline_in(timeout))).ok_or(SelectTimeoutError)
    }

    /// Chooses an operation, and waits no longer than until `deadline` for one that is ready.
    ///
    /// # Blocking
    ///
    /// As [`Select::select_timeout`].
    ///
    /// # Errors
    ///
    /// If none was ready in time.
    #[track_caller]
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        let reason = Reason::new(WaitKind::Select, Location::caller());
        self.run(reason, Until::Deadline(Some(deadline))).ok_or(SelectTimeoutError)
    }

    /// Returns the index of an operation that is ready, without choosing it. Never switches to
    /// another thread.
    ///
    /// When the operation is tried, it may have to wait all the same: others may have come first.
    /// At capacity 0 a sender that waits in a select makes nothing ready here, for
    /// [`Receiver::try_recv`] does not meet it either.
    ///
    /// # Errors
    ///
    /// If none is ready.
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        let reason = Reason::new(WaitKind::Select, Location::caller());
        self.watch(reason, Until::Now).ok_or(TryReadyError)
    }

    /// Waits until an operation is ready, and returns its index.
    ///
    /// When the operation is tried, it may have to wait all the same: others may have come first.
    /// At capacity 0 a sender that waits in a select is chosen by this call, and its message lies
    /// in the channel when it returns.
    ///
    /// # Blocking
    ///
    /// As [`Select::select`].
    ///
    /// # Panics
    ///
    /// If the list is empty: nothing would ever end the wait.
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        let reason = Reason::new(WaitKind::Select, Location::caller());
        self.watch(reason, Until::Deadline(None)).expect("it waits until one is ready")
    }

    /// Waits no longer than `timeout` until an operation is ready, and returns its index.
    ///
    /// # Blocking
    ///
    /// As [`Select::select_timeout`].
    ///
    /// # Errors
    ///
    /// If none was ready in time.
    #[track_caller]
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        let reason = Reason::new(WaitKind::Select, Location::caller());
        self.watch(reason, Until::Deadline(clock::deadline_in(timeout))).ok_or(ReadyTimeoutError)
    }

    /// Waits no longer than until `deadline` for an operation that is ready, and returns its index.
    ///
    /// # Blocking
    ///
    /// As [`Select::select_timeout`].
    ///
    /// # Errors
    ///
    /// If none was ready in time.
    #[track_caller]
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        let reason = Reason::new(WaitKind::Select, Location::caller());
        self.watch(reason, Until::Deadline(Some(deadline))).ok_or(ReadyTimeoutError)
    }

    // SUSPENDS
    fn run(&mut self, reason: Reason, until: Until) -> Option<SelectedOperation<'a>> {
        self.refuse_to_wait_for_nothing(until);
        let Select { arms, waiters, is_biased, .. } = self;
        run::select(arms, |count| room(waiters, count), reason, until, *is_biased)
    }

    // SUSPENDS
    fn watch(&mut self, reason: Reason, until: Until) -> Option<usize> {
        self.refuse_to_wait_for_nothing(until);
        let Select { arms, waiters, is_biased, .. } = self;
        run::watch(arms, |count| room(waiters, count), reason, until, *is_biased)
    }

    fn refuse_to_wait_for_nothing(&self, until: Until) {
        let for_ever = matches!(until, Until::Deadline(None));
        assert!(!(for_ever && self.arms.is_empty()), "{EMPTY}");
    }
}

/// Room for as many waiters as a list has arms.
fn room(waiters: &mut Vec<Waiter>, count: usize) -> &[Waiter] {
    waiters.resize_with(count, || Waiter::new(Kind::Selecting));
    waiters
}

const EMPTY: &str = "a select without operations would wait for ever; add some, or give a timeout";

impl Clone for Select<'_> {
    fn clone(&self) -> Self {
        Select { arms: self.arms.clone(), waiters: Vec::new(), ..*self }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Select::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

/// An operation that a [`Select`] has chosen, and that has to be completed by
/// [`send`](SelectedOperation::send) or [`recv`](SelectedOperation::recv).
///
/// The other side may wait for that. If it is dropped instead, while the thread unwinds, the
/// operation is given up as if it had not been chosen.
///
/// # Panics
///
/// Its drop panics, unless the thread unwinds already: to forget the operation is a mistake.
#[must_use = "the operation has to be completed by `send` or `recv`"]
pub struct SelectedOperation<'a> {
    arm: Arm<'a>,
    token: Token,
}

impl UnwindSafe for SelectedOperation<'_> {}
impl RefUnwindSafe for SelectedOperation<'_> {}

impl SelectedOperation<'_> {
    /// Returns the index that the operation got when it was added.
    #[must_use]
    pub fn index(&self) -> usize {
        self.arm.index()
    }

    /// Completes the operation to send. Never switches to another thread.
    ///
    /// # Errors
    ///
    /// The message, if all receivers have gone.
    ///
    /// # Panics
    ///
    /// If it is not an operation to send on this channel.
    pub fn send<T>(self, sender: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        assert!(self.arm.is_of_sender(sender), "passed a sender that wasn't selected");
        sender.complete(self.completed(), msg).map_err(SendError)
    }

    /// Completes the operation to receive.
    ///
    /// # Blocking
    ///
    /// Only at capacity 0, if the sender was chosen by a select, too: waits until that one has
    /// written its message. A cancellation ends that wait.
    ///
    /// # Errors
    ///
    /// If there is no message and all senders have gone.
    ///
    /// # Panics
    ///
    /// If it is not an operation to receive from this channel.
    #[track_caller]
    pub fn recv<T>(self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        assert!(self.arm.is_of_receiver(receiver), "passed a receiver that wasn't selected");
        receiver.complete(self.completed(), Location::caller())
    }

    /// The token, which its caller completes.
    fn completed(self) -> Token {
        let token = self.token;
        mem::forget(self);
        token
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        self.arm.release(self.token);
        if !std::thread::panicking() {
            panic!("dropped `SelectedOperation` without completing the operation");
        }
    }
}
