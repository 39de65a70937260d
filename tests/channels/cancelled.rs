//! Threads that are cancelled, or run out of time, in the midst of an operation: the message is
//! with exactly one side, and those behind are served.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use sylvan::channel::{
    Receiver, RecvTimeoutError, Select, SendTimeoutError, Sender, bounded, unbounded,
};
use sylvan::thread;
use sylvan_workspace::{everywhere, in_every_runtime, until};

use crate::support::{Foreign, HOUR, Ledger, Letter, is_offered, is_wanted, settle};
use crate::ways::{do_meet, to_receive, to_send};

const CAPACITIES: [Option<usize>; 3] = [Some(0), Some(1), None];

fn make<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    capacity.map_or_else(unbounded, bounded)
}

#[test]
fn every_way_to_send_meets_every_way_to_receive() {
    everywhere(|_| {
        for capacity in CAPACITIES {
            for give in to_send() {
                for take in to_receive() {
                    if capacity == Some(0) && !do_meet(give.kind, take.kind) {
                        continue;
                    }
                    let (sender, receiver) = make(capacity);
                    thread::scope(|scope| {
                        scope.spawn(move || {
                            for number in 0..3 {
                                assert_eq!((give.call)(&sender, number), Ok(()));
                            }
                        });
                        for number in 0..3 {
                            assert_eq!((take.call)(&receiver), Some(number), "{}", take.name);
                        }
                        assert_eq!((take.call)(&receiver), None, "{}", take.name);
                    });
                }
            }
        }
    });
}

#[test]
fn cancelled_receiver_takes_no_message_and_the_next_one_gets_it() {
    in_every_runtime(|_| {
        for capacity in CAPACITIES {
            for take in to_receive::<Letter>() {
                let ledger = Ledger::new(1);
                let (sender, receiver) = make(capacity);
                thread::scope(|scope| {
                    let cancelled = scope.spawn(|| (take.call)(&receiver).is_some());
                    let behind = scope.spawn(|| receiver.recv().unwrap().number);
                    settle();
                    cancelled.cancel().unwrap();
                    assert!(cancelled.join().is_err(), "nothing was sent: {}", take.name);
                    sender.send(ledger.letter(0)).ok().unwrap();
                    assert_eq!(behind.join().unwrap(), 0);
                });
                ledger.expect_all_gone();
            }
        }
    });
}

#[test]
fn cancelled_sender_drops_its_own_message_and_the_next_one_is_received() {
    in_every_runtime(|_| {
        for capacity in [0, 1] {
            for give in to_send() {
                let ledger = Ledger::new(3);
                let (sender, receiver) = bounded(capacity);
                let in_it = usize::from(capacity == 1 && sender.send(ledger.letter(0)).is_ok());
                thread::scope(|scope| {
                    let letter = ledger.letter(1);
                    let cancelled = scope.spawn(|| (give.call)(&sender, letter).is_ok());
                    let behind = scope.spawn(|| sender.send(ledger.letter(2)).ok().unwrap());
                    settle();
                    cancelled.cancel().unwrap();
                    assert!(cancelled.join().is_err(), "nobody receives: {}", give.name);
                    assert_eq!((ledger.drops(1), ledger.drops(2)), (1, 0), "{}", give.name);
                    let mut last = None;
                    for _ in 0..=in_it {
                        last = receiver.recv().ok().map(|it| it.number);
                    }
                    assert_eq!(last, Some(2), "{}", give.name);
                    behind.join().unwrap();
                });
                if in_it == 0 {
                    drop(ledger.letter(0));
                }
                ledger.expect_all_gone();
            }
        }
    });
}

/// So often a cancellation is let loose on an operation, each time in another way.
const ROUNDS: usize = 48;

/// Does `act` at about the same time as `cancel`: before it, beside it, or after it.
fn meet(round: usize, act: impl FnOnce() + Send, cancel: impl FnOnce()) {
    for _ in 0..round / 3 % 5 {
        thread::yield_now();
    }
    match round % 3 {
        0 => {
            act();
            cancel();
        }
        1 => thread::scope(|scope| {
            scope.spawn(act);
            cancel();
        }),
        _ => std::thread::scope(|scope| {
            let acts = Foreign::spawn(scope, act);
            cancel();
            acts.join();
        }),
    }
}

#[test]
fn message_that_meets_a_cancellation_of_its_receiver_is_not_lost() {
    in_every_runtime(|_| {
        for capacity in [Some(1), None] {
            for (round, take) in (0..ROUNDS).zip(to_receive().iter().cycle()) {
                let ledger = Ledger::new(1);
                let (sender, receiver) = make(capacity);
                thread::scope(|scope| {
                    let cancelled = scope.spawn(|| (take.call)(&receiver).is_some());
                    if round % 2 == 0 {
                        settle();
                    }
                    let send = || sender.send(ledger.letter(0)).ok().unwrap();
                    meet(round, send, || cancelled.cancel().unwrap());
                    if cancelled.join().is_err() {
                        assert!(receiver.try_recv().is_ok(), "it went along: {}", take.name);
                    }
                    assert!(receiver.is_empty());
                });
                ledger.expect_all_gone();
            }
        }
    });
}

#[test]
fn meeting_that_meets_a_cancellation_of_its_receiver_is_with_one_of_two() {
    in_every_runtime(|_| {
        for (round, take) in (0..ROUNDS).zip(to_receive().iter().cycle()) {
            let give = &to_send::<Letter>()[round / 8 % 6];
            let ledger = Ledger::new(1);
            let (sender, receiver) = bounded(0);
            thread::scope(|scope| {
                let cancelled = scope.spawn(|| (take.call)(&receiver).is_some());
                let stays = scope.spawn(|| receiver.recv().is_ok());
                if round % 2 == 0 {
                    settle();
                }
                let send = || (give.call)(&sender, ledger.letter(0)).ok().unwrap();
                meet(round, send, || cancelled.cancel().unwrap());
                // It may be under way still to the one who stays.
                if cancelled.join().is_ok() {
                    stays.cancel().unwrap();
                    assert!(stays.join().is_err(), "there was one message");
                } else {
                    assert!(stays.join().unwrap());
                }
            });
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn meeting_that_meets_a_cancellation_of_its_sender_is_with_one_side() {
    in_every_runtime(|_| {
        for (round, give) in (0..ROUNDS).zip(to_send().iter().cycle()) {
            let take = &to_receive::<Letter>()[round / 6 % 8];
            let ledger = Ledger::new(2);
            let (sender, receiver) = bounded(0);
            thread::scope(|scope| {
                let letter = ledger.letter(0);
                let cancelled = scope.spawn(|| (give.call)(&sender, letter).is_ok());
                let stays = scope.spawn(|| sender.send(ledger.letter(1)).is_ok());
                if round % 2 == 0 {
                    settle();
                }
                let mut first = None;
                let receive = || first = (take.call)(&receiver).map(|it| it.number);
                meet(round, receive, || cancelled.cancel().unwrap());
                let was_sent = cancelled.join().is_ok();
                let second = (first == Some(0)).then(|| receiver.recv().ok().unwrap().number);
                if first == Some(1) && was_sent {
                    panic!("it was sent and nobody has got it");
                }
                assert!(first == Some(1) || second == Some(1), "{first:?} {second:?}");
                assert!(stays.join().unwrap());
                assert!(!is_offered(&receiver), "nobody waits any more");
            });
            ledger.expect_all_gone();
        }
    });
}

/// A receiver that tries again until somebody has `chosen` it, and tells when it has gone.
fn leave_after_being_chosen(
    receiver: &Receiver<Letter>,
    chosen: &AtomicBool,
    gone: &Sender<()>,
    by_ready: bool,
) {
    let moment = Duration::from_millis(2);
    while !chosen.load(SeqCst) {
        if by_ready {
            let mut select = Select::new();
            select.recv(receiver);
            assert!(select.ready_timeout(moment).is_err(), "nothing was sent");
        } else {
            let result = receiver.recv_timeout(moment).map(|it| it.number);
            assert_eq!(result, Err(RecvTimeoutError::Timeout));
        }
    }
    gone.send(()).unwrap();
}

#[test]
fn deadline_of_a_receiver_between_choice_and_message_leaves_it_to_the_next() {
    everywhere(|_| {
        for (waits_behind, by_ready) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let (ledger, chosen) = (Ledger::new(1), AtomicBool::new(false));
            let (sender, receiver) = bounded(0);
            let (gone, goes) = bounded(0);
            thread::scope(|scope| {
                scope.spawn(|| leave_after_being_chosen(&receiver, &chosen, &gone, by_ready));
                let mut select = Select::new();
                select.send(&sender);
                let operation = select.select();
                chosen.store(true, SeqCst);
                goes.recv().unwrap();
                let behind = waits_behind.then(|| {
                    let behind = scope.spawn(|| receiver.recv().unwrap().number);
                    until(|| is_wanted(&sender));
                    behind
                });
                operation.send(&sender, ledger.letter(0)).ok().unwrap();
                match behind {
                    Some(behind) => assert_eq!(behind.join().unwrap(), 0),
                    None => assert_eq!(receiver.try_recv().unwrap().number, 0),
                }
                assert!(receiver.is_empty() && !is_offered(&receiver));
            });
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn cancellation_of_a_receiver_between_choice_and_message_leaves_it_to_the_next() {
    in_every_runtime(|_| {
        for take in to_receive() {
            let ledger = Ledger::new(2);
            let (sender, receiver) = bounded(0);
            thread::scope(|scope| {
                let cancelled = scope.spawn(|| (take.call)(&receiver).is_some());
                let mut select = Select::new();
                select.send(&sender);
                let operation = select.select();
                settle();
                cancelled.cancel().unwrap();
                assert!(cancelled.join().is_err(), "nothing was sent: {}", take.name);
                // It comes to lie in the channel, though that has no room.
                operation.send(&sender, ledger.letter(0)).ok().unwrap();
                assert_eq!(receiver.len(), 1, "{}", take.name);
                // And in front of those who have come meanwhile.
                let sends = scope.spawn(|| sender.send(ledger.letter(1)).ok().unwrap());
                settle();
                for number in 0..2 {
                    assert_eq!(receiver.recv().unwrap().number, number);
                }
                sends.join().unwrap();
            });
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn deadline_of_a_sender_gives_its_message_back_and_those_behind_go_on() {
    everywhere(|_| {
        for capacity in [0, 1] {
            let ledger = Ledger::new(3);
            let (sender, receiver) = bounded(capacity);
            if capacity == 1 {
                sender.send(ledger.letter(0)).ok().unwrap();
            } else {
                drop(ledger.letter(0));
            }
            thread::scope(|scope| {
                let moment = Duration::from_millis(1);
                let back = sender.send_timeout(ledger.letter(1), moment);
                assert!(matches!(back, Err(SendTimeoutError::Timeout(it)) if it.number == 1));
                let behind =
                    scope.spawn(|| sender.send_timeout(ledger.letter(2), HOUR).ok().unwrap());
                let mut last = 0;
                for _ in 0..=capacity {
                    last = receiver.recv().unwrap().number;
                }
                assert_eq!(last, 2);
                behind.join().unwrap();
            });
            ledger.expect_all_gone();
        }
    });
}

/// Deadlines that come as the messages do, on the virtual clock at the very same instant.
#[test]
fn deadlines_that_meet_messages_lose_none() {
    everywhere(|_| {
        for capacity in CAPACITIES {
            const COUNT: usize = 40;
            let ledger = Ledger::new(COUNT);
            let (sender, receiver) = make(capacity);
            let moment = Duration::from_micros(50);
            let over = AtomicBool::new(false);
            let receives = |patience| {
                let mut received = 0;
                while !over.load(SeqCst) {
                    received += usize::from(receiver.recv_timeout(patience).is_ok());
                }
                received
            };
            thread::scope(|scope| {
                let sends = scope.spawn(|| {
                    let mut sent = 0;
                    for number in 0..COUNT {
                        thread::sleep(moment);
                        let patience = moment * (number % 3) as u32;
                        let result = sender.send_timeout(ledger.letter(number), patience);
                        sent += usize::from(result.is_ok());
                    }
                    over.store(true, SeqCst);
                    sent
                });
                let others = scope.spawn(|| receives(moment * 2));
                let received = receives(moment) + others.join().unwrap();
                let left = receiver.try_iter().count();
                assert_eq!(received + left, sends.join().unwrap());
            });
            ledger.expect_all_gone();
        }
    });
}

/// A select of several that must not wait stands in the queues for a moment.
#[test]
fn cancellation_that_meets_a_look_at_several_channels_is_not_lost() {
    in_every_runtime(|_| {
        let (one, other) = (bounded::<Letter>(0), bounded::<Letter>(0));
        for _ in 0..100 {
            let begun = AtomicBool::new(false);
            thread::scope(|scope| {
                let looks = scope.spawn(|| {
                    loop {
                        begun.store(true, SeqCst);
                        for _ in 0..20 {
                            let mut select = Select::new();
                            select.recv(&one.1);
                            select.recv(&other.1);
                            assert!(select.try_select().is_err() && select.try_ready().is_err());
                        }
                        thread::yield_now();
                    }
                });
                until(|| begun.load(SeqCst));
                looks.cancel().unwrap();
                let payload = looks.join().map(|(): ()| ()).unwrap_err();
                assert!(payload.is::<thread::Cancelled>());
            });
        }
    });
}

/// What comes in that moment is received, or stays with its sender.
#[test]
fn message_that_meets_a_look_at_several_channels_is_not_lost() {
    everywhere(|_| {
        const COUNT: usize = 1_000;
        let ledger = Ledger::new(COUNT);
        let (one, other) = (bounded(0), bounded(1));
        thread::scope(|scope| {
            let sends = scope.spawn(|| {
                for number in 0..COUNT {
                    let mut letter = Some(ledger.letter(number));
                    while let Some(it) = letter.take() {
                        let sent =
                            if number % 2 == 0 { one.0.try_send(it) } else { other.0.try_send(it) };
                        letter = sent.err().map(|error| error.into_inner());
                        thread::yield_now();
                    }
                }
            });
            let mut received = 0;
            while received < COUNT {
                let mut select = Select::new();
                select.recv(&one.1);
                select.recv(&other.1);
                if let Ok(operation) = select.try_select() {
                    let receiver = [&one.1, &other.1][operation.index()];
                    received += usize::from(operation.recv(receiver).is_ok());
                }
                // Those for the channel without room need somebody who waits.
                received += usize::from(one.1.recv_timeout(Duration::from_micros(5)).is_ok());
            }
            sends.join().unwrap();
        });
        ledger.expect_all_gone();
    });
}
