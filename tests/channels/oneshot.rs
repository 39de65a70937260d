//! `oneshot`: one message, or the news that there will be none.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use sylvan::channel::{RecvError, RecvTimeoutError, TryRecvError, oneshot, select, unbounded};
use sylvan::thread;
use sylvan_workspace::{Counts, everywhere};

use crate::support::{HOUR, poll_once, settle};

#[test]
fn message_reaches_one_who_waits_and_one_who_comes_later() {
    everywhere(|_| {
        let (sender, receiver) = oneshot::channel();
        let waits = thread::spawn(move || receiver.recv());
        settle();
        sender.send(1).unwrap();
        assert_eq!(waits.join().unwrap(), Ok(1));

        let (sender, receiver) = oneshot::channel();
        sender.send(2).unwrap();
        assert_eq!(receiver.recv(), Ok(2));
    });
}

#[test]
fn sender_that_goes_without_sending_is_noticed() {
    everywhere(|_| {
        let (sender, receiver) = oneshot::channel::<u8>();
        let waits = thread::spawn(move || receiver.recv());
        settle();
        drop(sender);
        assert_eq!(waits.join().unwrap(), Err(RecvError));
    });
}

#[test]
fn message_comes_back_when_the_receiver_has_gone() {
    let (sender, receiver) = oneshot::channel();
    drop(receiver);
    assert_eq!(sender.send("back").unwrap_err().into_inner(), "back");
}

#[test]
fn attempts_say_what_there_is() {
    everywhere(|_| {
        let (sender, receiver) = oneshot::channel();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        sender.send(3).unwrap();
        assert_eq!(receiver.recv_timeout(HOUR), Ok(3));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(receiver.recv_timeout(HOUR), Err(RecvTimeoutError::Disconnected));
        assert_eq!(receiver.recv(), Err(RecvError));
    });
}

#[test]
fn answer_is_awaited_or_selected() {
    everywhere(|_| {
        let (sender, receiver) = oneshot::channel();
        let mut future = Box::pin(receiver.recv_async());
        assert!(poll_once(future.as_mut()).is_pending());
        sender.send(4).unwrap();
        assert_eq!(poll_once(future.as_mut()), Poll::Ready(Ok(4)));

        let (sender, receiver) = oneshot::channel();
        let (_others, other) = unbounded::<i32>();
        let answers = thread::spawn(move || sender.send(5).unwrap());
        let answer = select! {
            recv(receiver.as_ref()) -> answer => answer,
            recv(other) -> _ => unreachable!("nobody sends"),
        };
        answers.join().unwrap();
        assert_eq!(answer, Ok(5));
    });
}

#[test]
fn message_that_nobody_receives_is_dropped_with_the_receiver() {
    let drops = AtomicUsize::new(0);
    let (sender, receiver) = oneshot::channel();
    assert!(sender.send(Counts(&drops)).is_ok());
    assert_eq!(drops.load(SeqCst), 0);
    drop(receiver);
    assert_eq!(drops.load(SeqCst), 1);
}
