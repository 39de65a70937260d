//! Channels with a bound: a sender waits while there is no room, and not longer than it wants to.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::channel::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError, bounded};
use super::{everywhere, now, settle, thread};

const MOMENT: Duration = Duration::from_millis(3);
/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[test]
fn messages_up_to_the_bound_are_taken_without_a_receiver() {
    everywhere(|| {
        for bound in [1, 2, 3, 4, 7, 64] {
            let (s, r) = bounded(bound);
            for number in 0..bound {
                s.try_send(number).unwrap();
            }
            assert_eq!(s.try_send(bound), Err(TrySendError::Full(bound)));
            for number in 0..bound {
                assert_eq!(r.try_recv(), Ok(number));
            }
            assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        }
    });
}

#[test]
fn every_way_to_send_takes_room_that_is_there() {
    everywhere(|| {
        let (s, r) = bounded(7);
        s.send(0).unwrap();
        s.try_send(1).unwrap();
        s.send_timeout(2, Duration::ZERO).unwrap();
        s.send_timeout(3, FOR_EVER).unwrap();
        s.send_timeout(4, Duration::MAX).unwrap();
        s.send_deadline(5, now()).unwrap();
        s.send_deadline(6, now() + FOR_EVER).unwrap();
        assert_eq!(r.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    });
}

#[test]
fn every_way_to_receive_takes_what_is_there() {
    everywhere(|| {
        let (s, r) = bounded(7);
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
fn send_waits_for_room() {
    everywhere(|| {
        let (s, r) = bounded(2);
        let sent = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..6 {
                    s.send(number).unwrap();
                    sent.fetch_add(1, SeqCst);
                }
            });
            for number in 0..6 {
                settle();
                // What was received and what fits, and no more.
                assert!(sent.load(SeqCst) <= number + 2);
                assert_eq!(r.recv(), Ok(number));
            }
        });
        assert_eq!(sent.into_inner(), 6);
    });
}

#[test]
fn send_with_a_limit_ends_with_its_time_and_gives_the_message_back() {
    everywhere(|| {
        let (s, r) = bounded(1);
        s.send(1).unwrap();
        let start = now();
        assert_eq!(s.send_timeout(2, MOMENT), Err(SendTimeoutError::Timeout(2)));
        assert!(now() - start >= MOMENT);
        let deadline = now() + MOMENT;
        assert_eq!(s.send_deadline(3, deadline), Err(SendTimeoutError::Timeout(3)));
        assert!(now() >= deadline);
        // A time that is over already.
        assert_eq!(s.send_timeout(4, Duration::ZERO), Err(SendTimeoutError::Timeout(4)));
        assert_eq!(s.send_deadline(5, start), Err(SendTimeoutError::Timeout(5)));
        assert_eq!(r.try_iter().collect::<Vec<_>>(), [1]);
    });
}

#[test]
fn send_with_a_limit_takes_room_that_comes_in_time() {
    everywhere(|| {
        for patience in [FOR_EVER, Duration::MAX] {
            let (s, r) = bounded(1);
            s.send(1).unwrap();
            thread::scope(|scope| {
                let waiter = scope.spawn(|| s.send_timeout(2, patience));
                settle();
                assert_eq!(r.recv(), Ok(1));
                assert_eq!(waiter.join().unwrap(), Ok(()));
            });
            assert_eq!(r.try_recv(), Ok(2));
        }
        let (s, r) = bounded(1);
        s.send(1).unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| s.send_deadline(2, now() + FOR_EVER));
            settle();
            assert_eq!(r.recv(), Ok(1));
            assert_eq!(waiter.join().unwrap(), Ok(()));
        });
        assert_eq!(r.try_recv(), Ok(2));
    });
}

#[test]
fn receive_with_a_limit_ends_with_its_time_and_not_before() {
    everywhere(|| {
        let (_s, r) = bounded::<i32>(1);
        let start = now();
        assert_eq!(r.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
        assert!(now() - start >= MOMENT);
        let deadline = now() + MOMENT;
        assert_eq!(r.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
        assert!(now() >= deadline);
        assert_eq!(r.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        assert_eq!(r.recv_deadline(start), Err(RecvTimeoutError::Timeout));
    });
}

#[test]
fn receive_with_a_limit_takes_what_comes_in_time() {
    everywhere(|| {
        for patience in [FOR_EVER, Duration::MAX] {
            let (s, r) = bounded(1);
            thread::scope(|scope| {
                let waiter = scope.spawn(|| r.recv_timeout(patience));
                settle();
                s.send(1).unwrap();
                assert_eq!(waiter.join().unwrap(), Ok(1));
            });
        }
    });
}

#[test]
fn those_that_have_given_up_leave_nothing_behind() {
    everywhere(|| {
        let (s, r) = bounded(1);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| r.recv_timeout(MOMENT).unwrap_err());
            }
        });
        s.try_send(0).unwrap();
        thread::scope(|scope| {
            for number in 1..5 {
                let s = &s;
                scope.spawn(move || s.send_timeout(number, MOMENT).unwrap_err());
            }
        });
        assert_eq!(r.try_recv(), Ok(0));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn all_of_several_waiting_senders_get_room_in_the_end() {
    everywhere(|| {
        let (s, r) = bounded(1);
        s.send(0).unwrap();
        thread::scope(|scope| {
            for number in 1..8 {
                let s = &s;
                scope.spawn(move || s.send(number).unwrap());
            }
            settle();
            let mut got: Vec<_> = (0..8).map(|_| r.recv().unwrap()).collect();
            got.sort_unstable();
            assert_eq!(got, (0..8).collect::<Vec<_>>());
        });
        assert!(r.is_empty());
    });
}

#[test]
fn many_senders_and_receivers_lose_nothing_and_double_nothing() {
    everywhere(|| {
        const EACH: usize = 60;
        for bound in [1, 3] {
            let (s, r) = bounded(bound);
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
                        scope.spawn(move || r.iter().collect::<Vec<_>>())
                    })
                    .collect();
                receivers.into_iter().flat_map(|one| one.join().unwrap()).collect::<Vec<_>>()
            });
            got.sort_unstable();
            assert_eq!(got, (0..4 * EACH).collect::<Vec<_>>());
        }
    });
}

#[test]
fn messages_without_size_are_counted() {
    everywhere(|| {
        let (s, r) = bounded(3);
        for _ in 0..3 {
            s.send(()).unwrap();
        }
        assert_eq!(s.try_send(()), Err(TrySendError::Full(())));
        assert_eq!((s.len(), r.try_iter().count()), (3, 3));
    });
}
