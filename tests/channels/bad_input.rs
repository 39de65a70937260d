//! Extreme values and wrong use: what it does, and that it harms nobody else.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sylvan::channel::{
    ReadyTimeoutError, Receiver, RecvTimeoutError, Select, SelectTimeoutError, SendTimeoutError,
    Sender, TryRecvError, TrySendError, after, at, bounded, never, select, tick, unbounded,
};
use sylvan::{testing, thread, time};
use sylvan_workspace::{everywhere, in_every_runtime, text_of, until};

use crate::support::{HOUR, Ledger, Letter, is_wanted, settle};
use crate::ways::to_send;

const MOMENT: Duration = Duration::from_millis(2);

/// Fails unless `f` panics with a text that has `part` in it.
#[track_caller]
fn expect_panic(part: &str, f: impl FnOnce()) {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("wrong use is told");
    let text = text_of(&*payload);
    assert!(text.contains(part), "{text:?}");
}

#[test]
fn every_way_to_send_on_a_disconnected_channel_gives_the_message_back() {
    everywhere(|_| {
        for capacity in [Some(0), Some(1), Some(usize::MAX), None] {
            let ledger = Ledger::new(9);
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            drop(receiver);
            for (number, give) in to_send().into_iter().enumerate() {
                let back = (give.call)(&sender, ledger.letter(number));
                assert_eq!(back.unwrap_err().number, number, "{}", give.name);
            }
            let back = sender.try_send(ledger.letter(6));
            assert!(matches!(back, Err(TrySendError::Disconnected(it)) if it.number == 6));
            let back = sender.send_timeout(ledger.letter(7), Duration::ZERO);
            assert!(matches!(back, Err(SendTimeoutError::Disconnected(it)) if it.number == 7));
            let back = sender.send_deadline(ledger.letter(8), time::now());
            assert!(matches!(back, Err(SendTimeoutError::Disconnected(it)) if it.number == 8));
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn largest_capacity_is_as_good_as_none_and_takes_no_memory() {
    everywhere(|_| {
        let (sender, receiver) = bounded(usize::MAX);
        assert_eq!((sender.capacity(), receiver.capacity()), (Some(usize::MAX), Some(usize::MAX)));
        for number in 0..10_000 {
            sender.send(number).unwrap();
        }
        assert!(!sender.is_full() && sender.len() == 10_000);
        assert!(receiver.try_iter().eq(0..10_000));
    });
}

#[test]
fn messages_without_size_and_large_ones_are_messages_like_any() {
    everywhere(|_| {
        for capacity in [0, 3] {
            let (nothing, large) = (bounded(capacity), bounded(capacity));
            thread::scope(|scope| {
                scope.spawn(|| {
                    for number in 0..50_u8 {
                        nothing.0.send(()).unwrap();
                        select! { send(large.0, [number; 5_000]) -> sent => sent.unwrap() }
                    }
                });
                for number in 0..50_u8 {
                    nothing.1.recv().unwrap();
                    assert_eq!(large.1.recv().unwrap(), [number; 5_000]);
                }
            });
        }
    });
}

/// A select that wants to send and to receive on the same channel, for at most `timeout`: whether
/// it has sent, if it has met anybody.
fn meet(channel: &(Sender<u8>, Receiver<u8>), timeout: Duration) -> Option<bool> {
    select! {
        send(channel.0, 1) -> sent => { sent.unwrap(); Some(true) }
        recv(channel.1) -> it => { assert_eq!(it, Ok(1)); Some(false) }
        default(timeout) => None,
    }
}

#[test]
fn select_does_not_meet_itself_on_both_sides_of_a_channel_without_room() {
    everywhere(|_| {
        let channel = bounded(0);
        for timeout in [Duration::ZERO, MOMENT] {
            assert_eq!(meet(&channel, timeout), None);
        }
        // In either order; it waits for its time, and does not look for partners until then.
        let mut biased = Select::new_biased();
        biased.send(&channel.0);
        biased.recv(&channel.1);
        assert!(matches!(biased.select_timeout(MOMENT), Err(SelectTimeoutError)));
        let mut biased = Select::new_biased();
        biased.recv(&channel.1);
        biased.send(&channel.0);
        assert!(matches!(biased.select_timeout(MOMENT), Err(SelectTimeoutError)));
        let mut select = Select::new();
        for _ in 0..2 {
            select.send(&channel.0);
            select.recv(&channel.1);
        }
        assert!(select.try_select().is_err() && select.try_ready().is_err());
        assert_eq!(select.ready_timeout(MOMENT), Err(ReadyTimeoutError));
        assert!(matches!(select.select_timeout(MOMENT), Err(SelectTimeoutError)));
    });
}

#[test]
fn selects_on_both_sides_of_a_channel_meet_each_other() {
    everywhere(|_| {
        let channel = bounded(0);
        thread::scope(|scope| {
            for _ in 0..50 {
                let threads = [(); 4].map(|()| scope.spawn(|| meet(&channel, HOUR).unwrap()));
                let sent = threads.map(|thread| usize::from(thread.join().unwrap()));
                assert_eq!(sent.iter().sum::<usize>(), 2);
            }
        });
    });
}

#[test]
fn timeouts_of_zero_take_what_is_there_and_wait_for_nothing() {
    everywhere(|_| {
        let (sender, receiver) = bounded(1);
        let begun = time::now();
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        assert_eq!(sender.send_timeout(1, Duration::ZERO), Ok(()));
        let back = sender.send_timeout(2, Duration::ZERO);
        assert_eq!(back, Err(SendTimeoutError::Timeout(2)));
        assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(1));
        assert_eq!(sender.send_deadline(3, begun), Ok(()));
        assert_eq!(receiver.recv_deadline(begun), Ok(3));
        assert_eq!(receiver.recv_deadline(begun), Err(RecvTimeoutError::Timeout));

        let mut select = Select::new();
        select.recv(&receiver);
        assert!(matches!(select.select_timeout(Duration::ZERO), Err(SelectTimeoutError)));
        assert!(matches!(select.select_deadline(begun), Err(SelectTimeoutError)));
        assert_eq!(select.ready_timeout(Duration::ZERO), Err(ReadyTimeoutError));
        assert_eq!(select.ready_deadline(begun), Err(ReadyTimeoutError));
        sender.send(4).unwrap();
        assert_eq!(select.ready_timeout(Duration::ZERO), Ok(0));
        assert_eq!(select.select_timeout(Duration::ZERO).unwrap().recv(&receiver), Ok(4));
        assert_eq!(never::<u8>().recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        if testing::seed().is_some() {
            assert_eq!(time::now(), begun);
        }
    });
}

#[test]
fn timeouts_beyond_all_clocks_wait_until_something_comes() {
    everywhere(|_| {
        let (sender, receiver) = bounded(0);
        thread::scope(|scope| {
            let receives = scope.spawn(|| {
                let mut select = Select::new();
                select.recv(&receiver);
                select.ready_timeout(Duration::MAX).unwrap();
                let first = receiver.recv_timeout(Duration::MAX).unwrap();
                let second = select.select_timeout(Duration::MAX).unwrap().recv(&receiver).unwrap();
                let third = select! {
                    recv(receiver) -> it => it.unwrap(),
                    default(Duration::MAX) => unreachable!("it is never over"),
                };
                [first, second, third]
            });
            settle();
            for number in 0..3 {
                sender.send_timeout(number, Duration::MAX).unwrap();
            }
            assert_eq!(receives.join().unwrap(), [0, 1, 2]);
        });
    });
}

#[test]
fn waits_for_what_no_clock_will_show_can_be_cancelled() {
    in_every_runtime(|_| {
        let waits: [fn(); 5] = [
            || _ = after(Duration::MAX).recv(),
            || _ = tick(Duration::MAX).recv_timeout(Duration::MAX),
            || _ = never::<u8>().recv(),
            || _ = never::<u8>().recv_timeout(Duration::MAX),
            || select! { recv(never::<u8>()) -> _ => (), recv(after(Duration::MAX)) -> _ => () },
        ];
        for wait in waits {
            let waiter = thread::spawn(wait);
            settle();
            assert!(!waiter.is_finished());
            waiter.cancel().unwrap();
            assert!(waiter.join().is_err());
        }
    });
}

#[test]
fn timers_that_never_come_and_that_are_always_due() {
    everywhere(|_| {
        let mut far = vec![after(Duration::MAX), tick(Duration::MAX)];
        far.extend(time::now().checked_add(1_000 * 365 * 24 * HOUR).map(at));
        for timer in far {
            assert!(timer.is_empty());
            assert_eq!(timer.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(timer.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        }
        let now = time::now();
        let always = tick(Duration::ZERO);
        for _ in 0..100 {
            assert!(always.is_full());
            assert!(always.recv().unwrap() >= now);
        }
        let past: Instant = now.checked_sub(MOMENT).unwrap_or(now);
        let over = at(past);
        assert_eq!(over.recv(), Ok(past));
        assert_eq!(over.try_recv(), Err(TryRecvError::Empty), "there was one");
        assert!(after(Duration::ZERO).recv().unwrap() >= now);
    });
}

#[test]
fn select_without_operations_panics_rather_than_wait_for_ever() {
    everywhere(|_| {
        let mut select = Select::new();
        expect_panic("a select without operations would wait for ever", || drop(select.select()));
        expect_panic("a select without operations would wait for ever", || _ = select.ready());
        expect_panic("a select without operations would wait for ever", || {
            drop(select.select_timeout(Duration::MAX));
        });
        assert!(select.try_select().is_err() && select.try_ready().is_err());
        let begun = time::now();
        assert!(select.select_timeout(MOMENT).is_err());
        assert!(select.ready_timeout(MOMENT).is_err());
        let took = time::now() - begun;
        assert!(took >= 2 * MOMENT);
        assert!(took == 2 * MOMENT || testing::seed().is_none());

        // Empty again.
        let (_sender, receiver) = unbounded::<u8>();
        let index = select.recv(&receiver);
        select.remove(index);
        expect_panic("a select without operations would wait for ever", || drop(select.select()));
    });
}

#[test]
fn removing_what_is_not_there_panics_and_the_others_stay() {
    everywhere(|_| {
        let (sender, receiver) = unbounded();
        let mut select = Select::new();
        let indexes = [(); 3].map(|()| select.recv(&receiver));
        select.remove(indexes[1]);
        for index in [indexes[1], 3, usize::MAX] {
            expect_panic(&format!("no operation has the index {index}"), || select.remove(index));
        }
        sender.send(1).unwrap();
        let operation = select.select();
        assert_ne!(operation.index(), indexes[1]);
        assert_eq!(operation.recv(&receiver), Ok(1));
        assert_eq!(select.send(&sender), 3, "an index is not used again");
    });
}

#[test]
fn operation_completed_by_a_wrong_end_panics_and_is_given_up() {
    everywhere(|_| {
        let ledger = Ledger::new(2);
        let (sender, receiver) = bounded(1);
        let (other_sender, other_receiver) = bounded::<Letter>(1);
        let choose = || {
            let mut select = Select::new();
            select.send(&sender);
            select.recv(&receiver);
            select.try_select().unwrap()
        };
        let complete_wrongly = || {
            expect_panic("passed a sender that wasn't selected", || {
                drop(choose().send(&other_sender, ledger.letter(0)));
            });
            expect_panic("passed a receiver that wasn't selected", || {
                drop(choose().recv(&other_receiver));
            });
        };
        // The operation that is ready is to send, and then to receive.
        complete_wrongly();
        assert_eq!(ledger.drops(0), 1, "the message goes with the panic");
        choose().send(&sender, ledger.letter(1)).ok().unwrap();
        expect_panic("passed a sender that wasn't selected", || {
            drop(choose().send(&sender, ledger.letter(0)));
        });
        complete_wrongly();
        assert_eq!(choose().recv(&receiver).unwrap().number, 1);
        assert_eq!((ledger.drops(0), ledger.drops(1)), (3, 1));
        assert!(other_receiver.is_empty() && receiver.is_empty());
        sender.try_send(ledger.letter(0)).ok().unwrap();
    });
}

/// Other ends of the same channel do as well as those in the list.
#[test]
fn operation_may_be_completed_by_a_clone_of_its_end() {
    everywhere(|_| {
        let (sender, receiver) = bounded(1);
        let mut select = Select::new();
        select.send(&sender);
        select.select().send(&sender.clone(), 7).unwrap();
        let mut select = Select::new();
        select.recv(&receiver);
        assert_eq!(select.select().recv(&receiver.clone()), Ok(7));
    });
}

#[test]
fn list_of_a_thousand_operations_waits_and_leaves_all_of_them() {
    in_every_runtime(|_| {
        const COUNT: usize = 1_000;
        let channels: Vec<_> = (0..COUNT).map(|_| bounded::<usize>(0)).collect();
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let mut select = Select::new();
                for (_, receiver) in &channels {
                    // Each twice, so that one thread stands in a list twice.
                    select.recv(receiver);
                    select.recv(receiver);
                }
                let mut sum = 0;
                for _ in 0..10 {
                    let operation = select.select();
                    let index = operation.index() / 2;
                    assert_eq!(operation.recv(&channels[index].1), Ok(index));
                    sum += index;
                }
                sum
            });
            let mut sum = 0;
            for round in 0..10 {
                let index = round * 99 % COUNT;
                channels[index].0.send(index).unwrap();
                sum += index;
            }
            assert_eq!(waits.join().unwrap(), sum);
            for (sender, _) in &channels {
                assert!(!is_wanted(sender));
            }
            let cancelled = scope.spawn(|| {
                let mut select = Select::new();
                channels.iter().for_each(|(_, receiver)| _ = select.recv(receiver));
                select.ready()
            });
            settle();
            cancelled.cancel().unwrap();
            assert!(cancelled.join().is_err());
            until(|| channels.iter().all(|(sender, _)| sender.try_send(0).is_err()));
        });
    });
}
