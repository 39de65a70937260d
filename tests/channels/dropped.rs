//! Ends that go while others wait, and messages whose destructors misbehave.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use sylvan::channel::{Select, bounded, unbounded};
use sylvan::thread;
use sylvan_workspace::{everywhere, in_child, in_every_runtime};

use crate::support::{Foreign, Ledger, Letter, fail, poll_once, settle};
use crate::ways::{to_receive, to_send};

#[test]
fn last_receiver_that_goes_gives_each_sender_its_own_message_back() {
    everywhere(|_| {
        for capacity in [0, 2] {
            let ways = to_send::<Letter>();
            let count = 5 * ways.len();
            let ledger = Ledger::new(count + capacity);
            let (sender, receiver) = bounded(capacity);
            for number in count..count + capacity {
                sender.send(ledger.letter(number)).ok().unwrap();
            }
            thread::scope(|scope| {
                let senders: Vec<_> = (0..count)
                    .map(|number| {
                        let (give, sender) = (&ways[number % ways.len()], &sender);
                        let letter = ledger.letter(number);
                        scope.spawn(move || (give.call)(sender, letter).map_err(|it| it.number))
                    })
                    .collect();
                settle();
                let other = receiver.clone();
                drop(receiver);
                settle();
                assert!(senders.iter().all(|sender| !sender.is_finished()), "one is left");
                drop(other);
                for (number, sender) in senders.into_iter().enumerate() {
                    assert_eq!(sender.join().unwrap(), Err(number));
                }
            });
            drop(sender);
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn last_sender_that_goes_ends_every_kind_of_wait_to_receive() {
    everywhere(|_| {
        for capacity in [Some(0), Some(1), None] {
            let ways = to_receive::<Letter>();
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            thread::scope(|scope| {
                let receivers: Vec<_> = (0..3 * ways.len())
                    .map(|number| {
                        let (take, receiver) = (&ways[number % ways.len()], &receiver);
                        scope.spawn(move || (take.call)(receiver).is_none())
                    })
                    .collect();
                settle();
                let other = sender.clone();
                drop(sender);
                settle();
                assert!(receivers.iter().all(|receiver| !receiver.is_finished()), "one is left");
                drop(other);
                for (receiver, take) in receivers.into_iter().zip(ways.iter().cycle()) {
                    assert!(receiver.join().unwrap(), "{}", take.name);
                }
            });
        }
    });
}

#[test]
fn ready_hears_of_a_disconnection() {
    everywhere(|_| {
        for end_of_senders in [false, true] {
            let (sender, receiver) = bounded::<u8>(0);
            let (sender, receiver) = (Some(sender), Some(receiver));
            thread::scope(|scope| {
                let (mut sender, mut receiver) = (sender, receiver);
                let watches = if end_of_senders {
                    let receiver = receiver.take().unwrap();
                    scope.spawn(move || {
                        let mut select = Select::new();
                        select.recv(&receiver);
                        select.ready()
                    })
                } else {
                    let sender = sender.take().unwrap();
                    scope.spawn(move || {
                        let mut select = Select::new();
                        select.send(&sender);
                        select.ready()
                    })
                };
                settle();
                drop((sender, receiver));
                assert_eq!(watches.join().unwrap(), 0);
            });
        }
    });
}

/// A message whose drop panics, unless its thread does so already.
struct Thorn(Arc<AtomicUsize>);

impl Drop for Thorn {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        if !std::thread::panicking() {
            fail();
        }
    }
}

fn panics(f: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "the panic has been swallowed");
}

#[test]
fn message_that_panics_when_the_last_receiver_goes_keeps_no_sender_waiting() {
    everywhere(|_| {
        for capacity in [Some(2), None] {
            let drops = Arc::new(AtomicUsize::new(0));
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            for _ in 0..2 {
                assert!(sender.send(Thorn(drops.clone())).is_ok());
            }
            thread::scope(|scope| {
                let waits = scope.spawn(|| match sender.send(Thorn(drops.clone())) {
                    Ok(()) => None,
                    Err(error) => Some(error.into_inner()),
                });
                settle();
                panics(|| drop(receiver));
                let back = waits.join().unwrap();
                assert!(back.is_some() || capacity.is_none(), "there is room for two");
                back.into_iter().for_each(|thorn| panics(|| drop(thorn)));
            });
            panics(|| drop(sender.send(Thorn(drops.clone()))));
            drop(sender);
            assert_eq!(drops.load(SeqCst), 4, "none is lost");
            assert_eq!(Arc::strong_count(&drops), 1, "none is leaked");
        }
    });
}

/// Two messages that panic regardless: nobody could go on after the second one but by leaking it.
#[test]
fn messages_that_all_panic_do_not_end_the_process() {
    struct Worse;
    impl Drop for Worse {
        fn drop(&mut self) {
            fail();
        }
    }
    let child = in_child("dropped::messages_that_all_panic_do_not_end_the_process", &[], || {
        everywhere(|_| {
            let (sender, receiver) = unbounded();
            (0..3).for_each(|_| assert!(sender.send(Worse).is_ok()));
            panics(|| drop(receiver));
            drop(sender);
        });
        println!("went on");
    });
    child.expect_success();
    assert!(child.stdout.contains("went on"), "{}", child.stdout);
}

#[test]
fn message_that_panics_in_the_hands_of_its_owner_leaves_the_channel_usable() {
    everywhere(|_| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = bounded(1);
        for round in 1..=4 {
            assert!(sender.send(Thorn(drops.clone())).is_ok());
            let mut waits = Box::pin(sender.send_async(Thorn(drops.clone())));
            assert!(poll_once(waits.as_mut()).is_pending());
            // Its place in the queue goes with it.
            panics(|| drop(waits));
            panics(|| drop(receiver.recv()));
            assert!(receiver.try_recv().is_err());
            assert_eq!(drops.load(SeqCst), 2 * round);
        }
    });
}

#[test]
fn cancelled_sender_whose_message_panics_keeps_nobody_waiting() {
    in_every_runtime(|_| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = bounded(0);
        thread::scope(|scope| {
            let thorn = Thorn(drops.clone());
            let cancelled = scope.spawn(|| sender.send(thorn).is_ok());
            settle();
            let behind = scope.spawn(|| sender.send(Thorn(drops.clone())).is_ok());
            cancelled.cancel().unwrap();
            assert!(cancelled.join().is_err());
            assert_eq!(drops.load(SeqCst), 1);
            panics(|| drop(receiver.recv()));
            assert!(behind.join().unwrap());
        });
    });
}

#[test]
fn channel_lives_until_its_last_end_goes_wherever_that_is() {
    in_every_runtime(|_| {
        for round in 0..40 {
            let ledger = Ledger::new(3);
            let (sender, receiver) = unbounded();
            (0..3).for_each(|number| sender.send(ledger.letter(number)).ok().unwrap());
            std::thread::scope(|kernel| {
                let ends = Foreign::spawn(kernel, move || drop(receiver));
                if round % 2 == 0 {
                    thread::yield_now();
                }
                drop(sender);
                ends.join();
            });
            ledger.expect_all_gone();
        }
    });
}
