//! Sending and receiving with a wait: for room, for a message, for the other side.
//!
//! The step that finds that it has to wait enters the waiter under the same lock, so nothing can
//! come in between; the wait itself is at the door, like any other. A wait that ends otherwise than
//! by a wake, and be it by unwinding, leaves the list by the lock again. What the waiter then finds
//! in its place was not taken, or was not given: the state word of the thread has decided that.

mod poll;

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Instant;

use crate::channel::select::Token;
use crate::channel::shared::{Guard, Shared};
use crate::channel::state::{NotSent, Nothing, Refused, State, Wakes};
use crate::channel::waiter::{Kind, Outcome, Waiter};
use crate::clock;
use crate::sched::door::{self, Pending};
use crate::task::{Cause, Reason, Unlink};

/// Why a wait to receive has ended without a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotReceived {
    TimedOut,
    Disconnected,
}

/// Why a wait to send has ended with the message still here.
pub(super) enum Unsent<T> {
    TimedOut(T),
    Disconnected(T),
}

/// A receiver that waits, with the place for its message. Its drop leaves.
pub(super) struct Receiving<'a, T> {
    shared: &'a Shared<T>,
    waiter: Waiter,
    place: UnsafeCell<MaybeUninit<T>>,
    /// Whether others may know of it. Its own thread's alone.
    entered: Cell<bool>,
}

impl<'a, T> Receiving<'a, T> {
    pub(super) fn new(shared: &'a Shared<T>) -> Receiving<'a, T> {
        Receiving {
            shared,
            waiter: Waiter::new(Kind::Watching),
            place: UnsafeCell::new(MaybeUninit::uninit()),
            entered: Cell::new(false),
        }
    }

    /// Enters the list of those who wait, and unlocks it.
    ///
    /// # Safety
    /// S1: it does not move any more until it is dropped.
    /// S2: it has not entered, or its wait is over.
    unsafe fn enter(&self, mut state: Guard<'_, T>, in_front: bool, wakes: &mut Wakes) -> Pending {
        let pending = door::begin_in_call();
        self.waiter.set_thread(pending.header(), pending.sequence());
        // SAFETY: S1, S2: ours; its drop takes it out unless it was taken out before.
        unsafe { self.enter_as_it_is(&mut state, in_front, wakes) };
        self.shared.unlock(state, wakes);
        pending
    }

    /// The same for one whose waiter knows its thread or task.
    ///
    /// # Safety
    /// S1, S2: as of [`Receiving::enter`].
    unsafe fn enter_as_it_is(&self, state: &mut State<T>, in_front: bool, wakes: &mut Wakes) {
        self.waiter.set_kind(Kind::Holding(self.place.get().cast()));
        self.entered.set(true);
        // SAFETY: S1, S2: ours; its drop takes it out unless it was taken out before.
        unsafe { state.enter_receiver(&self.waiter, in_front, wakes) };
    }

    /// Waits at the door. `None`: the wait has ended without a wake, and the drop leaves.
    // SUSPENDS
    fn wait(&self, pending: Pending, reason: Reason, deadline: Option<Instant>) -> Option<Outcome> {
        let unlink = Unlink { waiter: ptr::from_ref(self).cast(), call: leave_leaked::<T> };
        let reason = Reason { object: self.shared.address().addr(), ..reason };
        if pending.wait_in_queue(reason, deadline, Some(unlink)) != Cause::Woken {
            return None;
        }
        self.entered.set(false);
        self.waiter.outcome()
    }

    /// Takes the message that the waiter was given.
    ///
    /// # Safety
    /// S1: its outcome was [`Outcome::Done`], and this is the only call after it.
    unsafe fn take(&self) -> T {
        let place: *const MaybeUninit<T> = self.place.get();
        // SAFETY: the place is ours alone again.
        let message = unsafe { place.read() };
        // SAFETY: S1: the message was written there before the wait ended.
        unsafe { message.assume_init() }
    }

    /// Takes the message of the promise `number`, or enters it; `Ok(None)` then.
    ///
    /// # Safety
    /// S1, S2: as of [`Receiving::enter`].
    unsafe fn redeem_as_it_is(
        &self,
        state: &mut State<T>,
        number: usize,
    ) -> Result<Option<T>, Refused> {
        self.waiter.set_kind(Kind::Holding(self.place.get().cast()));
        // SAFETY: S1, S2: ours; its drop takes it out unless it was taken out before.
        let redeemed = unsafe { state.redeem(number, &self.waiter) };
        self.entered.set(matches!(redeemed, Ok(None)));
        redeemed
    }

    /// Waits for the message of the promise `number`. `Ok(None)`: the other side has refused.
    // SUSPENDS
    fn redeem(
        &self,
        number: usize,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<Option<T>, NotReceived> {
        let mut wakes = Wakes::new();
        let mut state = self.shared.lock();
        // SAFETY: S1: it is in the caller's frame. S2: its wait is over.
        match unsafe { self.redeem_as_it_is(&mut state, number) } {
            Ok(Some(message)) => return Ok(Some(message)),
            Ok(None) => (),
            Err(Refused) => return Ok(None),
        }
        let pending = door::begin_in_call();
        self.waiter.set_thread(pending.header(), pending.sequence());
        self.shared.unlock(state, &mut wakes);
        match self.wait(pending, reason, deadline) {
            // SAFETY: S1: as it says, once.
            Some(Outcome::Done) => Ok(Some(unsafe { self.take() })),
            Some(_) => Ok(None),
            None => Err(NotReceived::TimedOut),
        }
    }
}

impl<T> Drop for Receiving<'_, T> {
    fn drop(&mut self) {
        if self.entered.get() {
            let mut wakes = Wakes::new();
            let mut state = self.shared.lock();
            let left = state.leave_receiver(&self.waiter, &mut wakes);
            self.shared.unlock(state, &mut wakes);
            drop(left);
        }
    }
}

/// [`Unlink`] for a receiver.
///
/// # Safety
/// S1: `receiving` is a [`Receiving`] of `T` on the stack of a thread that is leaked in its wait.
unsafe fn leave_leaked<T>(receiving: *const ()) {
    // SAFETY: S1: it lives, and its thread never goes on.
    let receiving = unsafe { &*receiving.cast::<Receiving<'_, T>>() };
    let mut wakes = Wakes::new();
    let mut state = receiving.shared.lock();
    let left = state.leave_receiver(&receiving.waiter, &mut wakes);
    receiving.shared.unlock(state, &mut wakes);
    // Whatever its destructor needs, it would be run in the midst of a shutdown.
    std::mem::forget(left);
}

/// A sender that waits, with its message. Its drop leaves, and drops the message if that is still
/// its own.
pub(super) struct Sending<'a, T> {
    shared: &'a Shared<T>,
    waiter: Waiter,
    place: UnsafeCell<MaybeUninit<T>>,
    /// Whether others may know of it. Its own thread's alone.
    entered: Cell<bool>,
    /// Whether the message is in its place, and its own. Its own thread's alone.
    holds: Cell<bool>,
}

impl<'a, T> Sending<'a, T> {
    pub(super) fn new(shared: &'a Shared<T>, message: T) -> Sending<'a, T> {
        Sending {
            shared,
            waiter: Waiter::new(Kind::Watching),
            place: UnsafeCell::new(MaybeUninit::new(message)),
            entered: Cell::new(false),
            holds: Cell::new(true),
        }
    }

    /// Enters the list of those who wait; its waiter knows its thread or task.
    ///
    /// # Safety
    /// S1, S2: as of [`Receiving::enter`].
    unsafe fn enter(&self, state: &mut State<T>, wakes: &mut Wakes) {
        self.waiter.set_kind(Kind::Holding(self.place.get().cast()));
        self.entered.set(true);
        // SAFETY: S1, S2: ours; its drop takes it out unless it was taken out before.
        unsafe { state.enter_sender(&self.waiter, wakes) };
    }

    /// Leaves the list.
    fn leave(&self) {
        if self.entered.replace(false) {
            self.shared.lock().leave_sender(&self.waiter);
        }
    }

    /// Puts the message into its place.
    fn put(&self, message: T) {
        let place: *mut MaybeUninit<T> = self.place.get();
        // SAFETY: it is in no list, so the place is ours alone.
        unsafe { place.write(MaybeUninit::new(message)) };
        self.holds.set(true);
    }

    /// Takes the message back.
    fn take(&self) -> T {
        assert!(self.holds.replace(false), "a message is sent once");
        let place: *const MaybeUninit<T> = self.place.get();
        // SAFETY: it is in no list, so the place is ours alone.
        let message = unsafe { place.read() };
        // SAFETY: the message is there as long as it holds it.
        unsafe { message.assume_init() }
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        self.leave();
        if self.holds.get() {
            drop(self.take());
        }
    }
}

/// [`Unlink`] for a sender, whose message is leaked with it.
///
/// # Safety
/// S1: `sending` is a [`Sending`] of `T` on the stack of a thread that is leaked in its wait.
unsafe fn leave_leaked_sending<T>(sending: *const ()) {
    // SAFETY: S1: it lives, and its thread never goes on.
    let sending = unsafe { &*sending.cast::<Sending<'_, T>>() };
    sending.leave();
}

impl<T> Shared<T> {
    /// Sends `message`, and waits for room.
    // SUSPENDS
    #[inline]
    pub(super) fn send(
        &self,
        message: T,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<(), Unsent<T>> {
        match self.capacity() {
            Some(_) => door::switch_point(),
            None => door::charge(),
        }
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        match state.send(message, &mut wakes) {
            Ok(()) => {
                self.unlock(state, &mut wakes);
                Ok(())
            }
            Err(NotSent::Disconnected(message)) => Err(Unsent::Disconnected(message)),
            Err(NotSent::Full(message)) => self.send_waiting(state, message, reason, deadline),
        }
    }

    // SUSPENDS
    #[inline(never)]
    fn send_waiting(
        &self,
        mut state: Guard<'_, T>,
        message: T,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<(), Unsent<T>> {
        let mut wakes = Wakes::new();
        let sending = Sending::new(self, message);
        let pending = door::begin_in_call();
        sending.waiter.set_thread(pending.header(), pending.sequence());
        // SAFETY: S1: it stays in this frame. S2: it is new.
        unsafe { sending.enter(&mut state, &mut wakes) };
        self.unlock(state, &mut wakes);
        let waiter = ptr::from_ref(&sending).cast();
        let unlink = Unlink { waiter, call: leave_leaked_sending::<T> };
        let reason = Reason { object: self.address().addr(), ..reason };
        if pending.wait_in_queue(reason, deadline, Some(unlink)) != Cause::Woken {
            sending.leave();
            return Err(Unsent::TimedOut(sending.take()));
        }
        sending.entered.set(false);
        if let Some(Outcome::Done) = sending.waiter.outcome() {
            sending.holds.set(false);
            return Ok(());
        }
        Err(Unsent::Disconnected(sending.take()))
    }

    /// Receives a message, and waits for one.
    // SUSPENDS
    #[inline]
    pub(super) fn receive(
        &self,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<T, NotReceived> {
        door::switch_point();
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        match state.receive(&mut wakes) {
            Ok(message) => {
                self.unlock(state, &mut wakes);
                Ok(message)
            }
            Err(Nothing::Disconnected) => Err(NotReceived::Disconnected),
            Err(Nothing::Empty) => self.receive_waiting(state, reason, deadline),
        }
    }

    // SUSPENDS
    #[inline(never)]
    fn receive_waiting<'a>(
        &'a self,
        mut state: Guard<'a, T>,
        reason: Reason,
        deadline: Option<Instant>,
    ) -> Result<T, NotReceived> {
        let mut wakes = Wakes::new();
        let receiving = Receiving::new(self);
        let mut in_front = false;
        loop {
            let mut chosen = None;
            if state.is_sender_waiting() && deadline.is_none_or(|at| at > clock::now()) {
                chosen = state.meet_selecting_sender(&mut wakes);
            }
            if chosen.is_some() {
                self.unlock(state, &mut wakes);
            } else {
                // SAFETY: S1: it stays in this frame. S2: it is new, or its wait is over.
                let pending = unsafe { receiving.enter(state, in_front, &mut wakes) };
                match receiving.wait(pending, reason, deadline) {
                    // SAFETY: S1: as it says, once.
                    Some(Outcome::Done) => return Ok(unsafe { receiving.take() }),
                    Some(Outcome::Disconnected) => return Err(NotReceived::Disconnected),
                    Some(Outcome::Chosen(Token::Promise(number))) => chosen = Some(number),
                    Some(_) => (),
                    None => return Err(NotReceived::TimedOut),
                }
            }
            if let Some(number) = chosen
                && let Some(message) = receiving.redeem(number, reason, deadline)?
            {
                return Ok(message);
            }
            // Whoever was chosen and then refused was first in the queue.
            in_front = true;
            state = self.lock();
            match state.receive(&mut wakes) {
                Ok(message) => {
                    self.unlock(state, &mut wakes);
                    return Ok(message);
                }
                Err(Nothing::Disconnected) => return Err(NotReceived::Disconnected),
                Err(Nothing::Empty) => (),
            }
        }
    }

    /// Completes the receive of a select by the promise of that number. `None`: it was refused.
    // SUSPENDS
    pub(super) fn receive_promised(&self, number: usize, reason: Reason) -> Option<T> {
        let mut state = self.lock();
        if let Some(message) = state.redeem_kept(number) {
            return Some(message);
        }
        drop(state);
        let receiving = Receiving::new(self);
        receiving.redeem(number, reason, None).unwrap_or_default()
    }
}
