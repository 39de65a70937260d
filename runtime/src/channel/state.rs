//! What a channel's lock guards: messages, those who wait, and every step that changes them.
//!
//! Each method is one step, under the lock. None of them waits, unwinds or runs user code: a
//! message is moved, never dropped or cloned, and whom a step wakes is left in [`Wakes`], to be
//! scheduled when the lock is not held any more.
//!
//! # What holds between steps
//!
//! - Receivers wait only while no message is there, and senders only while there is no room: each
//!   step that brings a message or room gives it to the first who waits for it. So nothing barges,
//!   and whoever is woken has got what it waited for.
//! - Room that a select was promised is taken: `reserved` counts it as if the message were there.
//! - A channel of capacity 0 has no room at all: a message changes sides while both are there. The
//!   one exception is a message that was *put back*, because its receiver had gone in the midst of
//!   that: it lies in front of all others until the next receiver takes it.
//! - Nobody waits any more once the channel is disconnected.

mod chosen;

use std::mem::ManuallyDrop;

use crate::channel::buffer::Buffer;
use crate::channel::promises::{Promise, Promises};
use crate::channel::waiter::{Kind, List, Outcome, Phase, Waiter};
use crate::sched::woken::Woken;
use crate::task::Header;

pub(super) use chosen::Refused;

pub(super) struct State<T> {
    /// `usize::MAX` if there is no bound.
    capacity: usize,
    buffer: Buffer<T>,
    /// Room that selects were promised.
    reserved: usize,
    pub(super) senders: Side,
    pub(super) receivers: Side,
    promises: Promises<T>,
    /// Whether all senders have gone.
    no_senders: bool,
    /// Whether all receivers have gone.
    no_receivers: bool,
}

/// Those who wait on one side.
pub(super) struct Side {
    /// For a message of their own.
    pub(super) waiting: List,
    /// To hear that they need not wait: they take nothing.
    pub(super) watching: List,
}

impl Side {
    /// Takes `waiter` out, if it stands here.
    pub(super) fn leave(&mut self, waiter: &Waiter) {
        if let Phase::Queued = waiter.phase() {
            match waiter.kind() {
                Kind::Watching => self.watching.remove(waiter),
                Kind::Holding(_) | Kind::Selecting => self.waiting.remove(waiter),
            }
        }
    }
}

// SAFETY: CHANNEL-LOCK: the waiters are reached by whoever holds the lock, and messages are sent to
// another thread only if they may be.
unsafe impl<T: Send> Send for State<T> {}

/// Why nothing was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nothing {
    Empty,
    Disconnected,
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// It was sent, and its place is empty.
    Yes,
    /// There was no room.
    Full,
    Disconnected,
}

/// Whom a step has woken.
pub(super) struct Wakes {
    /// One whose wait has ended, one more for the room that it leaves, and who gets that message.
    /// Each is scheduled, so that none is left to be dropped.
    woken: ManuallyDrop<[Option<Woken>; 3]>,
    count: usize,
    /// Whether those who watch, on either side, may have something to look at.
    pub(super) is_watched: bool,
}

impl Wakes {
    #[inline(always)]
    pub(super) const fn new() -> Wakes {
        Wakes { woken: ManuallyDrop::new([const { None }; 3]), count: 0, is_watched: false }
    }

    #[inline]
    fn add(&mut self, woken: Woken) {
        self.woken[self.count] = Some(woken);
        self.count += 1;
    }

    /// Carries out what is owed; no lock is held.
    #[inline]
    pub(super) fn schedule(&mut self) {
        if self.count == 1
            && let Some(woken) = self.woken[0].take()
        {
            self.count = 0;
            return woken.schedule();
        }
        if self.count > 0 {
            self.count = 0;
            Woken::schedule_all(&mut *self.woken);
        }
    }
}

impl<T> State<T> {
    pub(super) const fn new(capacity: usize) -> State<T> {
        State {
            capacity,
            buffer: Buffer::new(),
            reserved: 0,
            senders: Side { waiting: List::new(), watching: List::new() },
            receivers: Side { waiting: List::new(), watching: List::new() },
            promises: Promises::new(),
            no_senders: false,
            no_receivers: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    fn is_disconnected(&self) -> bool {
        self.no_senders || self.no_receivers
    }

    fn has_room(&self) -> bool {
        self.buffer.len() + self.reserved < self.capacity
    }

    /// Whether there is something to be received without a wait.
    pub(super) fn has_message(&self) -> bool {
        let holds = |sender: &Waiter| matches!(sender.kind(), Kind::Holding(_));
        self.buffer.len() > 0 || self.is_disconnected() || self.senders.waiting.iter().any(holds)
    }

    /// Whether a select's receive need not wait. `me` does not meet itself.
    pub(super) fn is_readable(&self, me: *const Header) -> bool {
        self.buffer.len() > 0
            || self.is_disconnected()
            || self.senders.waiting.iter().any(|sender| !sender.is_of(me))
    }

    /// Whether a select's send need not wait. `me` does not meet itself.
    pub(super) fn is_writable(&self, me: *const Header) -> bool {
        self.has_room()
            || self.is_disconnected()
            || self.receivers.waiting.iter().any(|receiver| !receiver.is_of(me))
    }

    pub(super) fn is_sender_waiting(&self) -> bool {
        !self.senders.waiting.is_empty()
    }

    /// Whether a message goes into the buffer and concerns nobody else.
    #[inline(always)]
    pub(super) fn takes_quietly(&self) -> bool {
        let receivers = &self.receivers;
        self.has_room()
            && receivers.waiting.is_empty()
            && receivers.watching.is_empty()
            && !self.is_disconnected()
    }

    /// Sends a message that concerns nobody else.
    #[inline(always)]
    pub(super) fn send_quietly(&mut self, message: T) {
        self.buffer.push_back(message, self.capacity);
    }

    /// Receives a message if there is one and nobody else is concerned.
    #[inline(always)]
    pub(super) fn receive_quietly(&mut self) -> Option<T> {
        let senders = &self.senders;
        if senders.waiting.is_empty() && senders.watching.is_empty() {
            return self.buffer.pop_front();
        }
        None
    }

    /// Sends `message` if that needs no wait. It is there, and is taken if it was sent.
    #[inline]
    pub(super) fn send(&mut self, message: &mut Option<T>, wakes: &mut Wakes) -> Sent {
        if self.is_disconnected() {
            return Sent::Disconnected;
        }
        if self.give(message, wakes) {
            return Sent::Yes;
        }
        if !self.has_room() {
            return Sent::Full;
        }
        self.push(message, wakes);
        Sent::Yes
    }

    /// Receives a message if that needs no wait.
    #[inline]
    pub(super) fn receive(&mut self, wakes: &mut Wakes) -> Result<T, Nothing> {
        if let Some(message) = self.buffer.pop_front() {
            self.note_room(wakes);
            return Ok(message);
        }
        if let Some(message) = self.take_from_sender(wakes) {
            return Ok(message);
        }
        Err(if self.is_disconnected() { Nothing::Disconnected } else { Nothing::Empty })
    }

    /// Enters a receiver that found nothing. True: somebody watches who can go on by that.
    ///
    /// # Safety
    /// S1, S2: as of [`List::enter`].
    #[inline]
    pub(super) unsafe fn enter_receiver(&mut self, receiver: &Waiter, in_front: bool) -> bool {
        // SAFETY: S1, S2 are ours of the same numbers.
        unsafe { self.receivers.waiting.enter(receiver, in_front) };
        !self.senders.watching.is_empty()
    }

    /// Enters a sender that found no room. True: somebody watches who can go on by that.
    ///
    /// # Safety
    /// S1, S2: as of [`List::enter`].
    #[inline]
    pub(super) unsafe fn enter_sender(&mut self, sender: &Waiter) -> bool {
        // SAFETY: S1, S2 are ours of the same numbers.
        unsafe { self.senders.waiting.enter(sender, false) };
        !self.receivers.watching.is_empty()
    }

    /// Takes a receiver out whose wait has not ended as it wished, or whose outcome nobody will
    /// look at, and passes on what it was given. Gives it if there is nobody else who could
    /// receive it.
    pub(super) fn leave_receiver(&mut self, receiver: &Waiter, wakes: &mut Wakes) -> Option<T> {
        match receiver.phase() {
            Phase::Outside => None,
            Phase::Queued => {
                self.receivers.leave(receiver);
                None
            }
            Phase::Promised(number) => {
                receiver.set_phase(Phase::Outside);
                *self.promises.at(number) = Promise::Withdrawn;
                None
            }
            Phase::Ended(outcome) => {
                receiver.set_phase(Phase::Outside);
                match (outcome, receiver.kind()) {
                    (Outcome::Done, Kind::Holding(place)) => {
                        // SAFETY: the caller does not use its place any more.
                        let mut message = unsafe { &mut *place.cast::<Option<T>>() }.take();
                        self.put_back(&mut message, wakes);
                        message
                    }
                    (Outcome::Promised(number), _) => self.withdraw(number, wakes),
                    _ => None,
                }
            }
        }
    }

    /// Disconnects the channel, for its last sender has gone. Those who wait are still to be woken.
    pub(super) fn end_sending(&mut self) {
        self.no_senders = true;
    }

    /// The same for the last receiver. Gives the messages that nobody will receive, to be dropped
    /// without the lock.
    pub(super) fn end_receiving(&mut self) -> Buffer<T> {
        self.no_receivers = true;
        std::mem::replace(&mut self.buffer, Buffer::new())
    }

    /// Wakes some who wait, for the channel is disconnected. False: nobody was left.
    pub(super) fn wake_disconnected(&mut self, batch: &mut [Option<Woken>]) -> bool {
        for place in &mut *batch {
            while place.is_none() {
                let first = self.senders.waiting.pop().or_else(|| self.receivers.waiting.pop());
                *place = match first {
                    Some(waiter) => waiter.end(Outcome::Disconnected),
                    None if self.no_senders => match self.break_promise() {
                        Some(receiver) => receiver.end(Outcome::Again),
                        None => return false,
                    },
                    None => return false,
                };
            }
        }
        true
    }

    /// Gives `message` to the first receiver that waits. False: there is none.
    #[inline]
    fn give(&mut self, message: &mut Option<T>, wakes: &mut Wakes) -> bool {
        while let Some(receiver) = self.receivers.waiting.pop() {
            let woken = match receiver.kind() {
                Kind::Holding(place) => hand(receiver, place, message),
                _ => self.deliver_to_select(receiver, message),
            };
            if let Some(woken) = woken {
                wakes.add(woken);
                return true;
            }
        }
        false
    }

    /// Takes the message of the first sender that waits with one at hand.
    #[inline]
    fn take_from_sender(&mut self, wakes: &mut Wakes) -> Option<T> {
        if self.senders.waiting.is_empty() {
            return None;
        }
        for sender in self.senders.waiting.iter() {
            if let Kind::Holding(place) = sender.kind() {
                self.senders.waiting.remove(sender);
                if let Some(message) = take_message(sender, place, wakes) {
                    return Some(message);
                }
            }
        }
        None
    }

    /// Appends `message`, for which there is room.
    fn push(&mut self, message: &mut Option<T>, wakes: &mut Wakes) {
        if let Some(message) = message.take() {
            self.buffer.push_back(message, self.capacity);
        }
        wakes.is_watched |= !self.receivers.watching.is_empty();
    }

    /// Gives the room for one message, if there is any, to the first sender that waits.
    #[inline]
    fn note_room(&mut self, wakes: &mut Wakes) {
        if !self.senders.waiting.is_empty() {
            self.admit_sender(wakes);
        }
        wakes.is_watched |= !self.senders.watching.is_empty();
    }

    fn admit_sender(&mut self, wakes: &mut Wakes) {
        while self.has_room()
            && let Some(sender) = self.senders.waiting.pop()
        {
            if let Kind::Holding(place) = sender.kind() {
                let mut message = take_message(sender, place, wakes);
                if message.is_some() {
                    if !self.give(&mut message, wakes) {
                        self.push(&mut message, wakes);
                    }
                    return;
                }
            } else {
                self.reserved += 1;
                if let Some(woken) = sender.end(Outcome::Reserved) {
                    return wakes.add(woken);
                }
                self.reserved -= 1;
            }
        }
    }

    /// Gives a message that has lost its receiver to the next one, or puts it in front of all
    /// others. It is left where it is if there is nobody who could receive it.
    pub(super) fn put_back(&mut self, message: &mut Option<T>, wakes: &mut Wakes) {
        if self.no_receivers || self.give(message, wakes) {
            return;
        }
        if let Some(message) = message.take() {
            self.buffer.push_front(message);
        }
        wakes.is_watched |= !self.receivers.watching.is_empty();
    }
}

/// Hands `message` to a receiver that has been taken out. `None`: its wait has ended otherwise, and
/// the message is where it was.
#[inline]
fn hand<T>(receiver: &Waiter, place: *mut (), message: &mut Option<T>) -> Option<Woken> {
    // SAFETY: CHANNEL-LOCK: the place is there as long as its owner may wait.
    let place = unsafe { &mut *place.cast::<Option<T>>() };
    *place = message.take();
    let place: *mut Option<T> = place;
    let woken = receiver.end(Outcome::Done);
    if woken.is_none() {
        // SAFETY: the wait has ended otherwise, so its owner has to come through the lock first.
        *message = unsafe { &mut *place }.take();
    }
    woken
}

/// Takes the message out of `place`, of a sender that has been taken out, unless its wait has ended
/// otherwise.
#[inline]
fn take_message<T>(sender: &Waiter, place: *mut (), wakes: &mut Wakes) -> Option<T> {
    let place: *mut Option<T> = place.cast();
    // SAFETY: CHANNEL-LOCK: the place is there as long as its owner may wait.
    let message = unsafe { &mut *place }.take();
    match sender.end(Outcome::Done) {
        Some(woken) => {
            wakes.add(woken);
            message
        }
        None => {
            // SAFETY: the wait has ended otherwise, so its owner has to come through the lock
            // first.
            let place = unsafe { &mut *place };
            *place = message;
            None
        }
    }
}
