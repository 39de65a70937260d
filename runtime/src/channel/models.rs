//! Loom models of channels: each message is with exactly one side, whatever ends the waits.
//!
//! The channels are the real ones, with the real door; the threads of a model are kernel threads
//! to the crate. A model's deadlines come when they like, and its cancellations between any two
//! steps.
#![forbid(unsafe_code)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use loom::thread::{self, JoinHandle};

use crate::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, unbounded};
use crate::primitives::check_within;
use crate::sched::cut::Shield;
use crate::sched::cut::models::in_cancelled_region;
use crate::sched::door::models::{SOME_TIME, ends_cancelled, spawn_canceller};

/// A thread that sends `message`, and gives it back if it could not.
pub(super) fn sends(sender: &Sender<u32>, message: u32) -> JoinHandle<Result<(), u32>> {
    let sender = sender.clone();
    thread::spawn(move || sender.send(message).map_err(|error| error.into_inner()))
}

/// A thread that sends `message` if it can in time.
pub(super) fn sends_in_time(sender: &Sender<u32>, message: u32) -> JoinHandle<bool> {
    let sender = sender.clone();
    thread::spawn(move || sender.send_timeout(message, SOME_TIME).is_ok())
}

/// A thread that receives a message.
pub(super) fn receives(receiver: &Receiver<u32>) -> JoinHandle<Option<u32>> {
    let receiver = receiver.clone();
    thread::spawn(move || receiver.recv().ok())
}

/// A thread that receives a message if one comes in time.
pub(super) fn receives_in_time(receiver: &Receiver<u32>) -> JoinHandle<Option<u32>> {
    let receiver = receiver.clone();
    thread::spawn(move || receiver.recv_timeout(SOME_TIME).ok())
}

/// What is left in a channel.
pub(super) fn left(receiver: &Receiver<u32>) -> Vec<u32> {
    receiver.try_iter().collect()
}

#[test]
fn rendezvous_hands_each_message_over() {
    check_within(2, || {
        let (sender, receiver) = bounded(0);
        let senders = [sends(&sender, 1), sends(&sender, 2)];
        let sum = receiver.recv().unwrap() + receiver.recv().unwrap();
        assert_eq!(sum, 3);
        for sender in senders {
            assert_eq!(sender.join().unwrap(), Ok(()));
        }
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        drop(sender);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn rendezvous_in_time_is_one_for_both_sides_or_for_none() {
    check_within(3, || {
        let (sender, receiver) = bounded(0);
        let sends = sends_in_time(&sender, 1);
        let received = receiver.recv_timeout(SOME_TIME);
        assert_eq!(sends.join().unwrap(), received == Ok(1));
        assert!(left(&receiver).is_empty());
    });
}

#[test]
fn rendezvous_with_a_sender_that_is_cancelled_happens_or_does_not() {
    check_within(2, || {
        let (sender, receiver) = bounded(0);
        let receives = receives_in_time(&receiver);
        let canceller = spawn_canceller();
        let mut sent = false;
        let cancelled = ends_cancelled(|| sent = sender.send_timeout(1, SOME_TIME).is_ok());
        canceller.join().unwrap();
        let received = receives.join().unwrap();
        assert_eq!(received.is_some(), sent);
        assert!(!(sent && cancelled));
    });
}

#[test]
fn message_that_meets_the_cancellation_of_its_receiver_is_not_lost() {
    check_within(2, || {
        let (sender, receiver) = unbounded();
        let sends = sends(&sender, 1);
        let canceller = spawn_canceller();
        let mut received = None;
        let cancelled = ends_cancelled(|| received = receiver.recv().ok());
        canceller.join().unwrap();
        assert_eq!(sends.join().unwrap(), Ok(()));
        assert_eq!(received.is_none(), cancelled);
        let _shield = Shield::raise();
        received.get_or_insert_with(|| receiver.recv().unwrap());
        assert_eq!((received, left(&receiver)), (Some(1), vec![]));
    });
}

#[test]
fn message_that_meets_the_end_of_its_receivers_region_is_not_lost() {
    check_within(2, || {
        let (sender, receiver) = unbounded();
        let sends = sends(&sender, 1);
        let mut received = None;
        let cut_off = in_cancelled_region(|| received = receiver.recv().ok());
        assert_eq!(sends.join().unwrap(), Ok(()));
        assert_eq!(received.is_none(), cut_off);
        // The region has been left, and the thread waits as anybody does.
        received.get_or_insert_with(|| receiver.recv().unwrap());
        assert_eq!((received, left(&receiver)), (Some(1), vec![]));
    });
}

#[test]
fn message_that_meets_the_end_of_its_senders_region_is_sent_or_not() {
    check_within(2, || {
        let (sender, receiver) = bounded(0);
        let receives = receives_in_time(&receiver);
        let mut sent = false;
        let cut_off = in_cancelled_region(|| sent = sender.send_timeout(1, SOME_TIME).is_ok());
        assert_eq!(receives.join().unwrap().is_some(), sent);
        assert!(!(sent && cut_off));
    });
}

#[test]
fn message_that_meets_a_deadline_goes_to_the_next_receiver() {
    check_within(2, || {
        let (sender, receiver) = unbounded();
        let timed = receives_in_time(&receiver);
        let patient = receives(&receiver);
        sender.send(1).unwrap();
        let early = timed.join().unwrap();
        if early.is_some() {
            sender.send(2).unwrap();
        }
        assert_eq!(patient.join().unwrap(), Some(1 + early.unwrap_or_default()));
    });
}

#[test]
fn room_goes_to_the_senders_in_turn_and_past_those_that_have_gone() {
    check_within(2, || {
        let (sender, receiver) = bounded(1);
        sender.send(1).unwrap();
        let timed = sends_in_time(&sender, 2);
        let patient = sends(&sender, 4);
        let mut sum = receiver.recv().unwrap() + receiver.recv().unwrap();
        if timed.join().unwrap() {
            sum += receiver.recv().unwrap();
            assert_eq!(sum, 7);
        } else {
            assert_eq!(sum, 5);
        }
        assert_eq!(patient.join().unwrap(), Ok(()));
        assert!(left(&receiver).is_empty());
    });
}

#[test]
fn sender_goes_on_as_soon_as_there_is_room() {
    check_within(3, || {
        let (sender, receiver) = bounded(1);
        sender.send(1).unwrap();
        let waits = sends(&sender, 2);
        assert_eq!(receiver.recv(), Ok(1));
        // Nobody receives meanwhile.
        assert_eq!(waits.join().unwrap(), Ok(()));
        assert_eq!(left(&receiver), [2]);
    });
}

#[test]
fn last_sender_that_goes_is_noticed_by_all_who_receive() {
    check_within(2, || {
        let (sender, receiver) = bounded(1);
        let others = [receives(&receiver), receives(&receiver)];
        let sends = thread::spawn(move || sender.send(1).unwrap());
        let received = others.map(|other| other.join().unwrap());
        assert_eq!(received.iter().flatten().sum::<u32>(), 1);
        sends.join().unwrap();
        assert!(receiver.recv().is_err());
    });
}

#[test]
fn last_receiver_that_goes_gives_the_messages_back_to_those_who_send() {
    check_within(2, || {
        let (sender, receiver) = bounded(0);
        let senders = [sends(&sender, 1), sends(&sender, 2)];
        let receives = thread::spawn(move || receiver.recv().unwrap());
        let back = senders.map(|sender| sender.join().unwrap().err().unwrap_or_default());
        assert_eq!(receives.join().unwrap() + back[0] + back[1], 3);
        assert_eq!(sender.send(4).unwrap_err().into_inner(), 4);
    });
}

#[test]
fn future_that_is_dropped_loses_no_message() {
    check_within(3, || {
        let (sender, receiver) = bounded(0);
        let sends = sends_in_time(&sender, 1);
        let mut received = None;
        {
            let mut future = pin!(receiver.recv_async());
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..2 {
                if let Poll::Ready(message) = future.as_mut().poll(&mut context) {
                    received = message.ok();
                    break;
                }
            }
        }
        if received.is_none() {
            received = match receiver.recv_timeout(SOME_TIME) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => receiver.try_recv().ok(),
                Err(RecvTimeoutError::Disconnected) => None,
            };
        }
        let sent = sends.join().unwrap();
        assert_eq!(sent, received.is_some() || !left(&receiver).is_empty());
    });
}

#[test]
fn future_that_sends_and_is_dropped_has_sent_or_not() {
    check_within(3, || {
        let (sender, receiver) = bounded(0);
        let receives = receives_in_time(&receiver);
        let mut sent = false;
        let mut future = Box::pin(sender.send_async(1));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
                sent = result.is_ok();
                break;
            }
        }
        drop(future);
        let received = receives.join().unwrap();
        // A message that was taken just before the drop was not reported.
        assert!(received.is_some() || !sent);
        assert!(left(&receiver).is_empty());
    });
}
