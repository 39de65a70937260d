//! The ends as values: copies, which channel they belong to, what they say about its state, and how
//! they are printed.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::channel::{
    Receiver, Select, Sender, after, at, bounded, never, select, tick, unbounded,
};
use super::{everywhere, now, thread};

const LONG: Duration = Duration::from_secs(3600);

/// What both ends say: length, capacity, whether empty, whether full.
#[track_caller]
fn expect_state<T>(ends: (&Sender<T>, &Receiver<T>), state: (usize, Option<usize>, bool, bool)) {
    let (s, r) = ends;
    assert_eq!((s.len(), s.capacity(), s.is_empty(), s.is_full()), state);
    assert_eq!((r.len(), r.capacity(), r.is_empty(), r.is_full()), state);
}

#[test]
fn ends_of_a_bounded_channel_tell_its_state() {
    everywhere(|| {
        let (s, r) = bounded(2);
        expect_state((&s, &r), (0, Some(2), true, false));
        s.send(1).unwrap();
        expect_state((&s, &r), (1, Some(2), false, false));
        s.send(2).unwrap();
        expect_state((&s, &r), (2, Some(2), false, true));
        r.recv().unwrap();
        expect_state((&s, &r), (1, Some(2), false, false));
        r.recv().unwrap();
        expect_state((&s, &r), (0, Some(2), true, false));
    });
}

#[test]
fn length_stays_right_while_the_buffer_goes_round() {
    everywhere(|| {
        let (s, r) = bounded(3);
        for round in 0..20 {
            for filled in 1..=3 {
                s.send(round).unwrap();
                expect_state((&s, &r), (filled, Some(3), false, filled == 3));
            }
            for taken in 1..=2 {
                assert_eq!(r.recv(), Ok(round));
                expect_state((&s, &r), (3 - taken, Some(3), false, false));
            }
            assert_eq!(r.recv(), Ok(round));
            expect_state((&s, &r), (0, Some(3), true, false));
        }
    });
}

#[test]
fn unbounded_channel_is_never_full() {
    everywhere(|| {
        let (s, r) = unbounded();
        expect_state((&s, &r), (0, None, true, false));
        for sent in 1..=200 {
            s.send(sent).unwrap();
            expect_state((&s, &r), (sent, None, false, false));
        }
        for taken in 1..200 {
            r.recv().unwrap();
            expect_state((&s, &r), (200 - taken, None, false, false));
        }
        r.recv().unwrap();
        expect_state((&s, &r), (0, None, true, false));
    });
}

#[test]
fn rendezvous_channel_is_always_empty_and_full() {
    everywhere(|| {
        let (s, r) = bounded::<i32>(0);
        expect_state((&s, &r), (0, Some(0), true, true));
        thread::scope(|scope| {
            let (s, r) = (&s, &r);
            scope.spawn(move || s.send(1).unwrap());
            super::settle();
            // Whether or not somebody waits with a message.
            expect_state((s, r), (0, Some(0), true, true));
            assert_eq!(r.recv(), Ok(1));
        });
        expect_state((&s, &r), (0, Some(0), true, true));
    });
}

#[test]
fn messages_that_are_left_behind_count_when_the_senders_are_gone() {
    everywhere(|| {
        let (s, r) = bounded(2);
        s.send(1).unwrap();
        drop(s);
        assert_eq!((r.len(), r.capacity(), r.is_empty(), r.is_full()), (1, Some(2), false, false));
        let (s, r) = unbounded();
        s.send(1).unwrap();
        drop(s);
        assert_eq!((r.len(), r.capacity(), r.is_empty(), r.is_full()), (1, None, false, false));
    });
}

#[test]
fn clocks_tell_their_state() {
    everywhere(|| {
        for clock in [after(LONG), at(now() + LONG), tick(LONG)] {
            let state = (clock.len(), clock.is_empty(), clock.is_full());
            assert_eq!((state, clock.capacity()), ((0, true, false), Some(1)));
        }
        for clock in [after(Duration::ZERO), at(now())] {
            let state = (clock.len(), clock.is_empty(), clock.is_full());
            assert_eq!((state, clock.capacity()), ((1, false, true), Some(1)));
            clock.recv().unwrap();
            let state = (clock.len(), clock.is_empty(), clock.is_full());
            assert_eq!((state, clock.capacity()), ((0, true, false), Some(1)));
        }
        let none = never::<i32>();
        let state = (none.len(), none.is_empty(), none.is_full());
        assert_eq!((state, none.capacity()), ((0, true, true), Some(0)));
    });
}

#[test]
fn copies_belong_to_the_same_channel_and_others_do_not() {
    everywhere(|| {
        type Make = fn() -> (Sender<i32>, Receiver<i32>);
        let kinds: [Make; 4] = [|| bounded(0), || bounded(1), || bounded(2), unbounded];
        for (number, kind) in kinds.iter().enumerate() {
            let (s, r) = kind();
            assert!(s.same_channel(&s) && s.same_channel(&s.clone()));
            assert!(r.same_channel(&r) && r.same_channel(&r.clone().clone()));
            for other in &kinds[number..] {
                let (other_s, other_r) = other();
                assert!(!s.same_channel(&other_s) && !other_s.same_channel(&s));
                assert!(!r.same_channel(&other_r) && !other_r.same_channel(&r));
            }
            assert!(!r.same_channel(&never()));
        }
    });
}

#[test]
fn copies_of_clocks_belong_together_and_every_never_is_the_same() {
    everywhere(|| {
        let when = now() + LONG;
        let clocks = [after(LONG), at(when), at(when), tick(LONG), never()];
        for (number, clock) in clocks.iter().enumerate() {
            assert!(clock.same_channel(&clock.clone()));
            for other in &clocks[number + 1..] {
                assert!(!clock.same_channel(other));
            }
        }
        assert!(never::<i32>().same_channel(&never()));
    });
}

#[test]
fn all_copies_of_the_ends_send_and_receive() {
    everywhere(|| {
        for (s, r) in [bounded(8), unbounded()] {
            let senders = [s.clone(), s.clone(), s];
            let receivers = [r.clone(), r];
            for (number, sender) in senders.iter().enumerate() {
                sender.send(number).unwrap();
            }
            drop(senders);
            assert_eq!(receivers[0].recv(), Ok(0));
            assert_eq!(receivers[1].recv(), Ok(1));
            assert_eq!(receivers[0].recv(), Ok(2));
            assert!(receivers.iter().all(|receiver| receiver.recv().is_err()));
        }
    });
}

#[test]
fn everything_is_printed_by_its_name_alone() {
    struct Opaque;
    let (s, r) = unbounded::<Opaque>();
    assert_eq!(format!("{s:?}"), "Sender { .. }");
    assert_eq!(format!("{r:?}|{r:16?}|"), "Receiver { .. }|Receiver { .. } |");
    assert_eq!(format!("{:?}", r.iter()), "Iter { .. }");
    assert_eq!(format!("{:?}", r.try_iter()), "TryIter { .. }");
    assert_eq!(format!("{:?}", r.clone().into_iter()), "IntoIter { .. }");
    assert_eq!(format!("{:?}", never::<Opaque>()), "Receiver { .. }");
    let mut choice = Select::new();
    choice.recv(&r);
    assert_eq!(format!("{choice:?}"), "Select { .. }");
    drop(s);
    let operation = choice.select();
    assert_eq!(format!("{operation:?}"), "SelectedOperation { .. }");
    assert!(operation.recv(&r).is_err());
}

#[test]
fn ends_work_by_reference_and_never_in_a_static() {
    static NEVER: Receiver<i32> = never();
    everywhere(|| {
        let (s, r) = bounded(1);
        let (by_reference, receiver) = (&&s, &&r);
        by_reference.send(1).unwrap();
        select! {
            recv(receiver) -> message => assert_eq!(message, Ok(1)),
            recv(NEVER) -> _ => unreachable!(),
        }
    });
}
