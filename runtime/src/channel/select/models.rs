//! Loom models of selects: one operation is chosen, and what was not chosen is left to others.
#![forbid(unsafe_code)]

use std::task::{Context, Poll, Waker};

use loom::thread;

use crate::channel::models::{left, receives, receives_in_time, sends};
use crate::channel::{Receiver, Select, Sender, bounded, select, unbounded};
use crate::primitives::check_within;
use crate::sched::door::models::{SOME_TIME, ends_cancelled, spawn_canceller};

/// Unwinds with `value` in hand.
fn drop_unwinding<V>(value: V) {
    let _value = value;
    std::panic::resume_unwind(Box::new(()));
}

#[test]
fn room_that_a_select_does_not_use_goes_to_the_next() {
    check_within(3, || {
        let (sender, receiver) = bounded(1);
        let mut select = Select::new();
        select.send(&sender);
        let Ok(chosen) = select.try_select() else { unreachable!("there is room") };
        let waits = sends(&sender, 2);
        assert!(ends_cancelled(|| drop_unwinding(chosen)));
        assert_eq!(waits.join().unwrap(), Ok(()));
        assert_eq!(left(&receiver), [2]);
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
fn whoever_watches_hears_of_the_end() {
    check_within(3, || {
        let (sender, receiver) = bounded::<u32>(1);
        let ends = thread::spawn(move || drop(sender));
        let mut select = Select::new();
        select.recv(&receiver);
        assert_eq!(select.ready(), 0);
        ends.join().unwrap();
    });
}

#[test]
fn future_that_is_chosen_by_a_select_and_dropped_loses_no_message() {
    check_within(3, || {
        let (sender, receiver) = bounded(0);
        let sends = thread::spawn(move || {
            select! {
                send(sender, 1) -> sent => sent.is_ok(),
                default(SOME_TIME) => false,
            }
        });
        let mut future = Box::pin(receiver.recv_async());
        let received = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(future);
        let sent = sends.join().unwrap();
        let received = usize::from(matches!(received, Poll::Ready(Ok(_))));
        assert_eq!(usize::from(sent), received + left(&receiver).len());
    });
}
