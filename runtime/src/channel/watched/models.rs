//! Loom models of what changes and is waited for: no change is missed, and a waiter that has gone
//! takes none along.
#![forbid(unsafe_code)]

use loom::thread;

use crate::channel::{broadcast, watch};
use crate::primitives::check_within;
use crate::sched::door::models::{SOME_TIME, ends_cancelled, spawn_canceller};

#[test]
fn value_reaches_all_who_wait_or_are_about_to() {
    check_within(2, || {
        let (sender, receiver) = watch::channel(0);
        let threads = [(); 2].map(|()| {
            let mut receiver = receiver.clone();
            thread::spawn(move || *receiver.recv().unwrap())
        });
        sender.send(1).unwrap();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 1);
        }
    });
}

#[test]
fn last_value_comes_before_the_end() {
    check_within(3, || {
        let (sender, mut receiver) = watch::channel(0);
        let sends = thread::spawn(move || sender.send(1).unwrap());
        assert_eq!(*receiver.recv().unwrap(), 1);
        assert!(receiver.recv().is_err());
        sends.join().unwrap();
    });
}

#[test]
fn update_sees_the_value_that_it_takes_the_place_of() {
    check_within(3, || {
        let (sender, receiver) = watch::channel(0);
        let other = {
            let sender = sender.clone();
            thread::spawn(move || sender.update(|value| value + 1))
        };
        sender.update(|value| value + 2);
        other.join().unwrap();
        assert_eq!(*receiver.get(), 3);
    });
}

#[test]
fn message_for_all_is_seen_by_those_who_stay() {
    check_within(2, || {
        let (sender, receiver) = broadcast::channel(2);
        let mut timed = receiver.clone();
        let stays = {
            let mut receiver = receiver.clone();
            thread::spawn(move || receiver.recv().unwrap())
        };
        drop(receiver);
        let leaves = thread::spawn(move || timed.recv_timeout(SOME_TIME).ok());
        sender.send(7).unwrap();
        assert_eq!(stays.join().unwrap(), 7);
        assert!(matches!(leaves.join().unwrap(), None | Some(7)));
    });
}

#[test]
fn receiver_that_is_cancelled_has_seen_the_message_or_has_not() {
    check_within(2, || {
        let (sender, mut receiver) = broadcast::channel(1);
        let sends = thread::spawn(move || {
            sender.send(7).unwrap();
            sender
        });
        let canceller = spawn_canceller();
        let mut seen = None;
        let _ = ends_cancelled(|| seen = receiver.recv().ok());
        canceller.join().unwrap();
        let _sender = sends.join().unwrap();
        assert_eq!(receiver.try_recv().is_ok(), seen.is_none());
    });
}
