//! Channels of capacity zero: a message passes from hand to hand, or not at all.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::channel::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError, bounded};
use super::{everywhere, now, settle, thread, until};

const MOMENT: Duration = Duration::from_millis(3);
/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[test]
fn nobody_there_is_full_for_a_sender_and_empty_for_a_receiver() {
    everywhere(|| {
        let (s, r) = bounded(0);
        assert_eq!(s.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        // What was refused has not been left there.
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn send_ends_when_the_message_was_received() {
    everywhere(|| {
        let (s, r) = bounded(0);
        let (asked, sent) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                s.send(1).unwrap();
                assert!(asked.load(SeqCst));
                sent.store(true, SeqCst);
            });
            settle();
            assert!(!sent.load(SeqCst));
            asked.store(true, SeqCst);
            assert_eq!(r.recv(), Ok(1));
            until(|| sent.load(SeqCst));
        });
    });
}

#[test]
fn receive_ends_when_a_message_was_sent() {
    everywhere(|| {
        let (s, r) = bounded(0);
        let asked = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(r.recv(), Ok(1));
                assert!(asked.load(SeqCst));
            });
            settle();
            asked.store(true, SeqCst);
            s.send(1).unwrap();
        });
    });
}

#[test]
fn try_send_meets_a_receiver_that_waits() {
    everywhere(|| {
        let (s, r) = bounded(0);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| r.recv());
            until(|| s.try_send(1).is_ok());
            assert_eq!(waiter.join().unwrap(), Ok(1));
            let waiter = scope.spawn(|| r.recv_timeout(FOR_EVER));
            until(|| s.try_send(2).is_ok());
            assert_eq!(waiter.join().unwrap(), Ok(2));
        });
        assert_eq!(s.try_send(3), Err(TrySendError::Full(3)));
    });
}

#[test]
fn try_receive_meets_a_sender_that_waits() {
    everywhere(|| {
        let (s, r) = bounded(0);
        let got = AtomicUsize::new(0);
        let take = || r.try_recv().inspect(|number| got.store(*number, SeqCst)).is_ok();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| s.send(1));
            until(take);
            assert_eq!((waiter.join().unwrap(), got.load(SeqCst)), (Ok(()), 1));
            let waiter = scope.spawn(|| s.send_timeout(2, FOR_EVER));
            until(take);
            assert_eq!((waiter.join().unwrap(), got.load(SeqCst)), (Ok(()), 2));
        });
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn limits_end_with_their_time_and_not_before() {
    everywhere(|| {
        let (s, r) = bounded(0);
        let start = now();
        assert_eq!(s.send_timeout(1, MOMENT), Err(SendTimeoutError::Timeout(1)));
        assert!(now() - start >= MOMENT);
        let start = now();
        assert_eq!(r.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
        assert!(now() - start >= MOMENT);
        let deadline = now() + MOMENT;
        assert_eq!(s.send_deadline(2, deadline), Err(SendTimeoutError::Timeout(2)));
        assert!(now() >= deadline);
        let deadline = now() + MOMENT;
        assert_eq!(r.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
        assert!(now() >= deadline);
        // Times that are over already.
        assert_eq!(s.send_timeout(3, Duration::ZERO), Err(SendTimeoutError::Timeout(3)));
        assert_eq!(s.send_deadline(4, start), Err(SendTimeoutError::Timeout(4)));
        assert_eq!(r.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        assert_eq!(r.recv_deadline(start), Err(RecvTimeoutError::Timeout));
    });
}

#[test]
fn partner_that_comes_in_time_is_met() {
    everywhere(|| {
        for patience in [FOR_EVER, Duration::MAX] {
            let (s, r) = bounded(0);
            thread::scope(|scope| {
                let waiter = scope.spawn(|| s.send_timeout(1, patience));
                settle();
                assert_eq!(r.recv(), Ok(1));
                assert_eq!(waiter.join().unwrap(), Ok(()));
                let waiter = scope.spawn(|| r.recv_timeout(patience));
                settle();
                s.send(2).unwrap();
                assert_eq!(waiter.join().unwrap(), Ok(2));
                let waiter = scope.spawn(|| s.send_deadline(3, now() + FOR_EVER));
                settle();
                assert_eq!(r.recv_deadline(now() + FOR_EVER), Ok(3));
                assert_eq!(waiter.join().unwrap(), Ok(()));
            });
        }
    });
}

#[test]
fn those_that_have_given_up_are_met_by_nobody() {
    everywhere(|| {
        let (s, r) = bounded(0);
        thread::scope(|scope| {
            for number in 0..4 {
                let s = &s;
                scope.spawn(move || s.send_timeout(number, MOMENT).unwrap_err());
            }
        });
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| r.recv_timeout(MOMENT).unwrap_err());
            }
        });
        assert_eq!(s.try_send(1), Err(TrySendError::Full(1)));
    });
}

#[test]
fn message_whose_time_is_over_is_with_exactly_one_side() {
    everywhere(|| {
        let (s, r) = bounded(0);
        for round in 0..30 {
            // Both have the same time, so that each outcome is near.
            let (sent, got) = thread::scope(|scope| {
                let sender = scope.spawn(|| s.send_timeout(round, MOMENT / 10));
                let got = r.recv_timeout(MOMENT / 10);
                (sender.join().unwrap(), got)
            });
            match sent {
                Ok(()) => assert_eq!(got, Ok(round)),
                Err(error) => {
                    assert_eq!(error, SendTimeoutError::Timeout(round));
                    assert_eq!(got, Err(RecvTimeoutError::Timeout));
                }
            }
        }
    });
}

#[test]
fn several_waiting_senders_each_meet_one_receiver() {
    everywhere(|| {
        let (s, r) = bounded(0);
        thread::scope(|scope| {
            for number in 0..8 {
                let s = &s;
                scope.spawn(move || s.send(number).unwrap());
            }
            settle();
            let mut got: Vec<_> = (0..8).map(|_| r.recv().unwrap()).collect();
            got.sort_unstable();
            assert_eq!(got, (0..8).collect::<Vec<_>>());
        });
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn ping_and_pong_take_turns() {
    everywhere(|| {
        let ((ping, pinged), (pong, ponged)) = (bounded(0), bounded(0));
        thread::scope(|scope| {
            scope.spawn(move || {
                for number in pinged {
                    pong.send(number + 1).unwrap();
                }
            });
            for number in (0..100).step_by(2) {
                ping.send(number).unwrap();
                assert_eq!(ponged.recv(), Ok(number + 1));
            }
            drop(ping);
            assert!(ponged.recv().is_err());
        });
    });
}

#[test]
fn many_senders_and_receivers_lose_nothing_and_double_nothing() {
    everywhere(|| {
        const EACH: usize = 40;
        let (s, r) = bounded(0);
        let mut got = thread::scope(|scope| {
            for sender in 0..4 {
                let s = s.clone();
                scope.spawn(move || {
                    for number in 0..EACH {
                        s.send(sender * EACH + number).unwrap();
                    }
                });
            }
            drop(s);
            let receivers: Vec<_> = (0..4)
                .map(|_| {
                    let r = r.clone();
                    scope.spawn(move || r.into_iter().collect::<Vec<_>>())
                })
                .collect();
            receivers.into_iter().flat_map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        got.sort_unstable();
        assert_eq!(got, (0..4 * EACH).collect::<Vec<_>>());
    });
}
