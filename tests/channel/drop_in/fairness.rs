//! Among what is ready, each has the same chance.
//!
//! The bounds are wide: of `ROUNDS` choices among four, each has 500 of 2000 on average, with a
//! standard deviation of 19 (the root of 2000 × 1/4 × 3/4), and from 300 to 700 is ten of these to
//! either side.
#![forbid(unsafe_code)]

use super::channel::{Receiver, Select, bounded, select, unbounded};
use super::{everywhere, settle, thread};

const ROUNDS: usize = 2000;

#[track_caller]
fn expect_fair(counts: [usize; 4]) {
    assert_eq!(counts.iter().sum::<usize>(), ROUNDS);
    assert!(counts.iter().all(|count| (300..=700).contains(count)), "{counts:?}");
}

/// Four channels with more messages than will be received.
fn full() -> [Receiver<usize>; 4] {
    std::array::from_fn(|number| {
        let (s, r) = unbounded();
        for _ in 0..ROUNDS {
            s.send(number).unwrap();
        }
        r
    })
}

#[test]
fn selection_chooses_fairly() {
    everywhere(|| {
        let (receivers, mut counts) = (full(), [0; 4]);
        let mut choice = Select::new();
        for receiver in &receivers {
            choice.recv(receiver);
        }
        for _ in 0..ROUNDS {
            let operation = choice.select();
            let index = operation.index();
            assert_eq!(operation.recv(&receivers[index]), Ok(index));
            counts[index] += 1;
        }
        expect_fair(counts);
    });
}

#[test]
fn selection_that_is_made_anew_each_time_chooses_fairly() {
    everywhere(|| {
        let (receivers, mut counts) = (full(), [0; 4]);
        for _ in 0..ROUNDS {
            let mut choice = Select::new();
            for receiver in &receivers {
                choice.recv(receiver);
            }
            let operation = choice.try_select().unwrap();
            let index = operation.index();
            assert_eq!(operation.recv(&receivers[index]), Ok(index));
            counts[index] += 1;
        }
        expect_fair(counts);
    });
}

#[test]
fn macro_chooses_fairly() {
    everywhere(|| {
        let ([r0, r1, r2, r3], mut counts) = (full(), [0; 4]);
        for _ in 0..ROUNDS {
            let number = select! {
                recv(r0) -> message => message,
                recv(r1) -> message => message,
                recv(r2) -> message => message,
                recv(r3) -> message => message,
            };
            counts[number.unwrap()] += 1;
        }
        expect_fair(counts);
    });
}

#[test]
fn sending_and_receiving_and_ended_channels_have_the_same_chance() {
    everywhere(|| {
        let ([r0, r1, ..], mut counts) = (full(), [0; 4]);
        let ((s, _r), (_, end)) = (unbounded(), unbounded::<i32>());
        for _ in 0..ROUNDS {
            select! {
                recv(r0) -> _ => counts[0] += 1,
                send(s, 1) -> _ => counts[1] += 1,
                recv(end) -> _ => counts[2] += 1,
                recv(r1) -> _ => counts[3] += 1,
                default => unreachable!(),
            }
        }
        expect_fair(counts);
    });
}

#[test]
fn readiness_is_named_fairly() {
    everywhere(|| {
        let (receivers, mut counts) = (full(), [0; 4]);
        let mut choice = Select::new();
        for receiver in &receivers {
            choice.recv(receiver);
        }
        for round in 0..ROUNDS {
            let index = if round % 2 == 0 { choice.ready() } else { choice.try_ready().unwrap() };
            counts[index] += 1;
        }
        expect_fair(counts);
    });
}

#[test]
fn none_of_several_senders_waits_in_vain_for_a_selection() {
    everywhere(|| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| bounded(0)).unzip();
        let mut counts = [0; 4];
        thread::scope(|scope| {
            for s in senders {
                scope.spawn(move || while s.send(()).is_ok() {});
            }
            // How often each has a sender there is the scheduler's matter, and one may begin late
            // on a busy machine.
            while counts.contains(&0) || counts.iter().sum::<usize>() < 240 {
                assert!(counts.iter().sum::<usize>() < 500_000, "passed over: {counts:?}");
                settle();
                let mut choice = Select::new();
                for receiver in &receivers {
                    choice.recv(receiver);
                }
                let operation = choice.select();
                let index = operation.index();
                operation.recv(&receivers[index]).unwrap();
                counts[index] += 1;
            }
            drop(receivers);
        });
    });
}
