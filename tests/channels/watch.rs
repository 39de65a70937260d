//! `watch`: the latest value for everybody.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use sylvan::channel::{RecvError, RecvTimeoutError, TryRecvError, watch};
use sylvan::thread;
use sylvan_workspace::{Counts, everywhere};

use crate::support::{HOUR, poll_once, settle};

#[test]
fn whoever_looks_sees_the_latest_value_and_hears_of_it_once() {
    let (sender, mut receiver) = watch::channel(1);
    assert_eq!((*receiver.get(), *sender.get()), (1, 1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.send(2).unwrap();
    sender.send(3).unwrap();
    assert_eq!(*receiver.get(), 3);
    assert_eq!(receiver.try_recv(), Ok(Arc::new(3)), "to look is not to receive");
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    sender.send(4).unwrap();
    drop(sender);
    assert_eq!(receiver.recv(), Ok(Arc::new(4)), "the last one is received");
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(*receiver.get(), 4);
}

#[test]
fn everybody_who_waits_gets_the_value() {
    everywhere(|_| {
        let (sender, receiver) = watch::channel(0);
        let threads: Vec<_> = (0..5)
            .map(|_| {
                let mut receiver = receiver.clone();
                thread::spawn(move || *receiver.recv().unwrap())
            })
            .collect();
        settle();
        sender.send(9).unwrap();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 9);
        }
    });
}

#[test]
fn values_never_go_back_and_the_last_one_is_seen() {
    everywhere(|_| {
        let (sender, receiver) = watch::channel(0);
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let mut receiver = receiver.clone();
                thread::spawn(move || {
                    let mut last = 0;
                    while let Ok(value) = receiver.recv() {
                        assert!(*value > last, "{value} after {last}");
                        last = *value;
                    }
                    last
                })
            })
            .collect();
        for value in 1..=200 {
            sender.send(value).unwrap();
            if value % 7 == 0 {
                thread::yield_now();
            }
        }
        drop(sender);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 200);
        }
    });
}

#[test]
fn update_misses_no_value_of_others() {
    everywhere(|_| {
        let (sender, receiver) = watch::channel(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        sender.update(|value| {
                            thread::yield_now();
                            value + 1
                        });
                    }
                });
            }
        });
        assert_eq!(*receiver.get(), 400);
    });
}

#[test]
fn value_that_is_wanted_is_waited_for() {
    everywhere(|_| {
        let (sender, mut receiver) = watch::channel(0);
        let waits = thread::spawn(move || {
            let value = *receiver.wait_for(|value| value % 5 == 4).unwrap();
            assert_eq!(receiver.wait_for(|value| *value > 100), Err(RecvError));
            value
        });
        for value in 1..5 {
            settle();
            sender.send(value).unwrap();
        }
        settle();
        drop(sender);
        assert_eq!(waits.join().unwrap(), 4);
    });
}

#[test]
fn value_comes_back_if_nobody_would_see_it_and_is_stored_if_it_shall() {
    let (sender, receiver) = watch::channel(1);
    drop(receiver);
    assert_eq!(sender.send(2).unwrap_err().into_inner(), 2);
    assert_eq!(*sender.get(), 1);
    assert_eq!(*sender.replace(3), 1);
    let mut receiver = sender.subscribe();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "it was there before");
    assert_eq!((*receiver.get(), sender.receiver_count()), (3, 1));
}

#[test]
fn value_lives_as_long_as_somebody_has_it() {
    let drops = AtomicUsize::new(0);
    let (sender, receiver) = watch::channel(Counts(&drops));
    let kept = receiver.get();
    drop(sender.replace(Counts(&drops)));
    assert_eq!(drops.load(SeqCst), 0);
    drop(kept);
    assert_eq!(drops.load(SeqCst), 1);
    drop((sender, receiver));
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn timeouts_cancellations_and_dropped_futures_take_nothing_along() {
    everywhere(|_| {
        let (sender, mut receiver) = watch::channel(0);
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        let mut other = receiver.clone();
        let waits = thread::spawn(move || other.recv().map(|value| *value));
        settle();
        waits.cancel().unwrap();
        assert!(waits.join().is_err());
        {
            let mut future = Box::pin(receiver.recv_async());
            assert!(poll_once(future.as_mut()).is_pending());
            sender.send(7).unwrap();
        }
        let mut future = Box::pin(receiver.recv_async());
        assert_eq!(poll_once(future.as_mut()), Poll::Ready(Ok(Arc::new(7))));
        drop(future);
        sender.send(8).unwrap();
        assert_eq!(receiver.recv_timeout(HOUR), Ok(Arc::new(8)));
    });
}
