//! Channels without a bound: sending never waits, and what was sent is received once and in order.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use super::channel::{RecvTimeoutError, TryRecvError, unbounded};
use super::{everywhere, now, settle, thread};

const MOMENT: Duration = Duration::from_millis(3);
/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[test]
fn every_way_to_send_takes_any_number_of_messages() {
    everywhere(|| {
        let (s, r) = unbounded();
        for number in 0..100 {
            s.send(4 * number).unwrap();
            s.try_send(4 * number + 1).unwrap();
            s.send_timeout(4 * number + 2, Duration::ZERO).unwrap();
            s.send_deadline(4 * number + 3, now()).unwrap();
        }
        for number in 0..400 {
            assert_eq!(r.try_recv(), Ok(number));
        }
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn every_way_to_receive_takes_what_is_there() {
    everywhere(|| {
        let (s, r) = unbounded();
        for number in 0..7 {
            s.send(number).unwrap();
        }
        assert_eq!(r.recv(), Ok(0));
        assert_eq!(r.try_recv(), Ok(1));
        assert_eq!(r.recv_timeout(Duration::ZERO), Ok(2));
        assert_eq!(r.recv_timeout(FOR_EVER), Ok(3));
        assert_eq!(r.recv_timeout(Duration::MAX), Ok(4));
        assert_eq!(r.recv_deadline(now()), Ok(5));
        assert_eq!(r.recv_deadline(now() + FOR_EVER), Ok(6));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn receive_waits_for_a_message() {
    everywhere(|| {
        let (s, r) = unbounded();
        let sent = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(r.recv(), Ok(1));
                assert!(sent.load(SeqCst));
            });
            settle();
            sent.store(true, SeqCst);
            s.send(1).unwrap();
        });
    });
}

#[test]
fn receive_with_a_limit_ends_with_its_time_and_not_before() {
    everywhere(|| {
        let (_s, r) = unbounded::<i32>();
        let start = now();
        assert_eq!(r.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
        assert!(now() - start >= MOMENT);
        let deadline = now() + MOMENT;
        assert_eq!(r.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
        assert!(now() >= deadline);
        // A time that is over already.
        assert_eq!(r.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        assert_eq!(r.recv_deadline(start), Err(RecvTimeoutError::Timeout));
    });
}

#[test]
fn receive_with_a_limit_takes_what_comes_in_time() {
    everywhere(|| {
        for patience in [FOR_EVER, Duration::MAX] {
            let (s, r) = unbounded();
            thread::scope(|scope| {
                let waiter = scope.spawn(|| r.recv_timeout(patience));
                settle();
                s.send(1).unwrap();
                assert_eq!(waiter.join().unwrap(), Ok(1));
            });
        }
        let (s, r) = unbounded();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| r.recv_deadline(now() + FOR_EVER));
            settle();
            s.send(1).unwrap();
            assert_eq!(waiter.join().unwrap(), Ok(1));
        });
    });
}

#[test]
fn receivers_that_have_given_up_take_no_message_with_them() {
    everywhere(|| {
        let (s, r) = unbounded();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| r.recv_timeout(MOMENT).unwrap_err());
            }
        });
        s.send(1).unwrap();
        assert_eq!(r.try_recv(), Ok(1));
    });
}

#[test]
fn each_of_several_waiting_receivers_gets_one_message() {
    everywhere(|| {
        let (s, r) = unbounded();
        let mut got = thread::scope(|scope| {
            let waiters: Vec<_> = (0..8).map(|_| scope.spawn(|| r.recv().unwrap())).collect();
            settle();
            for number in 0..8 {
                s.send(number).unwrap();
            }
            waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect::<Vec<_>>()
        });
        got.sort_unstable();
        assert_eq!(got, (0..8).collect::<Vec<_>>());
        assert!(r.is_empty());
    });
}

#[test]
fn messages_of_each_sender_stay_in_order_and_none_is_lost() {
    everywhere(|| {
        const SENDERS: usize = 4;
        const MESSAGES: usize = 150;
        let (s, r) = unbounded();
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let s = s.clone();
                scope.spawn(move || {
                    for number in 0..MESSAGES {
                        s.send((sender, number)).unwrap();
                        if number % 32 == 0 {
                            thread::yield_now();
                        }
                    }
                });
            }
            let mut next = [0; SENDERS];
            for _ in 0..SENDERS * MESSAGES {
                let (sender, number) = r.recv().unwrap();
                assert_eq!(number, next[sender]);
                next[sender] += 1;
            }
        });
        assert!(r.is_empty());
    });
}

#[test]
fn messages_without_size_and_large_ones_pass() {
    everywhere(|| {
        let (s, r) = unbounded();
        for _ in 0..1000 {
            s.send(()).unwrap();
        }
        assert_eq!((r.len(), r.try_iter().count()), (1000, 1000));
        let (s, r) = unbounded();
        for number in 0..70 {
            s.send([number; 4096]).unwrap();
        }
        for number in 0..70 {
            assert_eq!(r.recv(), Ok([number; 4096]));
        }
    });
}

#[test]
fn ends_can_be_sent_through_channels() {
    everywhere(|| {
        let (s, r) = unbounded();
        thread::scope(|scope| {
            scope.spawn(move || {
                for (answer, number) in r {
                    let answer: super::channel::Sender<i32> = answer;
                    answer.send(2 * number).unwrap();
                }
            });
            for number in 0..10 {
                let (back, answer) = unbounded();
                s.send((back, number)).unwrap();
                assert_eq!(answer.recv(), Ok(2 * number));
                assert!(answer.recv().is_err());
            }
            drop(s);
        });
    });
}
