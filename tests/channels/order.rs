//! The order of messages: whatever ways its sender and the receiver take, each of a sender's
//! messages comes behind the one that it sent before.
//!
//! Looked for with chance: ways are drawn, some of them lead nowhere (a deadline that comes at
//! once, a future that is dropped after a poll, an operation that is given up), and each sender
//! counts. The seed is printed when a test fails.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use sylvan::channel::{Receiver, Select, SendTimeoutError, Sender, bounded, select, unbounded};
use sylvan::thread;
use sylvan_workspace::{Random, everywhere};

use crate::mixed::ORDERED;
use crate::support::{fail, poll_once};
use crate::ways::{Kind, to_receive, to_send};

type Message = (usize, usize);

const SENDERS: usize = 3;

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(30))
}

/// Sends `message` by some way, of which some have to try again.
fn send(sender: &Sender<Message>, message: Message, random: &mut Random) {
    let ways = to_send();
    loop {
        let is_sent = match random.below(9) {
            0 => sender.try_send(message).is_ok(),
            1 => match sender.send_timeout(message, moment(random)) {
                Err(SendTimeoutError::Disconnected(_)) => panic!("the receiver has failed"),
                sent => sent.is_ok(),
            },
            // Dropped after a poll, it has been sent or not; only a look at it can tell.
            2 => {
                let mut future = Box::pin(sender.send_async(message));
                match poll_once(future.as_mut()) {
                    Poll::Ready(sent) => sent.is_ok(),
                    Poll::Pending => {
                        thread::yield_now();
                        sylvan::block_on(future).unwrap();
                        true
                    }
                }
            }
            // Given up once, and then chosen again.
            3 => {
                let given_up = catch_unwind(AssertUnwindSafe(|| {
                    let mut select = Select::new();
                    select.send(sender);
                    let _operation = select.select_timeout(moment(random));
                    fail();
                }));
                assert!(given_up.is_err());
                false
            }
            number => {
                let way = &ways[number as usize % ways.len()];
                // Two that watch for each other would do so for ever.
                way.kind != Kind::Ready && (way.call)(sender, message).is_ok()
            }
        };
        if is_sent {
            return;
        }
        thread::yield_now();
    }
}

/// Receives a message by some way, which may lead nowhere.
fn receive(receiver: &Receiver<Message>, random: &mut Random) -> Option<Message> {
    let ways = to_receive();
    match random.below(12) {
        0 => receiver.try_recv().ok(),
        1 => receiver.recv_timeout(moment(random)).ok(),
        2 => select! { recv(receiver) -> it => it.ok(), default(moment(random)) => None },
        // What it was given goes back.
        3 => {
            let mut future = Box::pin(receiver.recv_async());
            if let Poll::Ready(it) = poll_once(future.as_mut()) {
                return it.ok();
            }
            thread::yield_now();
            None
        }
        4 => {
            let given_up = catch_unwind(AssertUnwindSafe(|| {
                let mut select = Select::new();
                select.recv(receiver);
                let _operation = select.select_timeout(moment(random));
                fail();
            }));
            assert!(given_up.is_err());
            None
        }
        number => (ways[number as usize % ways.len()].call)(receiver),
    }
}

#[test]
fn messages_of_each_sender_come_in_their_order_whatever_ways_are_taken() {
    everywhere(|shape| {
        for capacity in [Some(0), Some(1), Some(2), None] {
            let count = ORDERED / 10;
            let seed = u64::from(std::process::id()) + capacity.unwrap_or(9) as u64;
            let mut random = Random::new(seed);
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            thread::scope(move |scope| {
                for number in 0..SENDERS {
                    let (sender, mut random) = (sender.clone(), random.split());
                    scope.spawn(move || {
                        (0..count).for_each(|it| send(&sender, (number, it), &mut random));
                    });
                }
                drop(sender);
                // Goes with a failure, and the senders then.
                let receiver = receiver;
                let mut next = [0; SENDERS];
                while next.iter().any(|next| *next < count) {
                    if let Some((number, it)) = receive(&receiver, &mut random) {
                        assert_eq!(it, next[number], "{shape}, {capacity:?}, seed {seed}");
                        next[number] += 1;
                    }
                }
                assert!(receiver.recv().is_err());
            });
        }
    });
}
