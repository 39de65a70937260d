//! `broadcast`: every receiver gets every message, or is told how many it has missed.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use sylvan::channel::broadcast::{self, RecvError, TryRecvError};
use sylvan::thread;
use sylvan_workspace::{everywhere, in_every_runtime};

use crate::support::{HOUR, poll_once, settle};

#[test]
fn every_receiver_gets_every_message_in_order() {
    everywhere(|_| {
        const COUNT: usize = 200;
        let (sender, first) = broadcast::channel(COUNT);
        let receivers = [first.clone(), first, sender.subscribe()];
        let threads = receivers.map(|mut receiver| {
            thread::spawn(move || {
                let mut got = Vec::new();
                while let Ok(number) = receiver.recv() {
                    got.push(number);
                }
                assert_eq!(receiver.recv(), Err(RecvError::Disconnected));
                got
            })
        });
        for number in 0..COUNT {
            assert_eq!(sender.send(number).unwrap(), 3);
        }
        drop(sender);
        let expected: Vec<_> = (0..COUNT).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}

#[test]
fn slow_receiver_is_told_once_what_it_has_missed_and_goes_on_with_what_is_left() {
    let (sender, mut slow) = broadcast::channel(3);
    let mut quick = sender.subscribe();
    for number in 0..10 {
        sender.send(number).unwrap();
        assert_eq!(quick.recv(), Ok(number));
    }
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(7)));
    for number in 7..10 {
        assert_eq!(slow.try_recv(), Ok(number));
    }
    assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
    drop(sender);
    assert_eq!(slow.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn slow_receiver_slows_down_nobody() {
    in_every_runtime(|_| {
        let (sender, slow) = broadcast::channel(1);
        let mut quick = sender.subscribe();
        let reader = thread::spawn(move || {
            let (mut seen, mut missed) = (0, 0);
            loop {
                match quick.recv() {
                    Ok(_) => seen += 1,
                    Err(RecvError::Lagged(count)) => missed += count,
                    Err(RecvError::Disconnected) => return seen + missed,
                }
            }
        });
        // Sending never waits, whatever the receivers do.
        for number in 0..1000_u32 {
            sender.send(number).unwrap();
            if number % 10 == 0 {
                thread::yield_now();
            }
        }
        drop(sender);
        assert_eq!(reader.join().unwrap(), 1000);
        drop(slow);
    });
}

#[test]
fn receiver_gets_what_is_sent_after_its_making_and_a_clone_goes_on_from_where_it_is() {
    let (sender, mut first) = broadcast::channel(8);
    sender.send(1).unwrap();
    let mut later = sender.subscribe();
    sender.send(2).unwrap();
    assert_eq!(first.recv(), Ok(1));
    let mut clone = first.clone();
    assert_eq!((first.recv(), clone.recv(), later.recv()), (Ok(2), Ok(2), Ok(2)));
    assert_eq!(sender.receiver_count(), 3);
}

#[test]
fn message_comes_back_if_nobody_would_receive_it() {
    let (sender, receiver) = broadcast::channel(2);
    drop(receiver);
    assert_eq!(sender.send("back").unwrap_err().into_inner(), "back");
    let mut receiver = sender.subscribe();
    sender.send("there").unwrap();
    assert_eq!(receiver.recv(), Ok("there"));
}

#[test]
#[should_panic(expected = "needs a capacity of at least 1; 0 was given")]
fn capacity_of_0_is_refused() {
    let _ = broadcast::channel::<u8>(0);
}

/// Counts its clones and its drops.
struct Watched(Arc<[AtomicUsize; 2]>);

impl Clone for Watched {
    fn clone(&self) -> Watched {
        self.0[0].fetch_add(1, SeqCst);
        Watched(self.0.clone())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0[1].fetch_add(1, SeqCst);
    }
}

#[test]
fn message_goes_as_soon_as_everybody_has_seen_it_and_the_last_one_gets_it_uncloned() {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let (clones, drops) = (|| counts[0].load(SeqCst), || counts[1].load(SeqCst));
    let (sender, mut one) = broadcast::channel(100);
    let mut two = sender.subscribe();
    sender.send(Watched(counts.clone())).unwrap_or_else(|_| panic!("there are receivers"));
    drop(one.recv());
    assert_eq!((clones(), drops()), (1, 1));
    drop(two.recv());
    assert_eq!((clones(), drops()), (1, 2), "nothing is left in the channel");

    // Who goes without looking keeps nothing alive.
    sender.send(Watched(counts.clone())).unwrap_or_else(|_| panic!("there are receivers"));
    drop((one, two));
    assert_eq!((clones(), drops()), (1, 3));
    drop(sender);
}

#[test]
fn lost_messages_are_dropped_when_they_are_lost() {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let (sender, _receiver) = broadcast::channel(2);
    for sent in 1..=5_usize {
        sender.send(Watched(counts.clone())).unwrap_or_else(|_| panic!("there is a receiver"));
        assert_eq!(counts[1].load(SeqCst), sent.saturating_sub(2));
    }
}

#[test]
fn timeouts_cancellations_and_dropped_futures_take_nothing_along() {
    everywhere(|_| {
        let (sender, mut receiver) = broadcast::channel(4);
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(TryRecvError::Empty));
        let mut other = receiver.clone();
        let waits = thread::spawn(move || other.recv());
        settle();
        waits.cancel().unwrap();
        assert!(waits.join().is_err());
        {
            let mut future = Box::pin(receiver.recv_async());
            assert!(poll_once(future.as_mut()).is_pending());
            sender.send(7).unwrap();
        }
        let mut future = Box::pin(receiver.recv_async());
        assert_eq!(poll_once(future.as_mut()), Poll::Ready(Ok(7)));
        drop(future);
        sender.send(8).unwrap();
        assert_eq!(receiver.recv_timeout(HOUR), Ok(8));
    });
}
