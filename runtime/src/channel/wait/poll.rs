//! Sending and receiving as a task does: a look at each poll, and a waker instead of a wait.

use std::task::{Poll, Waker};

use crate::channel::state::{Nothing, Refused, Sent, Wakes};
use crate::channel::wait::{NotReceived, Waiting};
use crate::channel::waiter::Outcome;

impl<T> Waiting<'_, T> {
    /// Receives as the task whose waker this is.
    ///
    /// # Safety
    /// S1: it does not move any more until it is dropped.
    pub(in crate::channel) unsafe fn poll_receive(
        &self,
        waker: Waker,
    ) -> Poll<Result<T, NotReceived>> {
        let mut wakes = Wakes::new();
        // Before the lock, so that it is dropped after it.
        let old_waker;
        let mut state = self.shared.lock();
        old_waker = self.waiter.set_waker(waker);
        let was_entered = self.entered.get();
        let mut chosen = None;
        if was_entered {
            let Some(outcome) = self.waiter.outcome() else { return Poll::Pending };
            self.entered.set(false);
            match outcome {
                Outcome::Done => {
                    return Poll::Ready(self.message().ok_or(NotReceived::Disconnected));
                }
                Outcome::Disconnected => return Poll::Ready(Err(NotReceived::Disconnected)),
                Outcome::Promised(number) => chosen = Some(number),
                _ => (),
            }
        }
        let received = loop {
            if let Some(number) = chosen {
                // SAFETY: S1: ours. S2: its wait is over.
                match unsafe { self.redeem_as_it_is(&mut state, number) } {
                    Ok(Some(message)) => break Poll::Ready(Ok(message)),
                    Ok(None) => break Poll::Pending,
                    Err(Refused) => (),
                }
            }
            match state.receive(&mut wakes) {
                Ok(message) => break Poll::Ready(Ok(message)),
                Err(Nothing::Disconnected) => break Poll::Ready(Err(NotReceived::Disconnected)),
                Err(Nothing::Empty) => chosen = state.meet_selecting_sender(&mut wakes),
            }
            if chosen.is_none() {
                // SAFETY: S1: ours. S2: its wait is over. Who has waited goes back in front.
                let is_watched = unsafe { self.enter_as_it_is(&mut state, was_entered) };
                wakes.is_watched |= is_watched;
                break Poll::Pending;
            }
        };
        self.shared.unlock(state, &mut wakes);
        drop(old_waker);
        received
    }

    /// Sends as the task whose waker this is. `Err`: all receivers have gone.
    ///
    /// # Safety
    /// S1: it does not move any more until it is dropped.
    pub(in crate::channel) unsafe fn poll_send(&self, waker: Waker) -> Poll<Result<(), T>> {
        let mut wakes = Wakes::new();
        // Before the lock, so that it is dropped after it.
        let old_waker;
        let mut state = self.shared.lock();
        old_waker = self.waiter.set_waker(waker);
        let sent = if self.entered.get() {
            let Some(outcome) = self.waiter.outcome() else { return Poll::Pending };
            self.entered.set(false);
            match outcome {
                Outcome::Done => Sent::Yes,
                _ => Sent::Disconnected,
            }
        } else if self.with_place(|message| message.is_none()) {
            drop(state);
            panic!("a future was polled again after it was ready");
        } else {
            self.try_to_send(&mut state, &mut wakes)
        };
        if sent == Sent::Full {
            // SAFETY: S1: ours. S2: it has not entered yet.
            let is_watched = unsafe { self.enter_as_it_is(&mut state, false) };
            wakes.is_watched |= is_watched;
        }
        self.shared.unlock(state, &mut wakes);
        drop(old_waker);
        match sent {
            Sent::Full => Poll::Pending,
            Sent::Yes => Poll::Ready(Ok(())),
            Sent::Disconnected => Poll::Ready(self.message().map_or(Ok(()), Err)),
        }
    }
}
