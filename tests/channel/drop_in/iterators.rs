//! The iterators: one waits for each message, one takes what is there, one owns its receiver.
#![forbid(unsafe_code)]

use super::channel::{TryRecvError, bounded, unbounded};
use super::{everywhere, settle, thread};

#[test]
fn iterator_waits_for_messages_and_ends_with_the_senders() {
    everywhere(|| {
        for (s, r) in [bounded(0), bounded(2), unbounded()] {
            let sum = thread::scope(|scope| {
                let summing = scope.spawn(move || {
                    let mut sum = 0;
                    for number in &r {
                        sum += number;
                    }
                    // It may be asked again, and its receiver, too.
                    let mut again = r.iter();
                    assert_eq!((again.next(), again.next()), (None, None));
                    sum
                });
                for number in 0..20 {
                    s.send(number).unwrap();
                    if number == 10 {
                        settle();
                    }
                }
                drop(s);
                summing.join().unwrap()
            });
            assert_eq!(sum, 190);
        }
    });
}

#[test]
fn iterator_that_owns_its_receiver_ends_the_channel_when_it_is_dropped() {
    everywhere(|| {
        let (s, r) = unbounded();
        for number in 0..4 {
            s.send(number).unwrap();
        }
        let mut numbers = r.into_iter();
        assert_eq!((numbers.next(), numbers.next()), (Some(0), Some(1)));
        s.send(4).unwrap();
        drop(numbers);
        assert!(s.send(5).is_err());
    });
}

#[test]
fn iterator_that_does_not_wait_takes_what_is_there_and_may_find_more_later() {
    everywhere(|| {
        for (s, r) in [bounded(3), unbounded()] {
            let mut there = r.try_iter();
            assert_eq!(there.next(), None);
            for number in 0..3 {
                s.send(number).unwrap();
            }
            assert_eq!(there.by_ref().collect::<Vec<_>>(), [0, 1, 2]);
            assert_eq!(there.next(), None);
            s.send(3).unwrap();
            assert_eq!(there.next(), Some(3));
            drop(s);
            assert_eq!((there.next(), there.next()), (None, None));
            assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
        }
    });
}

#[test]
fn several_iterators_share_the_messages() {
    everywhere(|| {
        let (s, r) = unbounded();
        for number in 0..10 {
            s.send(number).unwrap();
        }
        drop(s);
        let (mut one, mut other) = (r.iter(), r.iter());
        for number in (0..10).step_by(2) {
            assert_eq!((one.next(), other.next()), (Some(number), Some(number + 1)));
        }
        assert_eq!((one.next(), other.next()), (None, None));
    });
}

#[test]
fn iterator_that_breaks_off_leaves_the_rest() {
    everywhere(|| {
        let (s, r) = unbounded();
        for number in 0..5 {
            s.send(number).unwrap();
        }
        for number in &r {
            if number == 2 {
                break;
            }
        }
        assert_eq!(r.try_iter().collect::<Vec<_>>(), [3, 4]);
        drop(s);
    });
}
