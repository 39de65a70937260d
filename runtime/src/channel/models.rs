//! Loom models of channels: each message is with exactly one side, whatever ends the waits.
//!
//! The channels are the real ones, with the real door; the threads of a model are kernel threads
//! to the crate. A model's deadlines come when they like, and its cancellations between any two
//! steps.
#![forbid(unsafe_code)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use loom::thread::{self, JoinHandle};

use crate::channel::{
    Receiver, RecvTimeoutError, Select, Sender, TryRecvError, bounded, select, unbounded,
};
use crate::primitives::check_within;
use crate::sched::door;
use crate::sync::address::models::{SOME_TIME, ends_cancelled, spawn_canceller};

/// A thread that sends `message`, and gives it back if it could not.
fn sends(sender: &Sender<u32>, message: u32) -> JoinHandle<Result<(), u32>> {
    let sender = sender.clone();
    thread::spawn(move || sender.send(message).map_err(|error| error.into_inner()))
}

/// A thread that sends `message` if it can in time.
fn sends_in_time(sender: &Sender<u32>, message: u32) -> JoinHandle<bool> {
    let sender = sender.clone();
    thread::spawn(move || sender.send_timeout(message, SOME_TIME).is_ok())
}

/// A thread that receives a message.
fn receives(receiver: &Receiver<u32>) -> JoinHandle<Option<u32>> {
    let receiver = receiver.clone();
    thread::spawn(move || receiver.recv().ok())
}

/// A thread that receives a message if one comes in time.
fn receives_in_time(receiver: &Receiver<u32>) -> JoinHandle<Option<u32>> {
    let receiver = receiver.clone();
    thread::spawn(move || receiver.recv_timeout(SOME_TIME).ok())
}

/// What is left in a channel.
fn left(receiver: &Receiver<u32>) -> Vec<u32> {
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
        let _shield = door::Shield::raise();
        received.get_or_insert_with(|| receiver.recv().unwrap());
        assert_eq!((received, left(&receiver)), (Some(1), vec![]));
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
fn select_takes_one_message_and_leaves_the_other() {
    check_within(2, || {
        let ((one, first), (two, second)) = (unbounded(), unbounded());
        let senders = [sends(&one, 1), sends(&two, 2)];
        let got = select! {
            recv(first) -> message => message.unwrap(),
            recv(second) -> message => message.unwrap(),
        };
        for sender in senders {
            assert_eq!(sender.join().unwrap(), Ok(()));
        }
        let mut all = [left(&first), left(&second), vec![got]].concat();
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
    });
}

#[test]
fn select_and_a_receiver_get_a_message_each() {
    check_within(2, || {
        let (sender, receiver) = unbounded();
        let receives = receives(&receiver);
        let (_other, nothing) = unbounded::<u32>();
        let sends = sends(&sender, 1);
        sender.send(2).unwrap();
        let got = select! {
            recv(nothing) -> _ => unreachable!("nobody sends"),
            recv(receiver) -> message => message.unwrap(),
        };
        assert_eq!(receives.join().unwrap().unwrap() + got, 3);
        assert_eq!(sends.join().unwrap(), Ok(()));
    });
}

#[test]
fn select_whose_time_is_over_or_that_is_cancelled_takes_nothing_along() {
    check_within(2, || {
        let (sender, receiver) = bounded(1);
        let sends = sends(&sender, 1);
        let canceller = spawn_canceller();
        let mut got = None;
        let _ = ends_cancelled(|| {
            select! {
                recv(receiver) -> message => got = message.ok(),
                default(SOME_TIME) => (),
            }
        });
        canceller.join().unwrap();
        assert_eq!(sends.join().unwrap(), Ok(()));
        assert_eq!(left(&receiver).len(), usize::from(got.is_none()));
    });
}

#[test]
fn select_notices_the_end_of_either_side() {
    check_within(2, || {
        let (sender, receiver) = bounded::<u32>(0);
        let (other, others) = bounded::<u32>(0);
        let ends = [thread::spawn(move || drop(sender)), thread::spawn(move || drop(others))];
        select! {
            recv(receiver) -> message => assert!(message.is_err()),
            send(other, 1) -> sent => assert!(sent.is_err()),
        }
        for end in ends {
            end.join().unwrap();
        }
    });
}

#[test]
fn select_that_must_not_wait_finds_a_message_that_moves_on() {
    check_within(3, || {
        let ((one, first), (two, second)) = (unbounded(), unbounded());
        one.send(1).unwrap();
        let moves = {
            let first = first.clone();
            thread::spawn(move || {
                two.send(2).unwrap();
                first.try_recv().is_ok()
            })
        };
        // At each moment there is a message in one of them. That the other thread's send comes
        // before its receive must not be seen from between the two looks.
        let got = select! {
            recv(second) -> message => message.unwrap(),
            recv(first) -> message => message.unwrap(),
            default => unreachable!("there is one"),
        };
        let moved = moves.join().unwrap();
        assert!(got == 2 || !moved);
    });
}

#[test]
fn select_that_sends_meets_a_receiver() {
    check_within(3, || {
        let (sender, receiver) = bounded(0);
        let receives = receives(&receiver);
        select! {
            send(sender, 1) -> sent => sent.unwrap(),
        }
        assert_eq!(receives.join().unwrap(), Some(1));
    });
}

#[test]
fn select_that_receives_meets_a_sender() {
    check_within(3, || {
        let (sender, receiver) = bounded(0);
        let sends = sends(&sender, 1);
        select! {
            recv(receiver) -> message => assert_eq!(message, Ok(1)),
        }
        assert_eq!(sends.join().unwrap(), Ok(()));
    });
}

#[test]
fn two_selects_meet() {
    check_within(3, || {
        let (sender, receiver) = bounded(0);
        let sends = thread::spawn(move || {
            select! {
                send(sender, 1) -> sent => sent.unwrap(),
            }
        });
        select! {
            recv(receiver) -> message => assert_eq!(message, Ok(1)),
        }
        sends.join().unwrap();
    });
}

#[test]
fn select_on_both_sides_of_a_channel_does_not_meet_itself() {
    check_within(2, || {
        let (sender, receiver) = bounded(0);
        let meets = |sender: Sender<u32>, receiver: Receiver<u32>, message| {
            select! {
                send(sender, message) -> sent => {
                    sent.unwrap();
                    0
                },
                recv(receiver) -> received => received.unwrap(),
            }
        };
        let other = {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            thread::spawn(move || meets(sender, receiver, 1))
        };
        let mine = meets(sender, receiver, 2);
        let theirs = other.join().unwrap();
        assert!((mine, theirs) == (0, 2) || (mine, theirs) == (1, 0), "{mine} {theirs}");
    });
}

#[test]
fn select_that_goes_without_sending_leaves_its_receiver_to_others() {
    check_within(2, || {
        let (sender, receiver) = bounded(0);
        let receives = receives(&receiver);
        let sends = sends(&sender, 1);
        let mut select = Select::new();
        select.send(&sender);
        // Dropped while the thread unwinds, without sending.
        assert!(ends_cancelled(|| {
            let chosen = select.select_timeout(SOME_TIME);
            if let Ok(chosen) = chosen {
                drop_unwinding(chosen);
            }
            std::panic::resume_unwind(Box::new(()));
        }));
        assert_eq!(receives.join().unwrap(), Some(1));
        assert_eq!(sends.join().unwrap(), Ok(()));
    });
}

/// Unwinds with `value` in hand.
fn drop_unwinding<V>(value: V) {
    let _value = value;
    std::panic::resume_unwind(Box::new(()));
}

#[test]
fn message_of_a_select_whose_receiver_has_gone_lies_in_the_channel() {
    check_within(2, || {
        let (sender, receiver) = bounded(0);
        let receives = receives_in_time(&receiver);
        let mut select = Select::new();
        select.send(&sender);
        let sent = match select.select_timeout(SOME_TIME) {
            Ok(chosen) => chosen.send(&sender, 1).is_ok(),
            Err(_) => false,
        };
        let received = receives.join().unwrap();
        assert_eq!(usize::from(sent), received.iter().len() + left(&receiver).len());
    });
}

#[test]
fn two_selects_meet_and_the_one_that_receives_is_cancelled() {
    check_within(2, || {
        let (sender, receiver) = bounded(0);
        let sends = thread::spawn(move || {
            select! {
                send(sender, 1) -> sent => sent.is_ok(),
                default(SOME_TIME) => false,
            }
        });
        let canceller = spawn_canceller();
        let mut received = None;
        let _ = ends_cancelled(|| {
            select! {
                recv(receiver) -> message => received = message.ok(),
                default(SOME_TIME) => (),
            }
        });
        canceller.join().unwrap();
        let sent = sends.join().unwrap();
        assert_eq!(usize::from(sent), received.iter().len() + left(&receiver).len());
    });
}

#[test]
fn whoever_watches_hears_of_a_message_and_of_room() {
    check_within(2, || {
        let (sender, receiver) = bounded(1);
        let sends = sends(&sender, 1);
        let mut select = Select::new();
        select.recv(&receiver);
        assert_eq!(select.ready(), 0);
        let takes = thread::spawn(move || receiver.recv().unwrap());
        let mut select = Select::new();
        select.send(&sender);
        assert_eq!(select.ready(), 0);
        assert_eq!(takes.join().unwrap(), 1);
        assert_eq!(sends.join().unwrap(), Ok(()));
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
