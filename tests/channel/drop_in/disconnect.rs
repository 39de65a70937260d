//! The end of a channel: what senders hear when all receivers are gone, and receivers when all
//! senders are.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::channel::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, bounded, unbounded,
};
use super::{everywhere, now, settle, thread};

/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A channel of each kind.
fn kinds() -> [(Sender<i32>, Receiver<i32>); 4] {
    [bounded(0), bounded(1), bounded(4), unbounded()]
}

/// Channels with room for a message that nobody waits for.
fn buffered() -> [(Sender<i32>, Receiver<i32>); 3] {
    [bounded(1), bounded(4), unbounded()]
}

#[track_caller]
fn expect_no_receivers(s: &Sender<i32>) {
    assert_eq!(s.send(1), Err(SendError(1)));
    assert_eq!(s.try_send(2), Err(TrySendError::Disconnected(2)));
    assert_eq!(s.send_timeout(3, FOR_EVER), Err(SendTimeoutError::Disconnected(3)));
    assert_eq!(s.send_timeout(4, Duration::ZERO), Err(SendTimeoutError::Disconnected(4)));
    assert_eq!(s.send_timeout(5, Duration::MAX), Err(SendTimeoutError::Disconnected(5)));
    let deadline = now() + FOR_EVER;
    assert_eq!(s.send_deadline(6, deadline), Err(SendTimeoutError::Disconnected(6)));
    assert_eq!(s.send_deadline(7, now()), Err(SendTimeoutError::Disconnected(7)));
}

#[track_caller]
fn expect_no_senders(r: &Receiver<i32>) {
    assert_eq!(r.recv(), Err(RecvError));
    assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(r.recv_timeout(FOR_EVER), Err(RecvTimeoutError::Disconnected));
    assert_eq!(r.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
    assert_eq!(r.recv_timeout(Duration::MAX), Err(RecvTimeoutError::Disconnected));
    assert_eq!(r.recv_deadline(now() + FOR_EVER), Err(RecvTimeoutError::Disconnected));
    assert_eq!(r.recv_deadline(now()), Err(RecvTimeoutError::Disconnected));
    assert_eq!((r.iter().next(), r.try_iter().next()), (None, None));
}

#[test]
fn sender_without_receivers_gets_its_message_back() {
    everywhere(|| {
        for (s, r) in kinds() {
            drop(r);
            expect_no_receivers(&s);
            expect_no_receivers(&s.clone());
        }
    });
}

#[test]
fn receiver_without_senders_hears_of_it() {
    everywhere(|| {
        for (s, r) in kinds() {
            drop(s);
            expect_no_senders(&r);
            expect_no_senders(&r.clone());
        }
    });
}

#[test]
fn full_channel_without_receivers_is_gone_and_not_full() {
    everywhere(|| {
        let (s, r) = bounded(2);
        s.send(1).unwrap();
        s.send(2).unwrap();
        drop(r);
        expect_no_receivers(&s);
    });
}

#[test]
fn messages_sent_before_the_end_are_received_after_it() {
    everywhere(|| {
        for (s, r) in buffered() {
            s.send(1).unwrap();
            drop(s);
            let copy = r.clone();
            assert_eq!(r.recv(), Ok(1));
            expect_no_senders(&r);
            expect_no_senders(&copy);
        }
        for (s, r) in buffered() {
            s.send(1).unwrap();
            drop(s);
            assert_eq!(r.try_recv(), Ok(1));
            assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
        }
        for (s, r) in buffered() {
            s.send(1).unwrap();
            drop(s);
            assert_eq!(r.recv_timeout(Duration::ZERO), Ok(1));
            assert_eq!(r.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
        }
    });
}

#[test]
fn only_the_last_copy_of_an_end_counts() {
    everywhere(|| {
        for (s, r) in buffered() {
            let (other_s, other_r) = (s.clone(), r.clone());
            drop(s);
            drop(r);
            other_s.send(1).unwrap();
            assert_eq!(other_r.recv(), Ok(1));
            assert_eq!(other_r.try_recv(), Err(TryRecvError::Empty));
            let last = other_s.clone();
            drop(other_s);
            assert_eq!(other_r.try_recv(), Err(TryRecvError::Empty));
            drop(last);
            expect_no_senders(&other_r);
        }
    });
}

#[test]
fn waiting_receivers_are_woken_when_the_last_sender_goes() {
    everywhere(|| {
        for (s, r) in kinds() {
            thread::scope(|scope| {
                let waits: [fn(&Receiver<i32>); 4] = [
                    |r| assert_eq!(r.recv(), Err(RecvError)),
                    |r| assert_eq!(r.recv_timeout(FOR_EVER), Err(RecvTimeoutError::Disconnected)),
                    |r| {
                        assert_eq!(
                            r.recv_deadline(now() + FOR_EVER),
                            Err(RecvTimeoutError::Disconnected)
                        )
                    },
                    |r| assert_eq!(r.iter().next(), None),
                ];
                for wait in waits {
                    let r = r.clone();
                    scope.spawn(move || wait(&r));
                }
                settle();
                drop(s.clone());
                settle();
                drop(s);
            });
        }
    });
}

#[test]
fn waiting_senders_are_woken_when_the_last_receiver_goes() {
    everywhere(|| {
        for (s, r) in [bounded(0), bounded(1)] {
            let _ = s.try_send(0);
            thread::scope(|scope| {
                let waits: [fn(&Sender<i32>); 3] = [
                    |s| assert_eq!(s.send(1), Err(SendError(1))),
                    |s| {
                        assert_eq!(
                            s.send_timeout(2, FOR_EVER),
                            Err(SendTimeoutError::Disconnected(2))
                        )
                    },
                    |s| {
                        let error = s.send_deadline(3, now() + FOR_EVER).unwrap_err();
                        assert_eq!(error, SendTimeoutError::Disconnected(3));
                    },
                ];
                for wait in waits {
                    let s = s.clone();
                    scope.spawn(move || wait(&s));
                }
                settle();
                drop(r.clone());
                settle();
                drop(r);
            });
        }
    });
}

#[test]
fn message_that_arrives_with_the_end_is_not_missed() {
    everywhere(|| {
        for _ in 0..20 {
            for (s, r) in kinds() {
                thread::scope(|scope| {
                    let waiter = scope.spawn(move || (r.recv(), r.recv()));
                    scope.spawn(move || s.send(1).unwrap());
                    assert_eq!(waiter.join().unwrap(), (Ok(1), Err(RecvError)));
                });
            }
        }
    });
}

#[test]
fn every_one_of_several_receivers_hears_of_the_end_once_all_is_received() {
    everywhere(|| {
        for (s, r) in buffered() {
            let got: i32 = thread::scope(|scope| {
                let receivers: Vec<_> = (0..4)
                    .map(|_| {
                        let r = r.clone();
                        scope.spawn(move || {
                            let sum: i32 = r.iter().sum();
                            expect_no_senders(&r);
                            sum
                        })
                    })
                    .collect();
                for number in 1..=40 {
                    s.send(number).unwrap();
                }
                drop(s);
                receivers.into_iter().map(|one| one.join().unwrap()).sum()
            });
            assert_eq!(got, 820);
        }
    });
}

#[test]
fn panic_of_a_thread_with_an_end_is_heard_at_the_other() {
    everywhere(|| {
        for (s, r) in kinds() {
            thread::scope(|scope| {
                let fails = scope.spawn(move || {
                    let _s = s;
                    settle();
                    std::panic::resume_unwind(Box::new("on purpose"));
                });
                assert_eq!(r.recv(), Err(RecvError));
                assert!(fails.join().is_err());
            });
        }
        for (s, r) in [bounded(0), bounded(1)] {
            let _ = s.try_send(0);
            thread::scope(|scope| {
                let fails = scope.spawn(move || {
                    let _r = r;
                    settle();
                    std::panic::resume_unwind(Box::new("on purpose"));
                });
                assert_eq!(s.send(1), Err(SendError(1)));
                assert!(fails.join().is_err());
            });
        }
    });
}
