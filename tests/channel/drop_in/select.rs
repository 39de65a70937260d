//! `Select` where something is ready or nothing is: what is chosen, and what completing it does.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::channel::{
    ReadyTimeoutError, Receiver, RecvError, Select, SelectTimeoutError, SendError, Sender,
    TryReadyError, TryRecvError, TrySelectError, bounded, never, unbounded,
};
use super::{everywhere, now};

const MOMENT: Duration = Duration::from_millis(3);

#[test]
fn nothing_to_choose_from_is_never_ready() {
    everywhere(|| {
        for mut choice in [Select::new(), Select::new_biased(), Select::default()] {
            assert_eq!(choice.try_select().unwrap_err(), TrySelectError);
            assert_eq!(choice.try_ready(), Err(TryReadyError));
            let start = now();
            assert_eq!(choice.select_timeout(MOMENT).unwrap_err(), SelectTimeoutError);
            assert!(now() - start >= MOMENT);
            let deadline = now() + MOMENT;
            assert_eq!(choice.ready_deadline(deadline), Err(ReadyTimeoutError));
            assert!(now() >= deadline);
        }
    });
}

#[test]
fn nothing_ready_ends_with_its_time_and_not_before() {
    everywhere(|| {
        let ((_s1, r1), (s2, _r2)) = (unbounded::<i32>(), bounded(1));
        s2.send("full").unwrap();
        let mut choice = Select::new();
        choice.recv(&r1);
        choice.send(&s2);
        assert_eq!(choice.try_select().unwrap_err(), TrySelectError);
        let start = now();
        assert_eq!(choice.select_timeout(MOMENT).unwrap_err(), SelectTimeoutError);
        assert!(now() - start >= MOMENT);
        let deadline = now() + MOMENT;
        assert_eq!(choice.select_deadline(deadline).unwrap_err(), SelectTimeoutError);
        assert!(now() >= deadline);
        // Times that are over already.
        assert_eq!(choice.select_timeout(Duration::ZERO).unwrap_err(), SelectTimeoutError);
        assert_eq!(choice.select_deadline(start).unwrap_err(), SelectTimeoutError);
    });
}

#[test]
fn what_is_ready_is_chosen_whatever_the_limit() {
    everywhere(|| {
        let ((s, r), none) = (unbounded(), never::<i32>());
        for number in 0..6 {
            s.send(number).unwrap();
        }
        let mut choice = Select::new();
        choice.recv(&none);
        let index = choice.recv(&r);
        let operation = choice.try_select().unwrap();
        assert_eq!((operation.index(), operation.recv(&r)), (index, Ok(0)));
        assert_eq!(choice.select().recv(&r), Ok(1));
        assert_eq!(choice.select_timeout(Duration::ZERO).unwrap().recv(&r), Ok(2));
        assert_eq!(choice.select_timeout(Duration::MAX).unwrap().recv(&r), Ok(3));
        assert_eq!(choice.select_deadline(now()).unwrap().recv(&r), Ok(4));
        let far = now() + Duration::from_secs(3600);
        assert_eq!(choice.select_deadline(far).unwrap().recv(&r), Ok(5));
        assert!(choice.try_select().is_err());
    });
}

#[test]
fn sending_into_room_is_ready() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (bounded(1), unbounded());
        let mut choice = Select::new_biased();
        let first = choice.send(&s1);
        let second = choice.send(&s2);
        let operation = choice.select();
        assert_eq!(operation.index(), first);
        operation.send(&s1, "one").unwrap();
        // Its channel is full now.
        for _ in 0..3 {
            let operation = choice.select();
            assert_eq!(operation.index(), second);
            operation.send(&s2, 2).unwrap();
        }
        assert_eq!((r1.try_recv(), r2.try_iter().count()), (Ok("one"), 3));
    });
}

#[test]
fn end_of_a_channel_is_ready_and_tells_so_when_completed() {
    everywhere(|| {
        for (s, r) in [bounded::<i32>(0), bounded(1), unbounded()] {
            let other: Receiver<i32> = never();
            let mut choice = Select::new();
            choice.recv(&other);
            let receiving = choice.recv(&r);
            drop(s);
            for _ in 0..2 {
                let operation = choice.select();
                assert_eq!((operation.index(), operation.recv(&r)), (receiving, Err(RecvError)));
            }
        }
        for (s, r) in [bounded(0), bounded(1), unbounded()] {
            let _ = s.try_send(0);
            let mut choice = Select::new();
            let sending = choice.send(&s);
            drop(r);
            for _ in 0..2 {
                let operation = choice.select();
                assert_eq!(operation.index(), sending);
                assert_eq!(operation.send(&s, 1), Err(SendError(1)));
            }
        }
    });
}

#[test]
fn messages_before_the_end_are_chosen_first() {
    everywhere(|| {
        for (s, r) in [bounded(2), unbounded()] {
            s.send(1).unwrap();
            s.send(2).unwrap();
            drop(s);
            let mut choice = Select::new();
            choice.recv(&r);
            assert_eq!(choice.select().recv(&r), Ok(1));
            assert_eq!(choice.try_select().unwrap().recv(&r), Ok(2));
            assert_eq!(choice.try_select().unwrap().recv(&r), Err(RecvError));
        }
    });
}

#[test]
fn indices_count_up_and_are_not_used_again() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (unbounded::<i32>(), unbounded::<String>());
        let mut choice = Select::new();
        assert_eq!(choice.recv(&r1), 0);
        assert_eq!(choice.recv(&r2), 1);
        assert_eq!(choice.send(&s2), 2);
        choice.remove(2);
        choice.remove(0);
        assert_eq!(choice.recv(&r1), 3);
        assert_eq!(choice.recv(&r1), 4);
        choice.remove(4);
        s1.send(1).unwrap();
        let operation = choice.select();
        assert_eq!((operation.index(), operation.recv(&r1)), (3, Ok(1)));
        s2.send("two".to_owned()).unwrap();
        let operation = choice.select();
        assert_eq!((operation.index(), operation.recv(&r2)), (1, Ok("two".to_owned())));
        choice.remove(1);
        choice.remove(3);
        assert!(choice.try_select().is_err());
        assert_eq!(choice.send(&s1), 5);
    });
}

#[test]
fn removed_operation_is_not_chosen() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (unbounded::<i32>(), unbounded());
        let mut choice = Select::new();
        let first = choice.recv(&r1);
        let second = choice.recv(&r2);
        drop(s1);
        s2.send(1).unwrap();
        s2.send(2).unwrap();
        choice.remove(first);
        for number in 1..=2 {
            let operation = choice.select();
            assert_eq!((operation.index(), operation.recv(&r2)), (second, Ok(number)));
        }
        assert!(choice.try_select().is_err());
    });
}

#[test]
fn same_channel_may_be_there_several_times() {
    everywhere(|| {
        let (s, r) = bounded(1);
        let copy = r.clone();
        let mut choice = Select::new();
        let indices = [choice.recv(&r), choice.recv(&r), choice.recv(&copy)];
        let mut seen = [0; 3];
        for number in 0..90 {
            s.send(number).unwrap();
            let operation = choice.select();
            let index = operation.index();
            let receiver = if index == indices[2] { &copy } else { &r };
            assert_eq!(operation.recv(receiver), Ok(number));
            seen[index] += 1;
        }
        // Each of the three is there for itself: none misses 90 rounds but once in 10^15.
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
        assert!(choice.try_select().is_err());
    });
}

#[test]
fn copy_has_the_same_operations_and_goes_its_own_way() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (unbounded(), unbounded());
        let mut choice = Select::new_biased();
        choice.recv(&r1);
        let mut copy = choice.clone();
        assert_eq!((choice.recv(&r2), copy.recv(&r2)), (1, 1));
        copy.remove(0);
        s1.send(1).unwrap();
        s2.send(2).unwrap();
        assert_eq!(copy.select().recv(&r2), Ok(2));
        s2.send(3).unwrap();
        // Still there, and the copy has its bias.
        assert_eq!(choice.clone().select().recv(&r1), Ok(1));
        assert_eq!(choice.select().recv(&r2), Ok(3));
    });
}

#[test]
fn biased_choice_takes_the_first_that_is_ready() {
    everywhere(|| {
        let channels: Vec<_> = (0..4).map(|_| unbounded()).collect();
        let mut choice = Select::new_biased();
        for (_, r) in &channels {
            choice.recv(r);
        }
        for _ in 0..20 {
            for (number, (s, _)) in channels.iter().enumerate().rev() {
                s.send(number).unwrap();
            }
            for (number, (_, r)) in channels.iter().enumerate() {
                let operation = choice.select();
                assert_eq!((operation.index(), operation.recv(r)), (number, Ok(number)));
            }
            assert!(choice.try_select().is_err());
        }
    });
}

#[test]
fn one_choice_serves_for_many_rounds_and_both_directions() {
    everywhere(|| {
        let (s, r) = bounded(4);
        let mut choice = Select::new();
        let sending = choice.send(&s);
        choice.recv(&r);
        let (mut sent, mut got) = (0, 0);
        for _ in 0..200 {
            let operation = choice.select();
            if operation.index() == sending {
                operation.send(&s, sent).unwrap();
                sent += 1;
            } else {
                assert_eq!(operation.recv(&r), Ok(got));
                got += 1;
            }
            assert_eq!(s.len(), sent - got);
            assert!(sent - got <= 4);
        }
    });
}

#[test]
fn rendezvous_with_oneself_is_none() {
    everywhere(|| {
        let (s, r): (Sender<i32>, _) = bounded(0);
        let mut choice = Select::new();
        choice.send(&s);
        choice.recv(&r);
        assert!(choice.try_select().is_err());
        assert!(choice.select_timeout(MOMENT).is_err());
        assert!(choice.try_ready().is_err());
        assert!(choice.ready_timeout(MOMENT).is_err());
        // It has left nothing behind at which somebody could be met.
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        assert!(s.try_send(1).is_err());
    });
}

#[test]
fn more_operations_than_a_macro_can_write_are_chosen_from() {
    everywhere(|| {
        let channels: Vec<_> = (0..300).map(|_| bounded(1)).collect();
        let mut choice = Select::new();
        for (_, r) in &channels {
            choice.recv(r);
        }
        for number in [0, 299, 150] {
            channels[number].0.send(number).unwrap();
            let operation = choice.select();
            let index = operation.index();
            assert_eq!((index, operation.recv(&channels[index].1)), (number, Ok(number)));
        }
        assert!(choice.select_timeout(MOMENT).is_err());
    });
}
