//! `Select`'s other half: it says what is ready, and leaves the doing to whoever asks.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::channel::{
    ReadyTimeoutError, Receiver, RecvError, Select, TryReadyError, after, bounded, never, unbounded,
};
use super::{everywhere, now, settle, thread};

const MOMENT: Duration = Duration::from_millis(3);
/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[test]
fn what_is_ready_is_named_and_stays_ready() {
    everywhere(|| {
        let ((s, r), none) = (bounded(1), never::<i32>());
        let mut choice = Select::new();
        choice.recv(&none);
        let receiving = choice.recv(&r);
        s.send(1).unwrap();
        for _ in 0..3 {
            assert_eq!(choice.try_ready(), Ok(receiving));
            assert_eq!(choice.ready(), receiving);
            assert_eq!(choice.ready_timeout(Duration::ZERO), Ok(receiving));
            assert_eq!(choice.ready_timeout(Duration::MAX), Ok(receiving));
            assert_eq!(choice.ready_deadline(now()), Ok(receiving));
            assert_eq!(choice.ready_deadline(now() + FOR_EVER), Ok(receiving));
        }
        assert_eq!(r.try_recv(), Ok(1));
        assert_eq!(choice.try_ready(), Err(TryReadyError));
    });
}

#[test]
fn nothing_ready_ends_with_its_time_and_not_before() {
    everywhere(|| {
        let ((_s1, r1), (s2, _r2), (s3, r3)) = (unbounded::<i32>(), bounded(1), bounded::<i32>(0));
        s2.send(1).unwrap();
        let mut choice = Select::new();
        choice.recv(&r1);
        choice.send(&s2);
        choice.send(&s3);
        choice.recv(&r3);
        assert_eq!(choice.try_ready(), Err(TryReadyError));
        let start = now();
        assert_eq!(choice.ready_timeout(MOMENT), Err(ReadyTimeoutError));
        assert!(now() - start >= MOMENT);
        let deadline = now() + MOMENT;
        assert_eq!(choice.ready_deadline(deadline), Err(ReadyTimeoutError));
        assert!(now() >= deadline);
        assert_eq!(choice.ready_timeout(Duration::ZERO), Err(ReadyTimeoutError));
        assert_eq!(choice.ready_deadline(start), Err(ReadyTimeoutError));
    });
}

#[test]
fn room_and_ends_of_channels_are_ready() {
    everywhere(|| {
        let (s, r) = bounded(1);
        let mut choice = Select::new();
        let sending = choice.send(&s);
        assert_eq!(choice.try_ready(), Ok(sending));
        s.send(1).unwrap();
        assert_eq!(choice.try_ready(), Err(TryReadyError));
        drop(r);
        assert_eq!(choice.ready(), sending);
        let (s, _r) = unbounded::<i32>();
        let mut choice = Select::new();
        assert_eq!((choice.send(&s), choice.ready()), (0, 0));
        for (s, r) in [bounded::<i32>(0), bounded(1), unbounded()] {
            let mut choice = Select::new();
            let receiving = choice.recv(&r);
            assert_eq!(choice.try_ready(), Err(TryReadyError));
            drop(s);
            assert_eq!(choice.ready(), receiving);
            assert_eq!(r.recv(), Err(RecvError));
        }
    });
}

#[test]
fn biased_choice_names_the_first_that_is_ready() {
    everywhere(|| {
        let channels: Vec<_> = (0..4).map(|_| bounded(1)).collect();
        let mut choice = Select::new_biased();
        for (_, r) in &channels {
            choice.recv(r);
        }
        for first in (0..4).rev() {
            channels[first].0.send(first).unwrap();
            for _ in 0..5 {
                assert_eq!(choice.ready(), first);
            }
        }
    });
}

#[test]
fn clock_becomes_ready_when_its_time_is_over() {
    everywhere(|| {
        let start = now();
        let (clock, none) = (after(MOMENT), never::<i32>());
        let mut choice = Select::new();
        choice.recv(&none);
        choice.recv(&clock);
        assert_eq!(choice.ready(), 1);
        assert!(now() - start >= MOMENT);
        assert!(clock.try_recv().is_ok());
        assert_eq!(choice.ready_timeout(MOMENT), Err(ReadyTimeoutError));
    });
}

/// Waits until something can be received from one of the receivers, and receives it. What is ready
/// may be gone again.
fn first(receivers: &[Receiver<i32>]) -> (usize, Result<i32, RecvError>) {
    let mut choice = Select::new();
    for receiver in receivers {
        choice.recv(receiver);
    }
    loop {
        let index = choice.ready();
        match receivers[index].try_recv() {
            Ok(message) => return (index, Ok(message)),
            Err(error) if error.is_disconnected() => return (index, Err(RecvError)),
            Err(_) => thread::yield_now(),
        }
    }
}

#[test]
fn waiting_call_is_woken_by_a_message_into_any_channel() {
    everywhere(|| {
        for number in 0..3 {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                [bounded(0), bounded(1), unbounded()].into_iter().unzip();
            thread::scope(|scope| {
                let waiter = scope.spawn(move || first(&receivers));
                settle();
                senders[number].send(7).unwrap();
                assert_eq!(waiter.join().unwrap(), (number, Ok(7)));
            });
        }
    });
}

#[test]
fn waiting_call_is_woken_by_the_end_of_any_channel() {
    everywhere(|| {
        for number in 0..3 {
            let (mut senders, receivers): (Vec<_>, Vec<_>) =
                [bounded(0), bounded(1), unbounded()].into_iter().unzip();
            thread::scope(|scope| {
                let waiter = scope.spawn(move || first(&receivers));
                settle();
                drop(senders.remove(number));
                assert_eq!(waiter.join().unwrap(), (number, Err(RecvError)));
                drop(senders);
            });
        }
    });
}

#[test]
fn waiting_call_is_woken_by_room() {
    everywhere(|| {
        for bound in [0, 1] {
            let (s, r) = bounded(bound);
            let _ = s.try_send(0);
            thread::scope(|scope| {
                let s = &s;
                let waiter = scope.spawn(move || {
                    let mut choice = Select::new();
                    choice.send(s);
                    loop {
                        assert_eq!(choice.ready(), 0);
                        if s.try_send(1).is_ok() {
                            break;
                        }
                        thread::yield_now();
                    }
                });
                settle();
                if bound == 1 {
                    assert_eq!(r.recv(), Ok(0));
                }
                assert_eq!(r.recv(), Ok(1));
                waiter.join().unwrap();
            });
        }
    });
}

#[test]
fn waiting_call_with_a_limit_is_woken_in_time() {
    everywhere(|| {
        for patience in [FOR_EVER, Duration::MAX] {
            let (s, r) = bounded(1);
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let mut choice = Select::new();
                    choice.recv(&r);
                    choice.ready_timeout(patience)
                });
                settle();
                s.send(1).unwrap();
                assert_eq!(waiter.join().unwrap(), Ok(0));
            });
        }
    });
}

#[test]
fn all_that_wait_for_the_same_channel_learn_of_its_messages() {
    everywhere(|| {
        for (s, r) in [bounded(0), bounded(2), unbounded()] {
            let mut got: Vec<_> = thread::scope(|scope| {
                let waiters: Vec<_> = (0..6)
                    .map(|_| {
                        let r = r.clone();
                        scope.spawn(move || first(&[never(), r]).1.unwrap())
                    })
                    .collect();
                settle();
                for number in 0..6 {
                    s.send(number).unwrap();
                }
                waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect()
            });
            got.sort_unstable();
            assert_eq!(got, (0..6).collect::<Vec<_>>());
        }
    });
}

#[test]
fn waiting_call_for_room_is_woken_by_the_end_of_the_receivers() {
    everywhere(|| {
        for (s, r) in [bounded(0), bounded(1)] {
            let _ = s.try_send(0);
            thread::scope(|scope| {
                let waiter = scope.spawn(move || {
                    let mut choice = Select::new();
                    let index = choice.send(&s);
                    assert_eq!(choice.ready(), index);
                    s.try_send(1).unwrap_err().is_disconnected()
                });
                settle();
                drop(r);
                assert!(waiter.join().unwrap());
            });
        }
    });
}

#[test]
fn one_end_wakes_all_that_wait_for_it() {
    everywhere(|| {
        for (s, r) in [bounded::<i32>(0), bounded(1), unbounded()] {
            thread::scope(|scope| {
                for _ in 0..40 {
                    scope.spawn(|| {
                        let mut choice = Select::new();
                        choice.recv(&r);
                        assert_eq!((choice.ready(), r.try_recv().is_err()), (0, true));
                    });
                }
                settle();
                drop(s);
            });
        }
    });
}
