//! Selections that wait: who wakes them, whom they meet, and that nothing is lost or doubled.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::channel::{
    Receiver, RecvError, Select, SendError, Sender, bounded, never, select, unbounded,
};
use super::{everywhere, settle, thread, until};

const MOMENT: Duration = Duration::from_millis(3);
/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Waits for the first message of any of the receivers, and tells whose it was.
fn first(receivers: &[Receiver<i32>]) -> (usize, Result<i32, RecvError>) {
    let mut choice = Select::new();
    for receiver in receivers {
        choice.recv(receiver);
    }
    let operation = choice.select();
    let index = operation.index();
    (index, operation.recv(&receivers[index]))
}

/// Waits until any of the senders takes the message, and tells which did.
fn first_room(senders: &[Sender<i32>], message: i32) -> (usize, Result<(), SendError<i32>>) {
    let mut choice = Select::new();
    for sender in senders {
        choice.send(sender);
    }
    let operation = choice.select();
    let index = operation.index();
    (index, operation.send(&senders[index], message))
}

#[test]
fn message_into_any_channel_wakes_a_waiting_selection() {
    everywhere(|| {
        for number in 0..3 {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                [bounded(0), bounded(1), unbounded()].into_iter().unzip();
            thread::scope(|scope| {
                let waiter = scope.spawn(move || first(&receivers));
                settle();
                senders[number].send(7).unwrap();
                assert_eq!(waiter.join().unwrap(), (number, Ok(7)));
            });
        }
    });
}

#[test]
fn room_in_any_channel_wakes_a_waiting_selection() {
    everywhere(|| {
        for number in 0..2 {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                [bounded(0), bounded(1)].into_iter().unzip();
            senders[1].send(1).unwrap();
            thread::scope(|scope| {
                let waiter = scope.spawn(move || first_room(&senders, 7));
                settle();
                if number == 1 {
                    assert_eq!(receivers[1].recv(), Ok(1));
                }
                assert_eq!(receivers[number].recv(), Ok(7));
                assert_eq!(waiter.join().unwrap(), (number, Ok(())));
            });
        }
    });
}

#[test]
fn end_of_any_channel_wakes_a_waiting_selection() {
    everywhere(|| {
        for number in 0..3 {
            let (mut senders, receivers): (Vec<_>, Vec<_>) =
                [bounded(0), bounded(1), unbounded()].into_iter().unzip();
            thread::scope(|scope| {
                let waiter = scope.spawn(move || first(&receivers));
                settle();
                drop(senders.remove(number));
                assert_eq!(waiter.join().unwrap(), (number, Err(RecvError)));
                drop(senders);
            });
        }
        for number in 0..2 {
            let (senders, mut receivers): (Vec<_>, Vec<_>) =
                [bounded(0), bounded(1)].into_iter().unzip();
            senders[1].send(1).unwrap();
            thread::scope(|scope| {
                let waiter = scope.spawn(move || first_room(&senders, 7));
                settle();
                drop(receivers.remove(number));
                assert_eq!(waiter.join().unwrap(), (number, Err(SendError(7))));
                drop(receivers);
            });
        }
    });
}

#[test]
fn rendezvous_of_two_selections_happens_on_one_channel() {
    everywhere(|| {
        for _ in 0..10 {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| bounded(0)).unzip();
            thread::scope(|scope| {
                let sending = scope.spawn(move || first_room(&senders, 7));
                let (index, message) = first(&receivers);
                let (sent_index, sent) = sending.join().unwrap();
                assert_eq!((sent_index, sent, message), (index, Ok(()), Ok(7)));
            });
        }
    });
}

#[test]
fn two_selections_that_both_send_and_receive_meet_each_other() {
    everywhere(|| {
        for _ in 0..10 {
            let (s, r) = bounded(0);
            let either = |number: i32| {
                let mut choice = Select::new();
                let sending = choice.send(&s);
                choice.recv(&r);
                let operation = choice.select();
                if operation.index() == sending {
                    operation.send(&s, number).unwrap();
                    None
                } else {
                    Some(operation.recv(&r).unwrap())
                }
            };
            thread::scope(|scope| {
                let one = scope.spawn(|| either(1));
                let other = either(2);
                let one = one.join().unwrap();
                // Each other's number at one of them, and nothing at the one that sent it.
                assert!(
                    matches!((one, other), (Some(2), None) | (None, Some(1))),
                    "{one:?} {other:?}"
                );
            });
        }
    });
}

#[test]
fn selection_meets_calls_that_wait() {
    everywhere(|| {
        for (s, r) in [bounded(0), bounded(1), unbounded()] {
            thread::scope(|scope| {
                scope.spawn(|| s.send(1).unwrap());
                settle();
                let mut choice = Select::new();
                choice.recv(&r);
                assert_eq!(choice.select().recv(&r), Ok(1));
                let waiter = scope.spawn(|| r.recv());
                settle();
                let mut choice = Select::new();
                choice.send(&s);
                choice.select().send(&s, 2).unwrap();
                assert_eq!(waiter.join().unwrap(), Ok(2));
            });
        }
    });
}

#[test]
fn try_select_meets_a_partner_that_waits() {
    everywhere(|| {
        let (s, r) = bounded(0);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| s.send(1));
            let mut choice = Select::new();
            choice.recv(&r);
            until(|| match choice.clone().try_select() {
                Ok(operation) => operation.recv(&r).unwrap() == 1,
                Err(_) => false,
            });
            assert_eq!(waiter.join().unwrap(), Ok(()));
            let waiter = scope.spawn(|| r.recv());
            let mut choice = Select::new();
            choice.send(&s);
            until(|| match choice.clone().try_select() {
                Ok(operation) => operation.send(&s, 2).is_ok(),
                Err(_) => false,
            });
            assert_eq!(waiter.join().unwrap(), Ok(2));
        });
    });
}

#[test]
fn selection_with_a_limit_takes_what_comes_in_time() {
    everywhere(|| {
        for patience in [FOR_EVER, Duration::MAX] {
            for (s, r) in [bounded(0), bounded(1), unbounded()] {
                thread::scope(|scope| {
                    let waiter = scope.spawn(|| {
                        let mut choice = Select::new();
                        choice.recv(&r);
                        choice.select_timeout(patience).unwrap().recv(&r)
                    });
                    settle();
                    s.send(1).unwrap();
                    assert_eq!(waiter.join().unwrap(), Ok(1));
                });
            }
        }
    });
}

#[test]
fn selections_that_have_given_up_leave_nothing_behind() {
    everywhere(|| {
        for (s, r) in [bounded(0), bounded(1), unbounded()] {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let mut choice = Select::new();
                        choice.recv(&r);
                        choice.recv(&r);
                        assert!(choice.select_timeout(MOMENT).is_err());
                        assert!(choice.ready_timeout(MOMENT).is_err());
                    });
                }
            });
            let capacity = s.capacity();
            assert_eq!(s.try_send(1).is_ok(), capacity != Some(0));
            assert_eq!(r.try_recv().is_ok(), capacity != Some(0));
        }
    });
}

#[test]
fn choice_that_was_lost_does_not_take_a_second_message() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (bounded(1), bounded(1));
        for number in 0..50 {
            thread::scope(|scope| {
                let waiter = scope.spawn(|| first(&[r1.clone(), r2.clone()]));
                let other = scope.spawn(|| s2.send(-number).unwrap());
                s1.send(number).unwrap();
                let (index, got) = waiter.join().unwrap();
                other.join().unwrap();
                // The one that was not chosen is still there.
                let (chosen, left) = if index == 0 { (number, &r2) } else { (-number, &r1) };
                assert_eq!((got, left.try_recv()), (Ok(chosen), Ok(-chosen)));
                assert!(r1.is_empty() && r2.is_empty());
            });
        }
    });
}

#[test]
fn each_message_wakes_another_of_several_selections() {
    everywhere(|| {
        for (s, r) in [bounded(0), bounded(8), unbounded()] {
            let none = never::<i32>();
            let mut got: Vec<_> = thread::scope(|scope| {
                let waiters: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| first(&[none.clone(), r.clone()]).1.unwrap()))
                    .collect();
                settle();
                for number in 0..8 {
                    s.send(number).unwrap();
                }
                waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect()
            });
            got.sort_unstable();
            assert_eq!(got, (0..8).collect::<Vec<_>>());
        }
    });
}

#[test]
fn selections_on_all_sides_lose_nothing_and_double_nothing() {
    everywhere(|| {
        const THREADS: i32 = 3;
        const EACH: i32 = 60;
        for bound in [0, 1, 2] {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| bounded(bound)).unzip();
            let (sum, count) = (AtomicUsize::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                for thread in 0..THREADS {
                    let senders = senders.clone();
                    scope.spawn(move || {
                        for number in 0..EACH {
                            first_room(&senders, thread * EACH + number).1.unwrap();
                        }
                    });
                    scope.spawn(|| {
                        for _ in 0..EACH {
                            let number = first(&receivers).1.unwrap();
                            sum.fetch_add(number as usize, SeqCst);
                            count.fetch_add(1, SeqCst);
                        }
                    });
                }
            });
            let all = (THREADS * EACH) as usize;
            assert_eq!((count.into_inner(), sum.into_inner()), (all, all * (all - 1) / 2));
            assert!(receivers.iter().all(Receiver::is_empty));
        }
    });
}

#[test]
fn macro_waits_as_select_does() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (bounded(0), unbounded::<&str>());
        let begun = AtomicBool::new(false);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                begun.store(true, SeqCst);
                select! {
                    send(s1, 5) -> result => { result.unwrap(); "sent" }
                    recv(r2) -> message => message.unwrap(),
                }
            });
            until(|| begun.load(SeqCst));
            settle();
            assert_eq!(r1.recv(), Ok(5));
            assert_eq!(waiter.join().unwrap(), "sent");
            let waiter = scope.spawn(|| {
                select! {
                    send(s1, 5) -> _ => "sent",
                    recv(r2) -> message => message.unwrap(),
                }
            });
            settle();
            s2.send("received").unwrap();
            assert_eq!(waiter.join().unwrap(), "received");
        });
    });
}
