//! Sending and receiving with a wait: for room, for a message, for the other side.
//!
//! The step that finds that it has to wait enters the waiter under the same lock, so nothing can
//! come in between; the wait itself is at the door, like any other. A wait that ends otherwise than
//! by a wake, and be it by unwinding, leaves the list by the lock again. What the waiter then finds
//! in its place was not taken, or was not given: the state word of the thread has decided that.
//! Whoever has no time left looks once more, for its turn may have come late.

mod poll;

use std::cell::{Cell, UnsafeCell};
use std::panic::Location;
use std::ptr;
use std::time::Instant;

use crate::channel::shared::{Guard, Shared};
use crate::channel::state::{Nothing, Refused, Sent, State, Wakes};
use crate::channel::waiter::{Kind, Outcome, Waiter};
use crate::clock;
use crate::sched::door::{self, Pending};
use crate::sched::linger;
use crate::task::{Cause, Reason, Unlink, WaitKind};

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

/// One who waits with a place for a message: to receive it into, or to send it from. Its drop
/// leaves.
#[repr(C)]
pub(super) struct Waiting<'a, T> {
    waiter: Waiter,
    /// Its own as long as the waiter stands outside; else it is guarded by the channel's lock.
    place: UnsafeCell<Option<T>>,
    shared: &'a Shared<T>,
    sends: bool,
    /// Whether others may know of it. Its own thread's alone.
    entered: Cell<bool>,
}

impl<'a, T> Waiting<'a, T> {
    /// One who receives.
    #[inline]
    pub(super) fn to_receive(shared: &'a Shared<T>) -> Waiting<'a, T> {
        Waiting::new(shared, false, None)
    }

    /// One who sends `message`.
    #[inline]
    pub(super) fn to_send(shared: &'a Shared<T>, message: T) -> Waiting<'a, T> {
        Waiting::new(shared, true, Some(message))
    }

    #[inline]
    fn new(shared: &'a Shared<T>, sends: bool, message: Option<T>) -> Waiting<'a, T> {
        Waiting {
            shared,
            sends,
            waiter: Waiter::new(Kind::Watching),
            place: UnsafeCell::new(message),
            entered: Cell::new(false),
        }
    }

    /// Begins a wait of the current thread, as which it enters the list, and unlocks that.
    ///
    /// # Safety
    /// S1: it does not move any more until it is dropped.
    /// S2: it has not entered, or its wait is over.
    #[inline]
    unsafe fn enter(&self, mut state: Guard<'_, T>, in_front: bool) -> Pending {
        let pending = door::begin_in_call();
        self.waiter.set_thread(pending.header(), pending.sequence());
        // SAFETY: S1, S2: ours.
        let is_watched = unsafe { self.enter_as_it_is(&mut state, in_front) };
        drop(state);
        if is_watched {
            self.shared.wake_watchers();
        }
        pending
    }

    /// Enters the list; the waiter knows its thread or task. True: somebody watches who can go on
    /// by that.
    ///
    /// # Safety
    /// S1, S2: as of [`Waiting::enter`].
    #[inline]
    unsafe fn enter_as_it_is(&self, state: &mut State<T>, in_front: bool) -> bool {
        self.waiter.set_kind(Kind::Holding(self.place.get().cast()));
        self.entered.set(true);
        if self.sends {
            // SAFETY: S1, S2: ours; its drop takes it out unless it was taken out before.
            unsafe { state.enter_sender(&self.waiter) }
        } else {
            // SAFETY: as above.
            unsafe { state.enter_receiver(&self.waiter, in_front) }
        }
    }

    /// Waits at the door. `None`: the wait has ended without a wake, and the drop leaves.
    // SUSPENDS
    fn wait(&self, pending: Pending, reason: Reason, deadline: Option<Instant>) -> Option<Outcome> {
        let unlink = Unlink { waiter: ptr::from_ref(self).cast(), call: leave_leaked::<T> };
        linger::linger(&pending);
        if pending.wait_in_queue(reason, deadline, Some(unlink)) != Cause::Woken {
            return None;
        }
        self.entered.set(false);
        self.waiter.outcome()
    }

    /// Does something with its place, which is its own, for the waiter stands outside.
    fn with_place<R>(&self, f: impl FnOnce(&mut Option<T>) -> R) -> R {
        assert!(!self.entered.get(), "the place is the channel's as long as it waits");
        // SAFETY: nobody else knows of the waiter, and no caller's `f` comes here again.
        f(unsafe { &mut *self.place.get() })
    }

    /// Takes what is in its place.
    fn message(&self) -> Option<T> {
        self.with_place(Option::take)
    }

    /// Sends its message, if that needs no wait.
    fn try_to_send(&self, state: &mut State<T>, wakes: &mut Wakes) -> Sent {
        self.with_place(|message| state.send(message, wakes))
    }

    /// Leaves. Gives a message that was passed on to it if nobody else could receive it.
    fn leave(&self, state: &mut State<T>, wakes: &mut Wakes) -> Option<T> {
        self.entered.set(false);
        if !self.sends {
            return state.leave_receiver(&self.waiter, wakes);
        }
        state.senders.leave(&self.waiter);
        None
    }

    /// Leaves as one who will not come back.
    fn leave_for_good(&self) -> Option<T> {
        let mut wakes = Wakes::new();
        let mut state = self.shared.lock();
        let left = self.leave(&mut state, &mut wakes);
        self.shared.unlock(state, &mut wakes);
        left
    }

    /// Leaves, for the time is over; but its turn may have come late, and a message meanwhile.
    fn receive_late(&self) -> Result<T, NotReceived> {
        let mut wakes = Wakes::new();
        let mut state = self.shared.lock();
        let mut received = self.leave(&mut state, &mut wakes).ok_or(Nothing::Empty);
        if received.is_err() {
            received = state.receive(&mut wakes);
        }
        self.shared.unlock(state, &mut wakes);
        received.map_err(|nothing| match nothing {
            Nothing::Empty => NotReceived::TimedOut,
            Nothing::Disconnected => NotReceived::Disconnected,
        })
    }

    /// The same for one who sends: there may be room by now.
    fn send_late(&self) -> Sent {
        let mut wakes = Wakes::new();
        let mut state = self.shared.lock();
        self.leave(&mut state, &mut wakes);
        let sent = self.try_to_send(&mut state, &mut wakes);
        self.shared.unlock(state, &mut wakes);
        sent
    }

    /// Takes the message of the promise `number`, or enters it; `Ok(None)` then.
    ///
    /// # Safety
    /// S1, S2: as of [`Waiting::enter`].
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
        let mut state = self.shared.lock();
        // SAFETY: S1: it is in the caller's frame. S2: its wait is over.
        match unsafe { self.redeem_as_it_is(&mut state, number) } {
            Ok(None) => (),
            Ok(message) => return Ok(message),
            Err(Refused) => return Ok(None),
        }
        let pending = door::begin_in_call();
        self.waiter.set_thread(pending.header(), pending.sequence());
        drop(state);
        match self.wait(pending, reason, deadline) {
            Some(Outcome::Done) => Ok(self.message()),
            Some(_) => Ok(None),
            None => Err(NotReceived::TimedOut),
        }
    }
}

impl<T> Drop for Waiting<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.entered.get() {
            drop(self.leave_for_good());
        }
    }
}

/// [`Unlink`] for one who waits.
///
/// # Safety
/// S1: `waiting` is a [`Waiting`] of `T` on the stack of a thread that is leaked in its wait.
unsafe fn leave_leaked<T>(waiting: *const ()) {
    // SAFETY: S1: it lives, and its thread never goes on.
    let waiting = unsafe { &*waiting.cast::<Waiting<'_, T>>() };
    // Whatever its destructor needs, it would be run in the midst of a shutdown.
    std::mem::forget(waiting.leave_for_good());
}

impl<T> Shared<T> {
    /// Sends `message`, and waits for room.
    // SUSPENDS
    #[inline]
    pub(super) fn send(
        &self,
        message: T,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Result<(), Unsent<T>> {
        match self.capacity() {
            Some(_) => door::switch_point(),
            None => door::charge(),
        }
        let mut state = self.lock();
        if state.takes_quietly() {
            state.send_quietly(message);
            return Ok(());
        }
        self.send_in_full(state, message, deadline, site)
    }

    // SUSPENDS
    #[inline(never)]
    fn send_in_full(
        &self,
        mut state: Guard<'_, T>,
        message: T,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Result<(), Unsent<T>> {
        let (mut wakes, mut message) = (Wakes::new(), Some(message));
        let sent = state.send(&mut message, &mut wakes);
        match (sent, message) {
            (Sent::Full, Some(message)) => self.send_waiting(state, message, deadline, site),
            (Sent::Disconnected, Some(message)) => Err(Unsent::Disconnected(message)),
            _ => {
                self.unlock(state, &mut wakes);
                Ok(())
            }
        }
    }

    // SUSPENDS
    fn send_waiting(
        &self,
        state: Guard<'_, T>,
        message: T,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Result<(), Unsent<T>> {
        let sending = Waiting::to_send(self, message);
        // SAFETY: S1: it stays in this frame. S2: it is new.
        let pending = unsafe { sending.enter(state, false) };
        let sent = match sending.wait(pending, self.reason(WaitKind::Send, site), deadline) {
            Some(Outcome::Done) => return Ok(()),
            Some(_) => Sent::Disconnected,
            None => sending.send_late(),
        };
        match (sent, sending.message()) {
            (Sent::Full, Some(message)) => Err(Unsent::TimedOut(message)),
            (Sent::Disconnected, Some(message)) => Err(Unsent::Disconnected(message)),
            _ => Ok(()),
        }
    }

    /// Receives a message, and waits for one.
    // SUSPENDS
    #[inline]
    pub(super) fn receive(
        &self,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Result<T, NotReceived> {
        door::switch_point();
        let mut state = self.lock();
        match state.receive_quietly() {
            Some(message) => Ok(message),
            None => self.receive_in_full(state, deadline, site),
        }
    }

    // SUSPENDS
    #[inline(never)]
    fn receive_in_full<'a>(
        &'a self,
        mut state: Guard<'a, T>,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Result<T, NotReceived> {
        let mut wakes = Wakes::new();
        match state.receive(&mut wakes) {
            Ok(message) => {
                self.unlock(state, &mut wakes);
                Ok(message)
            }
            Err(Nothing::Disconnected) => Err(NotReceived::Disconnected),
            Err(Nothing::Empty) => self.receive_waiting(state, deadline, site),
        }
    }

    // SUSPENDS
    fn receive_waiting<'a>(
        &'a self,
        mut state: Guard<'a, T>,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> Result<T, NotReceived> {
        let reason = self.reason(WaitKind::Receive, site);
        let receiving = Waiting::to_receive(self);
        let mut in_front = false;
        loop {
            let mut wakes = Wakes::new();
            let mut chosen = None;
            if state.is_sender_waiting() && deadline.is_none_or(|at| at > clock::now()) {
                chosen = state.meet_selecting_sender(&mut wakes);
            }
            if chosen.is_some() {
                self.unlock(state, &mut wakes);
            } else {
                // SAFETY: S1: it stays in this frame. S2: it is new, or its wait is over.
                let pending = unsafe { receiving.enter(state, in_front) };
                match receiving.wait(pending, reason, deadline) {
                    Some(Outcome::Done) => {
                        return receiving.message().ok_or(NotReceived::Disconnected);
                    }
                    Some(Outcome::Disconnected) => return Err(NotReceived::Disconnected),
                    Some(Outcome::Promised(number)) => chosen = Some(number),
                    Some(_) => (),
                    None => return receiving.receive_late(),
                }
            }
            if let Some(number) = chosen {
                match receiving.redeem(number, reason, deadline) {
                    Ok(Some(message)) => return Ok(message),
                    Ok(None) => (),
                    Err(_) => return receiving.receive_late(),
                }
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
    pub(super) fn receive_promised(
        &self,
        number: usize,
        site: &'static Location<'static>,
    ) -> Option<T> {
        let kept = self.lock().redeem_kept(number);
        if kept.is_some() {
            return kept;
        }
        let reason = self.reason(WaitKind::Receive, site);
        Waiting::to_receive(self).redeem(number, reason, None).unwrap_or_default()
    }

    /// Makes a message of a select that waits to send lie in the channel, for one who would receive
    /// it without a wait: waits until that select has written it. True: there may be one.
    // SUSPENDS
    pub(super) fn fetch(
        &self,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> bool {
        let mut wakes = Wakes::new();
        let mut state = self.lock();
        // What has come since the caller looked comes before what a select has yet to send.
        if state.has_message() {
            return true;
        }
        let chosen = state.meet_selecting_sender(&mut wakes);
        self.unlock(state, &mut wakes);
        let Some(number) = chosen else { return false };
        let reason = self.reason(WaitKind::Receive, site);
        let Ok(Some(message)) = Waiting::to_receive(self).redeem(number, reason, deadline) else {
            return false;
        };
        let mut message = Some(message);
        let mut state = self.lock();
        state.put_back(&mut message, &mut wakes);
        self.unlock(state, &mut wakes);
        true
    }

    fn reason(&self, kind: WaitKind, site: &'static Location<'static>) -> Reason {
        Reason { object: self.address().addr(), ..Reason::new(kind, site) }
    }
}
