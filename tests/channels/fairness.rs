//! Who is chosen, who is first, and crowds.
#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use sylvan::channel::{Select, bounded, select, select_biased, unbounded};
use sylvan::thread;
use sylvan_workspace::{Shape, everywhere, in_every_runtime, until};

use crate::support::{poll_once, settle};

/// Fails unless each of `counts` is within ten times the standard deviation of a fair draw.
#[track_caller]
fn expect_even(counts: &[usize]) {
    let total = counts.iter().sum::<usize>() as f64;
    let share = 1.0 / counts.len() as f64;
    let off = 10.0 * (total * share * (1.0 - share)).sqrt();
    let is_near = |count: &usize| (*count as f64 - total * share).abs() <= off;
    assert!(counts.iter().all(is_near), "{counts:?}");
}

const DRAWS: usize = 4_000;

#[test]
fn operations_that_are_always_ready_are_chosen_evenly() {
    everywhere(|_| {
        let channels: Vec<_> = (0..8).map(|_| unbounded()).collect();
        channels.iter().for_each(|(sender, _)| sender.send(()).unwrap());
        // Half of them receive, half of them send.
        let mut select = Select::new();
        for (number, (sender, receiver)) in channels.iter().enumerate() {
            assert_eq!(
                number,
                if number < 4 { select.recv(receiver) } else { select.send(sender) }
            );
        }
        let (mut chosen, mut tried, mut ready) = ([0; 8], [0; 8], [0; 8]);
        for _ in 0..DRAWS {
            ready[select.ready()] += 1;
            for (counts, operation) in
                [(&mut tried, select.try_select().unwrap()), (&mut chosen, select.select())]
            {
                let index = operation.index();
                counts[index] += 1;
                let (sender, receiver) = &channels[index];
                if index < 4 {
                    operation.recv(receiver).unwrap();
                    sender.send(()).unwrap();
                } else {
                    operation.send(sender, ()).unwrap();
                    receiver.recv().unwrap();
                }
            }
        }
        [chosen, tried, ready].iter().for_each(|counts| expect_even(counts));
    });
}

#[test]
fn arms_of_the_macro_are_chosen_evenly_and_the_biased_ones_in_their_order() {
    everywhere(|_| {
        let (closed, room) = (unbounded::<()>().1, bounded(DRAWS));
        let other = unbounded::<()>();
        let mut counts = [0; 4];
        for _ in 0..DRAWS {
            other.0.send(()).unwrap();
            select! {
                recv(closed) -> it => { assert!(it.is_err()); counts[0] += 1 }
                recv(other.1) -> it => { it.unwrap(); counts[1] += 1 }
                send(room.0, ()) -> sent => { sent.unwrap(); counts[2] += 1 }
                recv(&closed.clone()) -> it => { assert!(it.is_err()); counts[3] += 1 }
            }
            select_biased! {
                recv(closed) -> _ => (),
                recv(other.1) -> _ => panic!("the first one is always ready"),
            }
        }
        expect_even(&counts);
    });
}

#[test]
fn thousand_futures_are_served_in_the_order_of_their_arrival() {
    everywhere(|_| {
        const COUNT: usize = 1_000;
        let (sender, receiver) = bounded(0);
        let mut futures: Vec<_> = (0..COUNT).map(|_| Box::pin(receiver.recv_async())).collect();
        futures.iter_mut().for_each(|future| assert!(poll_once(future.as_mut()).is_pending()));
        (0..COUNT).for_each(|number| sender.try_send(number).unwrap());
        assert!(sender.try_send(COUNT).is_err());
        for (number, future) in futures.iter_mut().enumerate() {
            assert!(poll_once(future.as_mut()).map(|it| it == Ok(number)).is_ready());
        }
    });
}

#[test]
fn thousand_receivers_are_served_in_the_order_of_their_arrival() {
    in_every_runtime(|shape| {
        const COUNT: usize = 1_000;
        // Elsewhere it cannot be seen when somebody has arrived.
        if !shape.is_many_to_one() {
            return;
        }
        let (sender, receiver) = unbounded();
        let served = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for number in 0..COUNT {
                let (receiver, served) = (&receiver, &served);
                let begun = std::sync::Arc::new(AtomicUsize::new(0));
                let begins = begun.clone();
                scope.spawn(move || {
                    begins.store(1, SeqCst);
                    let message = if number % 2 == 0 {
                        receiver.recv().unwrap()
                    } else {
                        select! { recv(receiver) -> it => it.unwrap() }
                    };
                    served.lock().unwrap().push((number, message));
                });
                until(|| begun.load(SeqCst) == 1);
                settle();
            }
            (0..COUNT).for_each(|message| sender.send(message).unwrap());
        });
        let served = served.into_inner().unwrap();
        assert_eq!(served.len(), COUNT);
        assert!(served.iter().all(|(number, message)| number == message), "{served:?}");
    });
}

#[test]
fn sender_that_waits_is_not_overtaken_by_those_that_come_later() {
    everywhere(|_| {
        let (sender, receiver) = bounded(1);
        sender.send(0).unwrap();
        let mut waiting: Vec<_> = (1..50).map(|it| Box::pin(sender.send_async(it))).collect();
        waiting.iter_mut().for_each(|future| assert!(poll_once(future.as_mut()).is_pending()));
        for number in 0..50 {
            assert!(sender.try_send(1_000).is_err(), "there is room, but it is somebody else's");
            let mut select = Select::new();
            select.send(&sender);
            assert!(select.try_select().is_err());
            assert_eq!(receiver.try_recv(), Ok(number));
        }
        assert!(receiver.is_empty());
        waiting.iter_mut().for_each(|future| assert!(poll_once(future.as_mut()).is_ready()));
    });
}

#[test]
fn sender_that_comes_always_again_leaves_room_to_the_others() {
    in_every_runtime(|shape| {
        let (sender, receiver) = bounded(1);
        thread::scope(|scope| {
            for number in 0..3_usize {
                let sender = sender.clone();
                scope.spawn(move || while sender.send(number).is_ok() {});
            }
            let (mut last, mut longest, mut counts) = ([0; 3], 0, [0; 3]);
            for place in 1.. {
                let number = receiver.recv().unwrap();
                longest = longest.max(place - last[number]);
                (last[number], counts[number]) = (place, counts[number] + 1);
                if counts.iter().all(|count| *count >= 100) {
                    break;
                }
            }
            drop(receiver);
            // Whoever has sent stands behind the others when it comes again. One that comes while
            // nobody waits sends three: into the receiver's hands, into the room, and as the first
            // in the queue.
            if shape == Shape::ManyToOne {
                assert!(longest <= 3 * 3, "a sender was passed over {longest} times");
            }
        });
    });
}

#[test]
fn ten_thousand_hear_of_a_disconnection_although_half_of_them_are_cancelled() {
    in_every_runtime(|shape| {
        // Kernel threads are not so cheap, nor are choices out of so many.
        let count = match shape {
            Shape::OneToOne | Shape::Outside => 200,
            Shape::Seeded(_) => 1_000,
            Shape::ManyToOne | Shape::ManyToMany(_) => 10_000,
        };
        for end_of_senders in [false, true] {
            let (sender, receiver) = bounded::<usize>(0);
            let (sender, receiver) = (Some(sender), Some(receiver));
            let started = AtomicUsize::new(0);
            thread::scope(|scope| {
                let waits = |number: usize| {
                    let started = &started;
                    let kind = number % 4;
                    let (sender, receiver) = match end_of_senders {
                        true => (None, receiver.clone()),
                        false => (sender.clone(), None),
                    };
                    move || {
                        started.fetch_add(1, SeqCst);
                        let mut select = Select::new();
                        match (&sender, &receiver) {
                            (Some(sender), _) => match kind {
                                0 => sender.send(1).is_err(),
                                1 => select! { send(sender, 1) -> sent => sent.is_err() },
                                2 => sylvan::block_on(sender.send_async(1)).is_err(),
                                _ => {
                                    select.send(sender);
                                    select.ready() == 0
                                }
                            },
                            (None, Some(receiver)) => match kind {
                                0 => receiver.recv().is_err(),
                                1 => select! { recv(receiver) -> it => it.is_err() },
                                2 => sylvan::block_on(receiver.recv_async()).is_err(),
                                _ => {
                                    select.recv(receiver);
                                    select.ready() == 0
                                }
                            },
                            (None, None) => unreachable!("it has one of them"),
                        }
                    }
                };
                let threads: Vec<_> = (0..count).map(|it| scope.spawn(waits(it))).collect();
                until(|| started.load(SeqCst) == count);
                for thread in threads.iter().step_by(2) {
                    thread.cancel().unwrap();
                }
                drop((sender, receiver));
                for (number, thread) in threads.into_iter().enumerate() {
                    let heard = thread.join();
                    assert!(heard.is_err() && number % 2 == 0 || heard.unwrap());
                }
            });
        }
    });
}
