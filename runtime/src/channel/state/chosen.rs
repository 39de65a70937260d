//! The steps of selects: choosing an operation, and completing it or giving it up.
//!
//! Between the two an operation is room that is kept (`reserved`), or a promise; see
//! [`Promises`](crate::channel::promises::Promises). As in all steps the lock is held, and nothing
//! waits or runs user code.

use crate::channel::promises::Promise;
use crate::channel::select::Token;
use crate::channel::state::{Nothing, State, Wakes, hand};
use crate::channel::waiter::{Kind, Outcome, Phase, Waiter};
use crate::sched::woken::Woken;

impl<T> State<T> {
    /// Chooses the receive of a select, if that needs no wait.
    pub(in crate::channel) fn select_receive(&mut self, wakes: &mut Wakes) -> Option<Token> {
        match self.receive(wakes) {
            Ok(message) => Some(Token::Promise(self.promises.add(Promise::Delivered(message)))),
            Err(Nothing::Disconnected) => Some(Token::Disconnected),
            Err(Nothing::Empty) => self.meet_selecting_sender(wakes).map(Token::Promise),
        }
    }

    /// Chooses the send of a select, if that needs no wait.
    pub(in crate::channel) fn select_send(&mut self, wakes: &mut Wakes) -> Option<Token> {
        if self.is_disconnected() {
            return Some(Token::Disconnected);
        }
        if self.has_room() {
            self.reserved += 1;
            return Some(Token::Reserved);
        }
        while let Some(receiver) = self.receivers.waiting.pop() {
            if let Some(number) = self.choose(receiver, wakes) {
                return Some(Token::Promise(number));
            }
        }
        None
    }

    /// Chooses the first sender that waits in a select, and has yet to write its message.
    pub(in crate::channel) fn meet_selecting_sender(&mut self, wakes: &mut Wakes) -> Option<usize> {
        for sender in self.senders.waiting.iter() {
            if let Kind::Selecting = sender.kind() {
                self.senders.waiting.remove(sender);
                let number = self.choose(sender, wakes);
                if number.is_some() {
                    return number;
                }
            }
        }
        None
    }

    /// Ends the wait of `waiter`, which has been taken out, with a promise.
    fn choose(&mut self, waiter: &Waiter, wakes: &mut Wakes) -> Option<usize> {
        let number = self.promises.add(Promise::Open);
        match waiter.end(Outcome::Promised(number)) {
            Some(woken) => {
                wakes.add(woken);
                Some(number)
            }
            None => {
                self.promises.remove(number);
                None
            }
        }
    }

    /// Takes the message of the promise of that number. `Ok(None)`: it is not there yet, and
    /// `receiver` is who waits for it. `Err`: the sender has gone without sending.
    ///
    /// # Safety
    /// S1, S2: as of [`List::enter`].
    pub(in crate::channel) unsafe fn redeem(
        &mut self,
        number: usize,
        receiver: &Waiter,
    ) -> Result<Option<T>, Refused> {
        let no_senders = self.no_senders;
        let promise = self.promises.at(number);
        if let Promise::Open | Promise::Waiting(_) = promise {
            if no_senders {
                // A select that owes a message was forgotten with its sender.
                *promise = Promise::Withdrawn;
                return Err(Refused);
            }
            *promise = Promise::Waiting(receiver);
            receiver.set_phase(Phase::Promised(number));
            return Ok(None);
        }
        match self.promises.remove(number).delivered() {
            Some(message) => Ok(Some(message)),
            None => Err(Refused),
        }
    }

    /// Takes the message of a promise that is kept already, if it is.
    pub(in crate::channel) fn redeem_kept(&mut self, number: usize) -> Option<T> {
        match self.promises.at(number) {
            Promise::Delivered(_) => self.promises.remove(number).delivered(),
            _ => None,
        }
    }

    /// Delivers `message` to a select that waits to receive and has been taken out. `None`: its
    /// wait has ended otherwise, and the message is where it was.
    pub(super) fn deliver_to_select(
        &mut self,
        receiver: &Waiter,
        message: &mut Option<T>,
    ) -> Option<Woken> {
        let number = self.promises.add(Promise::Delivered(message.take()?));
        let woken = receiver.end(Outcome::Promised(number));
        if woken.is_none() {
            *message = self.promises.remove(number).delivered();
        }
        woken
    }

    /// Completes the send of a select. The message is left where it is if nobody can receive it.
    pub(in crate::channel) fn complete_send(
        &mut self,
        token: Token,
        message: &mut Option<T>,
        wakes: &mut Wakes,
    ) {
        match token {
            Token::Reserved => {
                self.reserved -= 1;
                if self.is_disconnected() {
                    return;
                }
                match self.give(message, wakes) {
                    true => self.note_room(wakes),
                    false => self.push(message, wakes),
                }
            }
            Token::Promise(number) => self.keep_promise(number, message, wakes),
            Token::Disconnected | Token::Instant(_) => (),
        }
    }

    /// Takes a receiver out of a promise that nobody will keep, for all senders have gone: a select
    /// that owes a message was forgotten with its sender.
    pub(super) fn break_promise<'a>(&mut self) -> Option<&'a Waiter> {
        let receiver = self.promises.refuse_waiting()?;
        // SAFETY: CHANNEL-LOCK: a waiter leaves its promise under the lock.
        Some(unsafe { &*receiver })
    }

    fn keep_promise(&mut self, number: usize, message: &mut Option<T>, wakes: &mut Wakes) {
        if self.no_receivers {
            // A select that has chosen to receive was forgotten with its receiver.
            self.promises.remove(number);
            return;
        }
        let promise = self.promises.at(number);
        if let Promise::Open = promise
            && let Some(message) = message.take()
        {
            *promise = Promise::Delivered(message);
            return;
        }
        if let Promise::Waiting(receiver) = self.promises.remove(number) {
            // SAFETY: CHANNEL-LOCK: a waiter leaves its promise under the lock.
            let receiver = unsafe { &*receiver };
            if let Kind::Holding(place) = receiver.kind()
                && let Some(woken) = hand(receiver, place, message)
            {
                return wakes.add(woken);
            }
        }
        // The receiver has gone.
        self.put_back(message, wakes);
    }

    /// Gives the operation up that a select has chosen to send by.
    pub(in crate::channel) fn refuse(&mut self, token: Token, wakes: &mut Wakes) {
        let number = match token {
            Token::Reserved => {
                self.reserved -= 1;
                return self.note_room(wakes);
            }
            Token::Promise(number) => number,
            _ => return,
        };
        let promise = self.promises.at(number);
        if let Promise::Open = promise {
            *promise = Promise::Refused;
        } else if let Promise::Waiting(receiver) = self.promises.remove(number) {
            // SAFETY: CHANNEL-LOCK: a waiter leaves its promise under the lock.
            let receiver = unsafe { &*receiver };
            receiver.end(Outcome::Again).into_iter().for_each(|woken| wakes.add(woken));
        }
    }

    /// Gives the operation up that a select has chosen to receive by. Gives the message if nobody
    /// else can receive it.
    pub(in crate::channel) fn withdraw(&mut self, number: usize, wakes: &mut Wakes) -> Option<T> {
        let promise = self.promises.at(number);
        if let Promise::Open = promise {
            *promise = Promise::Withdrawn;
            return None;
        }
        let mut message = self.promises.remove(number).delivered();
        if message.is_some() {
            self.put_back(&mut message, wakes);
        }
        message
    }
}

/// The sender has gone without keeping its promise.
pub(in crate::channel) struct Refused;
