//! What went wrong in other libraries, with the numbers of the list that the project keeps of it.
//!
//! Those numbers that are missing have no counterpart in channels. Three are covered elsewhere: a
//! wake between spinning and parked (12) by `mixed::token_goes_round_all_sides`, operations that
//! complete at once and never yield (16) by `budget::loops_…`, and a timer that goes while it fires
//! (4) by the timer wheel's own tests, for channels have no timers.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use sylvan::channel::{bounded, select, unbounded};
use sylvan::{Mapping, Runtime, thread, time};
use sylvan_workspace::{count_gaps, everywhere, in_every_runtime, until};

use crate::support::{Foreign, HOUR, Ledger, is_wanted, settle};

/// Number 1: a wake that came as the waiter's own timer fired was reported as a timeout, and lost.
#[sylvan::test(seeds = 200)]
fn message_that_comes_as_the_time_is_over_is_received_or_stays() {
    for capacity in [0, 1] {
        let (sender, receiver) = bounded(capacity);
        let moment = Duration::from_millis(1);
        thread::scope(|scope| {
            let begun = time::now();
            let sends = scope.spawn(|| {
                thread::sleep(moment);
                sender.try_send(7).is_ok()
            });
            let selects = scope.spawn(|| {
                select! { recv(receiver) -> it => it.is_ok(), default(moment) => false }
            });
            let received = receiver.recv_timeout(moment).is_ok();
            let selected = selects.join().unwrap();
            let (sent, left) = (sends.join().unwrap(), receiver.try_recv().is_ok());
            let all = [received, selected, left].into_iter().filter(|it| *it).count();
            assert_eq!(all, usize::from(sent), "{received} {selected} {left}");
            assert_eq!(time::now() - begun, moment);
        });
    }
}

/// Number 2: the way out of a yield that was cancelled erased a permit that was pending.
#[test]
fn waits_at_channels_leave_the_permit_of_park_alone() {
    everywhere(|_| {
        let (sender, receiver) = bounded(0);
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                thread::current().unpark();
                receiver.recv().unwrap();
                select! { recv(receiver) -> it => it.unwrap() }
                assert!(receiver.recv_timeout(Duration::from_micros(10)).is_err());
                // Would wait for ever.
                thread::park();
            });
            let unparks = waits.thread().clone();
            (0..2).for_each(|_| {
                until(|| is_wanted(&sender));
                unparks.unpark();
                sender.send(()).unwrap();
            });
            waits.join().unwrap();
        });
    });
}

/// Number 3: what the second of two wakers had done before was not seen by the one who was woken.
#[test]
fn disconnection_publishes_what_each_of_the_senders_has_done() {
    everywhere(|_| {
        const SENDERS: usize = 6;
        for _ in 0..20 {
            let marks: Vec<_> = (0..SENDERS).map(|_| AtomicUsize::new(0)).collect();
            let (sender, receiver) = unbounded::<usize>();
            thread::scope(|scope| {
                for (number, mark) in marks.iter().enumerate() {
                    let sender = sender.clone();
                    scope.spawn(move || {
                        mark.store(1, Relaxed);
                        if number % 2 == 0 {
                            sender.send(number).unwrap();
                            mark.store(2, Relaxed);
                        }
                    });
                }
                drop(sender);
                for number in &receiver {
                    assert!(marks[number].load(Relaxed) >= 1);
                }
                for (number, mark) in marks.iter().enumerate() {
                    assert_eq!(mark.load(Relaxed), 2 - number % 2);
                }
            });
        }
    });
}

/// Number 6: a sleeper that was interrupted stood in two queues, and was taken out of the other one
/// while it slept anew.
#[test]
fn select_that_has_ended_is_not_woken_by_the_channels_that_lost() {
    in_every_runtime(|_| {
        let (one, other, third) = (bounded(0), bounded(0), bounded::<()>(0));
        thread::scope(|scope| {
            let selects = scope.spawn(|| {
                for _ in 0..50 {
                    let lost = select! {
                        recv(one.1) -> it => { it.unwrap(); &other.1 }
                        recv(other.1) -> it => { it.unwrap(); &one.1 }
                    };
                    // Waits anew; the sender on the other channel may be about to look at it.
                    assert_eq!(third.1.recv(), Ok(()));
                    lost.recv().unwrap();
                }
            });
            std::thread::scope(|kernel| {
                let sends = Foreign::spawn(kernel, || {
                    (0..50).for_each(|_| one.0.send(()).unwrap());
                });
                let others = scope.spawn(|| (0..50).for_each(|_| other.0.send(()).unwrap()));
                for _ in 0..50 {
                    third.0.send(()).unwrap();
                }
                others.join().unwrap();
                sends.join();
            });
            selects.join().unwrap();
        });
    });
}

/// Number 15: a pair that plays ping-pong in the slot of those who go on next starved its worker.
#[test]
fn pair_that_plays_ping_pong_lets_others_of_its_worker_have_their_turns() {
    in_every_runtime(|shape| {
        for (ping, pong) in [(bounded(0), bounded(0)), (bounded(1), bounded(1))] {
            let (turns, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let watched = count_gaps(&turns, &stop);
            thread::scope(|scope| {
                scope.spawn(|| {
                    for () in &ping.1 {
                        turns.fetch_add(1, SeqCst);
                        pong.0.send(()).unwrap();
                    }
                });
                while turns.load(SeqCst) < 2_000 {
                    ping.0.send(()).unwrap();
                    turns.fetch_add(1, SeqCst);
                    pong.1.recv().unwrap();
                }
                drop(ping.0);
            });
            stop.store(true, SeqCst);
            let longest = watched.join().unwrap();
            // Each of the two counts twice in a slice at the most; see `fairness` in `behaviour`.
            if shape.is_many_to_one() {
                assert!(longest <= 2 * (4 * 3 + 61), "a thread was passed over {longest} times");
            }
        }
    });
}

/// Number 18: an executor was dropped while a waker of one of its tasks was being called.
#[test]
fn runtime_that_ends_while_its_threads_are_sent_to_loses_no_message() {
    for round in 0..30 {
        let ledger = Ledger::new(400);
        let (sender, receiver) = bounded(round % 3);
        let mapping = [Mapping::ManyToMany, Mapping::OneToOne][round / 3 % 2];
        let runtime = Runtime::builder().mapping(mapping).workers(2).build().unwrap();
        for number in 0..8 {
            let receiver = receiver.clone();
            drop(runtime.handle().spawn(move || match number % 3 {
                0 => receiver.iter().for_each(drop),
                1 => while select! { recv(receiver) -> it => it.is_ok() } {},
                _ => while sylvan::block_on(receiver.recv_async()).is_ok() {},
            }));
        }
        let sent = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while sent.load(SeqCst) < 20 + 7 * round {
                    std::thread::yield_now();
                }
                drop(runtime);
            });
            // Gets those for whom the others have come to their end.
            scope.spawn(move || receiver.iter().for_each(drop));
            for number in 0..400 {
                sender.send_timeout(ledger.letter(number), HOUR).ok().unwrap();
                sent.store(number + 1, SeqCst);
            }
            drop(sender);
        });
        ledger.expect_all_gone();
    }
}

/// Beside number 18: a thread that ends with a message under way to it.
#[test]
fn thread_that_catches_its_cancellation_has_no_message_of_the_wait_that_it_ended() {
    in_every_runtime(|_| {
        for round in 0..30 {
            let (sender, receiver) = bounded(0);
            thread::scope(|scope| {
                let waits = scope.spawn(|| {
                    let got = Cell::new(None);
                    let wait = std::panic::AssertUnwindSafe(|| got.set(receiver.recv().ok()));
                    let is_cancelled = std::panic::catch_unwind(wait).is_err();
                    assert_ne!(is_cancelled, got.get().is_some());
                    got.get().is_some()
                });
                if round % 2 == 0 {
                    settle();
                }
                let sends = scope.spawn(|| sender.try_send(1).is_ok());
                waits.cancel().unwrap();
                let sent = sends.join().unwrap();
                assert_eq!(waits.join().unwrap_or(false), sent);
            });
        }
    });
}
